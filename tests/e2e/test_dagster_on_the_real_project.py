"""Dagster as a user starts it, on the real dbt project: each job, two at once, after a kill, and the UI."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import httpx
import pytest

from orchestration.home import dagster_environment
from sandbox.twins.mailchimp_store import DEFAULT_LIST
from tests.e2e.conftest import Run
from tests.reverse_etl.world import API_KEY, TwinServer
from warehouse.connection import connect
from warehouse.settings import PROJECT_DIR, Settings

pytestmark = pytest.mark.e2e

DAGSTER = Path(sys.executable).parent / "dagster"
MAILWRIGHT = Path(sys.executable).parent / "mailwright"
WAIT_SECONDS = 400
NEW_NAME = "Wilhelmina"
MODELS_WRITTEN = 12
"""So many models in, dbt has written some and has most before it."""
SAID_BY_DAGSTER_OF_ITSELF = re.compile(r"SupersessionWarning|return callback\(\*args")


@dataclass
class Installation:
    """A home of its own on the real project, with its audience."""

    settings: Settings
    twin: TwinServer
    address: str
    """Of whom the file in the landing folder tells something new."""

    @property
    def esp(self) -> dict[str, str]:
        return {
            "MAILCHIMP_API_KEY": API_KEY,
            "MAILCHIMP_BASE_URL": self.twin.url,
            "MAILCHIMP_LIST_ID": DEFAULT_LIST,
        }

    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("MAILWRIGHT_")}
        return {**kept, **dagster_environment(self.settings), **self.esp}

    def start(self, job: str) -> subprocess.Popen[str]:
        """`dagster job execute`, in a process group of its own."""
        return subprocess.Popen(
            [DAGSTER, "job", "execute", "-m", "orchestration.definitions", "-j", job],
            cwd=PROJECT_DIR,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            start_new_session=True,
        )

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with connect(self.settings, read_only=True, purpose="test") as con:
            return con.execute(sql).fetchall()

    def audience(self) -> tuple[dict[str, Any], dict[str, set[str]]]:
        """Who is at the ESP with which fields, and who is in which segment."""
        members, _ = self.twin.store.members(DEFAULT_LIST)
        people = {member.email_address: (member.status, member.merge_fields) for member in members}
        named = {row["name"]: self.twin.store.segment_ids(row["id"]) for row in self.twin.store.segments(DEFAULT_LIST)}
        return people, named

    def rows_per_table(self) -> dict[str, int]:
        """Of production and of what was loaded."""
        tables = self.query(
            "select schema_name, table_name from duckdb_tables() where schema_name in ('analytics', 'raw')"
        )
        return {
            f"{schema}.{name}": self.query(f'select count(*) from "{schema}"."{name}"')[0][0] for schema, name in tables
        }

    def newest_build(self) -> str:
        return self.query("select status from ops.builds order by started_at desc, build_id desc limit 1")[0][0]

    def run_statuses(self) -> list[tuple[str, str]]:
        """(job, status) of each run in Dagster's own storage."""
        from orchestration.home import open_instance

        with open_instance(self.settings) as instance:
            return sorted((run.job_name, run.status.value) for run in instance.get_runs())


def ended(process: subprocess.Popen[str]) -> str:
    """What a run said, once it has ended well; a run that hangs is ended, with all that it started."""
    try:
        said = process.communicate(timeout=WAIT_SECONDS)[0]
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise AssertionError(f"It hangs. Last words: {process.communicate()[0][-3000:]}") from None
    assert process.returncode == 0, said[-4000:]
    return said


def assert_nothing_ugly(said: str) -> None:
    """No stack trace and no warning, except what Dagster says of its own command."""
    lines = [line for line in said.splitlines() if not SAID_BY_DAGSTER_OF_ITSELF.search(line)]
    ugly = [line for line in lines if re.search(r"Traceback|Warning|WARNING| ERROR |\[WARN\]", line)]
    assert ugly == []


def left_of(group: int) -> list[str]:
    """What still runs of a process group, whoever adopted it."""
    listed = subprocess.run(
        ["ps", "-A", "-ww", "-o", "pgid=,stat=,args="], capture_output=True, text=True, check=True
    ).stdout
    rows = [line.split(maxsplit=2) for line in listed.splitlines()]
    return [row[-1] for row in rows if row[0] == str(group) and not row[1].startswith("Z")]


def until(holds: Callable[[], bool], what: str, seconds: float = 60) -> None:
    """Wait for something to become true."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"It did not come about in {seconds} s: {what}"
        threading.Event().wait(0.05)


@pytest.fixture(scope="module")
def installation(
    built_settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Installation]]:
    """Copies of the built store; in each, news of somebody who may be written to lies in the landing folder."""
    with connect(built_settings, read_only=True, purpose="test") as con:
        subscribers = (
            "from raw.crm_contacts as contacts join analytics.sync_esp__members as members using (email) "
            "where members.consent_verdict = 'subscribe' order by contact_id limit 1"
        )
        ((address, contact_id, as_of),) = con.execute(f"select email, contact_id, as_of {subscribers}").fetchall()
    with ExitStack() as stack:

        def make(name: str) -> Installation:
            settings = built_settings.model_copy(update={"home": tmp_path_factory.mktemp(name) / "home"})
            shutil.copytree(built_settings.home, settings.home)
            settings.landing_dir.mkdir()
            with duckdb.connect() as con:
                con.execute(
                    f"copy (select * replace ('{NEW_NAME}' as first_name, timestamp '{as_of}' - interval 1 second "
                    f"as updated_at) from read_parquet('{settings.home / 'files' / 'crm_contacts.parquet'}') "
                    f"where contact_id = '{contact_id}' limit 1) "
                    f"to '{settings.landing_dir / 'crm_contacts.parquet'}' (format parquet)"
                )
            twin = stack.enter_context(TwinServer(settings.home / "twin.sqlite"))
            return Installation(settings, twin, address)

        yield make


@dataclass(frozen=True)
class Undisturbed:
    """What two jobs left that were started at once, and that nothing disturbed."""

    installation: Installation
    said: tuple[str, ...]
    audience: Any
    rows: dict[str, int]


@pytest.fixture(scope="module")
def undisturbed(installation: Callable[[str], Installation]) -> Undisturbed:
    made = installation("undisturbed")
    both = [made.start("full_refresh"), made.start("train")]
    with ThreadPoolExecutor() as pool:
        said = tuple(pool.map(ended, both))
    return Undisturbed(made, said, made.audience(), made.rows_per_table())


def test_two_jobs_started_at_once_wait_for_each_other_and_both_finish(undisturbed: Undisturbed) -> None:
    store = undisturbed.installation
    for said in undisturbed.said:
        assert_nothing_ugly(said)
    assert store.run_statuses() == [("full_refresh", "SUCCESS"), ("train", "SUCCESS")]
    assert store.newest_build() == "succeeded"
    assert store.settings.snapshot_path.exists()


def test_a_full_refresh_brings_news_from_the_landing_folder_to_the_esp(undisturbed: Undisturbed) -> None:
    people, segments = undisturbed.audience
    assert len(people) > 100
    assert people[undisturbed.installation.address][1]["FNAME"] == NEW_NAME
    assert sum(map(len, segments.values())) > 50


def test_after_a_kill_in_mid_dbt_the_next_run_starts_unaided_and_converges(
    installation: Callable[[str], Installation], undisturbed: Undisturbed, mailwright: Run
) -> None:
    store = installation("killed")
    shutil.copytree(  # the parsed project is the same: nobody waits for dbt to parse it once more
        undisturbed.installation.settings.dbt_target_dir / "graph", store.settings.dbt_target_dir / "graph"
    )
    loaded = store.query("select count(*) from raw.web_events")
    run = store.start("segments_refresh")
    assert run.stdout is not None
    try:
        written = 0
        for line in run.stdout:
            written += "dbt_before_ml - ASSET_MATERIALIZATION" in line
            if written == MODELS_WRITTEN:
                break
        assert written == MODELS_WRITTEN, run.wait()
        assert any("dbt" in process and " build " in process for process in left_of(run.pid))
    finally:
        os.killpg(run.pid, signal.SIGKILL)
    run.stdout.read()
    assert run.wait() == -signal.SIGKILL
    until(lambda: left_of(run.pid) == [], "nothing of the killed run is left")
    assert store.newest_build() == "running"
    assert store.query("select count(*) from raw.web_events") == loaded
    assert store.audience()[0] == {}

    assert_nothing_ugly(ended(store.start("segments_refresh")))
    assert store.run_statuses() == [("segments_refresh", "FAILURE"), ("segments_refresh", "SUCCESS")]
    assert store.rows_per_table() == undisturbed.rows
    assert store.audience() == undisturbed.audience

    writes = store.twin.writes
    again = mailwright("--target", "prod", "sync", "--json", home=store.settings.home, **store.esp)
    assert again.code == 0, again.stderr[-3000:]
    assert again.document["writes"] == 0
    assert store.twin.writes == writes


QUESTION = """{ workspaceOrError { __typename ... on Workspace { locationEntries { name loadStatus
    locationOrLoadError { __typename ... on PythonError { message } ... on RepositoryLocation { repositories {
    jobs { name } schedules { name } sensors { name } assetGroups { groupName } } } } } } } }"""


def test_the_ui_answers_and_ends_with_all_that_it_started(undisturbed: Undisturbed, tmp_path: Path) -> None:
    home = undisturbed.installation.settings.home
    command = ["make", "--no-print-directory", "-n", "ui"]
    recipe = subprocess.run(command, cwd=PROJECT_DIR, capture_output=True, text=True, check=True)
    assert recipe.stdout.splitlines()[-1] == ".venv/bin/mailwright ui"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path / "ui.log"
    with log.open("w") as file:
        ui = subprocess.Popen(
            [MAILWRIGHT, "--home", home, "--target", "prod", "ui", "--port", str(port)],
            cwd=tmp_path,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def entries() -> list[dict[str, Any]]:
        assert ui.poll() is None, log.read_text()[-3000:]
        try:
            answer = httpx.post(f"http://127.0.0.1:{port}/graphql", json={"query": QUESTION}, timeout=30).json()
        except httpx.ConnectError:
            return []
        return answer["data"]["workspaceOrError"]["locationEntries"]

    try:
        until(lambda: [entry["loadStatus"] for entry in entries()] == ["LOADED"], "the UI has loaded", 120)
        (entry,) = entries()
        assert entry["locationOrLoadError"]["__typename"] == "RepositoryLocation", entry
        (repository,) = entry["locationOrLoadError"]["repositories"]
        ui.send_signal(signal.SIGTERM)
        ui.wait(60)
        until(lambda: left_of(ui.pid) == [], "the UI has ended what it started")
    finally:
        if left_of(ui.pid):
            os.killpg(ui.pid, signal.SIGKILL)
            ui.wait()
    named = {kind: {item["name"] for item in repository[kind]} for kind in ("jobs", "schedules", "sensors")}
    assert named["jobs"] >= {"full_refresh", "segments_refresh", "train", "score"}
    assert named["schedules"] == {"segments_hourly", "score_daily", "train_weekly"}
    assert named["sensors"] >= {"new_raw_files", "failure_alert", "model_decay"}
    groups = {group["groupName"] for group in repository["assetGroups"]}
    assert groups >= {"raw", "profiles", "orders", "segments", "activation", "ml", "syncs"}
    assert "Traceback" not in log.read_text()
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0

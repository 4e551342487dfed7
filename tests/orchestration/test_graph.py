"""The asset graph of the real project: whole, owned, described, and as the snapshot says."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import sqlite3
import subprocess
import sys
from multiprocessing.synchronize import Barrier
from pathlib import Path

import dagster as dg
import pytest

from expectations.declared import ACTIVATION_TABLES
from orchestration.build import build_definitions
from orchestration.graph import Node, graph_nodes, graph_text, groups_of_jobs, orphans
from orchestration.home import CONFIG_NAME, dagster_environment, ensure_dagster_home
from orchestration.manifest import load_manifest
from orchestration.names import dbt_selection
from warehouse.settings import PROJECT_DIR, Settings

SNAPSHOT = Path(__file__).with_name("asset_graph.txt")


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """An installation in which nothing was ever done."""
    return Settings(home=tmp_path_factory.mktemp("graph") / "home", target="prod")


@pytest.fixture(scope="module")
def definitions(fresh: Settings) -> dg.Definitions:
    return build_definitions(fresh)


@pytest.fixture(scope="module")
def nodes(definitions: dg.Definitions) -> list[Node]:
    return graph_nodes(definitions)


def test_definitions_validate_without_a_warehouse_and_write_nothing_into_the_project(
    fresh: Settings, definitions: dg.Definitions
) -> None:
    litter = ("logs", "target", "storage", "history", "schedules", "dbt_project/logs", "dbt_project/target")
    before = [name for name in litter if (PROJECT_DIR / name).exists()]
    done = subprocess.run(
        [str(Path(sys.executable).parent / "dagster"), "definitions", "validate"],
        cwd=PROJECT_DIR,
        env={**os.environ, **dagster_environment(fresh)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert not fresh.warehouse_path.exists()
    assert [name for name in litter if (PROJECT_DIR / name).exists()] == before


def test_a_parsed_manifest_is_not_parsed_again(fresh: Settings, definitions: dg.Definitions, monkeypatch) -> None:
    def parse(*_: object) -> None:
        raise AssertionError("parsed again")

    monkeypatch.setattr("orchestration.manifest._parse", parse)
    assert load_manifest(fresh)["nodes"]


def test_there_is_no_orphan(nodes: list[Node]) -> None:
    assert orphans(nodes) == []


def test_every_asset_has_group_owner_kind_and_description(nodes: list[Node]) -> None:
    poor = [
        node.key
        for node in nodes
        if not (node.owners and node.kinds and len(node.description) > 10 and node.group not in {"default", "models"})
    ]
    assert poor == []


def test_both_borders_are_checked_and_blocking(nodes: list[Node]) -> None:
    checked = {node.key for node in nodes if "expectations!" in node.checks}
    raw = {node.key for node in nodes if node.key.startswith("raw/") and node.is_made_here}
    sent = {dep for node in nodes if node.key.startswith("sync/") for dep in node.deps}
    assert set(ACTIVATION_TABLES) - {"sync_esp__events"} <= sent  # no built-in sync tells events unasked
    assert checked == (raw - {"raw/identifier_normalized"}) | set(ACTIVATION_TABLES)


def test_the_two_halves_are_the_whole_and_the_first_needs_no_prediction(
    definitions: dg.Definitions, nodes: list[Node]
) -> None:
    halves = {
        str(asset.op.name): {key.to_user_string() for key in asset.keys}
        for asset in definitions.assets or ()
        if isinstance(asset, dg.AssetsDefinition) and asset.op.name.startswith("dbt_")
    }
    before, after = halves["dbt_before_ml"], halves["dbt_after_ml"]
    dbt = {node.key for node in nodes if "dbt" in node.kinds}
    assert before | after == dbt
    assert not before & after
    deps = {node.key: set(node.deps) for node in nodes}
    assert not [key for key in before if deps[key] & (after | {"ml/recommendations", "ml/churn", "ml/lifetime_value"})]
    assert {"sync_esp__members", "recommendations", "churn_scores", "lifetime_values"} <= after
    assert dbt_selection("after_ml").select == "tag:after_ml"


def test_every_op_has_a_pool_and_a_lease(definitions: dg.Definitions) -> None:
    job = definitions.resolve_implicit_global_asset_job_def()
    ops = {node.name: job.graph.node_named(node.name).definition for node in job.graph.nodes}
    pools = {name: getattr(op, "pool", None) for name, op in ops.items()}
    assert set(pools.values()) == {"warehouse_writer", "mailchimp_api"}
    without = [name for name, op in ops.items() if "lease" not in op.required_resource_keys]
    assert without == []


def test_the_jobs_run_what_they_say(definitions: dg.Definitions, nodes: list[Node]) -> None:
    jobs = groups_of_jobs(definitions, nodes)
    assert jobs["train"] == jobs["score"] == ["ml"]
    assert set(jobs["full_refresh"]) - set(jobs["segments_refresh"]) == {"ml"}
    for schedule in definitions.schedules or ():
        assert isinstance(schedule, dg.ScheduleDefinition)
        assert schedule.default_status is dg.DefaultScheduleStatus.STOPPED


def test_the_graph_is_as_the_snapshot_says(definitions: dg.Definitions, nodes: list[Node]) -> None:
    """A changed graph is a decision: look at the difference, then let UPDATE_SNAPSHOTS=1 write the file."""
    text = graph_text(nodes, groups_of_jobs(definitions, nodes))
    if os.environ.get("UPDATE_SNAPSHOTS"):
        SNAPSHOT.write_text(text, encoding="utf-8")
    assert text == SNAPSHOT.read_text(encoding="utf-8")


def test_dagster_home_follows_the_projects_configuration(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    home = ensure_dagster_home(settings)
    assert home == settings.dagster_home
    wanted = (PROJECT_DIR / CONFIG_NAME).read_text(encoding="utf-8")
    assert (home / CONFIG_NAME).read_text(encoding="utf-8") == wanted
    (home / CONFIG_NAME).write_text("# old", encoding="utf-8")
    ensure_dagster_home(settings)
    assert (home / CONFIG_NAME).read_text(encoding="utf-8") == wanted


def _import_dagster(together: Barrier) -> None:
    importlib.import_module("dagster")
    together.wait()


def _first_start(home: Path) -> None:
    ensure_dagster_home(Settings(home=home))
    with dg.DagsterInstance.from_config(str(home / "dagster")):
        pass


def test_first_starts_at_once_make_one_storage(tmp_path: Path) -> None:
    homes = [tmp_path / str(number) for number in range(3)]
    spawn = multiprocessing.get_context("spawn")
    with spawn.Pool(2, initializer=_import_dagster, initargs=(spawn.Barrier(2),)) as pool:
        for home in homes:
            pool.map(_first_start, [home] * 2, chunksize=1)
    for home in homes:
        stamped = [
            con.execute("select count(*) from alembic_version").fetchall()
            for path in sorted(Settings(home=home).dagster_home.rglob("*.db"))
            for con in [sqlite3.connect(path)]
        ]
        assert stamped == [[(1,)]] * 3


def test_the_instance_is_as_designed(tmp_path: Path) -> None:
    from orchestration.home import open_instance
    from orchestration.launcher import LeasedRunLauncher

    settings = Settings(home=tmp_path)
    with open_instance(settings) as instance:
        assert not instance.telemetry_enabled
        assert instance.run_monitoring_enabled
        assert isinstance(instance.run_launcher, LeasedRunLauncher)
        assert Path(instance.root_directory) == settings.dagster_home
        pools = instance.event_log_storage.get_pool_config()
        assert (pools.default_pool_limit, pools.pool_granularity) == (1, pools.pool_granularity.OP)

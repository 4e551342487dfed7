"""Killed, or out of disk: the warehouse is as before, and the next good run converges."""

from __future__ import annotations

from pathlib import Path

import pytest

from ingest.load import load
from tests.ingest.conftest import Query, run_python
from warehouse.settings import Settings

LOAD = """
import resource, sys
from pathlib import Path
from ingest.load import load
from warehouse.errors import MailwrightError
from warehouse.settings import Settings
limit = int(sys.argv[3]) if len(sys.argv) > 3 else 0
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    load(Settings(home=Path(sys.argv[1]), target="prod"), Path(sys.argv[2]))
except MailwrightError as error:
    print(type(error).__name__, error)
    sys.exit(error.exit_code)
"""


def _code(*arguments: object) -> str:
    return f"import sys; sys.argv[1:] = {[str(argument) for argument in arguments]!r}\n{LOAD}"


def _files(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "first.csv").write_text("id\n1\n2\n", encoding="utf-8")
    (folder / "second.csv").write_text("id\n1\n2\n3\n", encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("failpoint", "kept"),
    [("load.after_insert:2", 1), ("load.before_commit:2", 1), ("load.after_commit:2", 2), ("load.after_insert", 0)],
)
def test_a_kill_leaves_whole_files_or_nothing(
    settings: Settings, tmp_path: Path, query: Query, failpoint: str, kept: int
) -> None:
    folder = _files(tmp_path)
    killed = run_python(_code(settings.home, folder), MAILWRIGHT_FAILPOINT=failpoint)
    assert killed.returncode == -9, killed.stderr
    assert query("select count(*) from ops.loads") == [(kept,)]
    report = load(settings, folder)
    assert (len(report.loads), len(report.skipped)) == (2 - kept, kept)
    assert query("select (select count(*) from raw.first), (select count(*) from raw.second)") == [(2, 3)]
    assert load(settings, folder).loads == ()


def test_a_disk_quota_is_one_clear_message_and_nothing_is_lost(
    settings: Settings, tmp_path: Path, query: Query
) -> None:
    small = tmp_path / "small.csv"
    small.write_text("id\n1\n", encoding="utf-8")
    load(settings, small)
    big = tmp_path / "big.csv"
    big.write_text("id,text\n" + "".join(f"{i},{i * 7919 % 1000003:x}{i * 104729:x}\n" for i in range(60_000)), "utf-8")
    full = run_python(_code(settings.home, big, 700_000))
    assert full.returncode == 5, full.stdout + full.stderr
    assert full.stdout.startswith("RetriableError The disk (or its quota) is full")
    assert "Traceback" not in full.stderr
    assert query("select table_name, rows_loaded from ops.loads") == [("small", 1)]
    assert query("select count(*) from duckdb_tables() where table_name = 'big'") == [(0,)]
    assert load(settings, big).rows_loaded == 60_000


def test_a_withdrawn_load_may_come_again(settings: Settings, tmp_path: Path, query: Query) -> None:
    from ingest.withdraw import withdraw

    path = tmp_path / "small.csv"
    path.write_text("id\n1\n2\n", encoding="utf-8")
    load_id = load(settings, path).loads[0].load_id
    assert withdraw(settings, load_id).rows == 2
    assert query("select count(*) from raw.small") == [(0,)]
    assert load(settings, path).rows_loaded == 2

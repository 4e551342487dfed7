"""The writer's lock across processes: waits with a message, is freed by death, is shared with children."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from warehouse.connection import connect
from warehouse.errors import ConfigError, RetriableError
from warehouse.lock import HELD_ENV, child_environment, writer_lock
from warehouse.settings import Settings

HOLD = """
import sys
from pathlib import Path
from warehouse.connection import connect
from warehouse.settings import Settings
with connect(Settings(home=Path(sys.argv[1]), target="prod"), purpose="a long load") as con:
    con.execute("create table if not exists t as select 1 as x")
    con.execute("begin"); con.execute("insert into t values (2)")
    print("held", flush=True)
    sys.stdin.read()
    con.execute("commit")
"""


@pytest.fixture
def holder(settings: Settings):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(settings.home)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline().strip() == "held"
    yield process
    process.kill()
    process.wait()


def test_a_second_writer_waits_with_a_message_and_then_goes_on(settings: Settings, holder: subprocess.Popen) -> None:
    said: list[str] = []

    def tell(message: str) -> None:
        said.append(message)
        assert holder.stdin is not None
        holder.stdin.close()  # the holder may finish now: we are seen to be waiting

    with writer_lock(settings, "second", tell=tell), connect(settings) as con:
        assert con.execute("select count(*) from t").fetchall() == [(2,)]
    assert len(said) == 1
    assert "a long load" in said[0]
    assert f"process {holder.pid}" in said[0]


def test_a_killed_holder_frees_the_lock_and_its_work_rolls_back(settings: Settings, holder: subprocess.Popen) -> None:
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    with connect(settings) as con:
        assert con.execute("select count(*) from t").fetchall() == [(1,)]


def test_a_writer_that_waits_too_long_gets_one_clear_message(settings: Settings, holder: subprocess.Popen) -> None:
    impatient = settings.model_copy(update={"lock_timeout_seconds": 0.2})
    with pytest.raises(RetriableError, match="still being written to by a long load"), connect(impatient):
        pass


def test_reentrant_in_a_process_and_free_afterwards(settings: Settings) -> None:
    with writer_lock(settings, "outer"), connect(settings) as con, connect(settings, purpose="inner") as inner:
        con.execute("create table t as select 1 as x")
        assert inner.execute("select x from t").fetchall() == [(1,)]
    results: list[int] = []

    def other_thread() -> None:
        with connect(settings) as con:
            results.extend(con.execute("select x from t").fetchall()[0])

    thread = threading.Thread(target=other_thread)
    thread.start()
    thread.join(timeout=20)
    assert results == [1]


def test_a_holders_child_does_not_wait_for_its_parent(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    with writer_lock(settings, "parent"):
        code = (
            "import sys; from pathlib import Path; from warehouse.settings import Settings; "
            "from warehouse.connection import connect\n"
            "with connect(Settings(home=Path(sys.argv[1]), target='prod', lock_timeout_seconds=1)) as con: print('in')"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, str(settings.home)],
            env={**os.environ, **child_environment(settings)},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.stdout.strip() == "in", done.stderr
    # but a child of the holder of ANOTHER warehouse does take the lock
    monkeypatch.setenv(HELD_ENV, str(Path("/elsewhere/warehouse.duckdb.lock")))
    with writer_lock(settings, "own"):
        assert settings.lock_path.exists()


@pytest.mark.parametrize("below", ["", "sub"])
def test_a_home_that_is_no_folder_is_named(tmp_path: Path, below: str) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(ConfigError, match="cannot be used") as raised, connect(Settings(home=file / below)):
        pass
    assert raised.value.where == str(file / below)


def test_a_home_that_cannot_be_written_to_is_named(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(settings.lock_path))

    monkeypatch.setattr("filelock.FileLock.acquire", refuse)
    with pytest.raises(ConfigError, match="Read-only file system") as raised, connect(settings):
        pass
    assert raised.value.where == str(settings.home)
    assert raised.value.todo is not None
    assert "--home" in raised.value.todo


def test_a_long_query_writes_no_bar_among_the_output(settings: Settings) -> None:
    """Standard output belongs to `--json`."""
    with connect(settings) as con:
        assert con.execute("select current_setting('enable_progress_bar')").fetchall() == [(False,)]

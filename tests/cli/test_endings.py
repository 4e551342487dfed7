"""Every way in which a command can end: one message, the right exit code, never a traceback."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import subprocess
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import duckdb
import pytest

from cli import pipeline
from ml_jobs.report import JobReport
from tests.cli.conftest import Outcome, command_line
from warehouse.lock import writer_lock
from warehouse.settings import PROJECT_DIR, Settings, load_settings

Call = Callable[..., Outcome]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["lode"], "Did you mean 'load'?"),
        (["restore"], "Missing argument"),
        (["load"], "Name what to load"),
        (["load", "x", "--tabel", "y"], "--tabel"),
        (["--target", "production", "status"], "production"),
        (["train", "--job", "oracle"], "oracle"),
        (["build", "--stage", "before_ml", "--train"], "--stage"),
    ],
)
def test_wrong_usage_says_what_and_how(mailwright: Call, args: list[str], said: str) -> None:
    outcome = mailwright(*args)
    assert outcome.code == 2
    assert said in outcome.stderr
    assert "What to do" in outcome.stderr
    assert "Traceback" not in outcome.stderr
    assert outcome.stdout == ""


@pytest.mark.parametrize("command", ["status", "plan", "sync"])
def test_without_a_warehouse_a_reader_says_how_to_get_one(mailwright: Call, command: str, tmp_path: Path) -> None:
    outcome = mailwright("--target", "prod", command)
    assert outcome.code in {2, 3}
    assert "Traceback" not in outcome.stderr
    assert not (tmp_path / "home" / "warehouse.duckdb").exists() or command != "status"


def test_a_wrong_path_is_named(mailwright: Call, tmp_path: Path) -> None:
    (tmp_path / "orders.csv").write_text("order_id\n1\n", encoding="utf-8")
    outcome = mailwright("load", tmp_path / "order.csv")
    assert outcome.code == 3
    assert str(tmp_path / "order.csv") in outcome.stderr
    assert "Did you mean 'orders.csv'?" in outcome.stderr


def test_a_wrong_instant_is_a_message(mailwright: Call) -> None:
    outcome = mailwright("build", "--as-of", "yesterday")
    assert outcome.code == 3
    assert "2011-09-01" in outcome.stderr  # how to write it


def test_a_wrong_variable_is_named(mailwright: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAILWRIGHT_THREADS", "many")
    outcome = mailwright("doctor")
    assert outcome.code == 2
    assert "MAILWRIGHT_THREADS" in outcome.stderr


def test_an_empty_variable_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAILWRIGHT_HOME", "")
    monkeypatch.setenv("MAILWRIGHT_THREADS", "")
    assert load_settings().home == PROJECT_DIR / ".mailwright"


@pytest.mark.parametrize("command", ["status", "doctor", "build"])
def test_a_home_whose_name_is_no_text(mailwright: Call, tmp_path: Path, command: str) -> None:
    outcome = mailwright(command, home=tmp_path / os.fsdecode(b"caf\xe9"))
    assert outcome.code == 2
    assert "UTF-8" in outcome.stderr
    assert "Traceback" not in outcome.stderr


def test_a_file_whose_name_is_no_text(mailwright: Call, tmp_path: Path) -> None:
    file = tmp_path / os.fsdecode(b"caf\xe9.csv")
    file.write_text("thing_id\n1\n", encoding="utf-8")
    outcome = mailwright("load", file, "--table", "things")
    assert outcome.code == 3, outcome.stderr
    assert "UTF-8" in outcome.stderr


@pytest.mark.parametrize("command", ["sync", "plan"])
@pytest.mark.parametrize("extra", [["--as-of", "2011-09-01"], ["--allow-schema", "asof_20110901"]])
def test_the_past_is_never_synced(mailwright: Call, command: str, extra: list[str]) -> None:
    outcome = mailwright("--target", "prod", command, *extra)
    assert outcome.code == 4
    assert "asof_20110901" in outcome.stderr


def test_a_schema_of_ones_own_is_not_synced(mailwright: Call) -> None:
    outcome = mailwright("--target", "dev", "sync")
    assert outcome.code == 4
    assert "production" in outcome.stderr


def test_our_own_mistakes_go_to_a_log(mailwright: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MAILCHIMP_API_KEY", "0123456789abcdef-us7")

    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("row of jane.doe@example.org with key 0123456789abcdef-us7")

    monkeypatch.setattr(pipeline, "load_files", fail)
    outcome = mailwright("load", tmp_path)
    assert outcome.code == 1
    assert "ZeroDivisionError" in outcome.stderr
    assert "Traceback" not in outcome.stderr
    (log,) = (tmp_path / "home" / "logs").glob("error-*.log")
    assert str(log) in outcome.stderr
    text = log.read_text(encoding="utf-8")
    assert "Traceback" in text
    for output in (outcome.stderr, text):
        assert "jane.doe" not in output
        assert "0123456789abcdef" not in output


def test_a_failure_is_json_too(mailwright: Call) -> None:
    outcome = mailwright("status", "--json")
    assert outcome.code == 3
    assert outcome.document["ok"] is False
    assert outcome.document["exit_code"] == 3
    assert outcome.document["error"]["kind"] == "DataError"
    assert outcome.document["error"]["todo"]
    assert outcome.stderr.startswith("Error: ")


def test_codes_reach_the_shell(in_shell: Call) -> None:
    assert in_shell("load", "/nowhere/at/all.csv").code == 3
    assert in_shell("nonsense").code == 2
    assert in_shell("--version").stdout.startswith("mailwright ")


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_interrupted_while_it_waits(settings: Settings, tmp_path: Path, how: signal.Signals) -> None:
    """Ctrl-C and SIGTERM end a command in the same orderly way."""
    file = tmp_path / "things.csv"
    file.write_text("thing_id\n1\n", encoding="utf-8")
    with writer_lock(settings, "a test"):
        process = subprocess.Popen(
            command_line("--home", settings.home, "load", file),
            cwd=PROJECT_DIR,
            env=dict(os.environ),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stderr is not None
        for line in process.stderr:
            if "Waiting for the warehouse" in line:
                break
        process.send_signal(how)
        _, rest = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Interrupted" in rest
    assert "Traceback" not in rest


def test_a_swallowed_interrupt_is_not_forgotten(
    mailwright: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A library that is just being imported may take the exception for its own."""
    went_on: list[str] = []

    def train(_settings: Settings, job: str, **_: object) -> JobReport:
        went_on.append(job)
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        return JobReport("churn", "trained", datetime(2026, 7, 1), "churn-abc", {}, 1, 1, 1)

    monkeypatch.setattr(pipeline, "train", train)
    outcome = mailwright("train")
    assert outcome.code == 130
    assert "Interrupted" in outcome.stderr
    assert went_on == ["recommendations"]


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), 5, "disk is full"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), 5, "disk is full"),
        (duckdb.IOException("Could not write file x: No space left on device"), 5, "disk is full"),
        (PermissionError(errno.EACCES, "Permission denied", "/somewhere"), 2, "/somewhere"),
        (duckdb.OutOfMemoryException("failed to allocate"), 5, "MAILWRIGHT_MEMORY_LIMIT"),
    ],
)
def test_the_machines_own_troubles(
    mailwright: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: Exception, code: int, said: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(pipeline, "load_files", fail)
    outcome = mailwright("load", tmp_path)
    assert outcome.code == code
    assert said in outcome.stderr
    assert "What to do" in outcome.stderr
    assert "Traceback" not in outcome.stderr


def test_a_quota_is_reached_while_loading(tmp_path: Path) -> None:
    """Files may grow to 256 KiB: the load ends with one message, and without the quota it goes through."""
    file = tmp_path / "numbers.csv"
    file.write_text("number_id\n" + "\n".join(str(i * 7919) for i in range(200_000)), encoding="utf-8")
    arguments = command_line("--home", tmp_path / "home", "load", file, "--json")
    limited = subprocess.run(
        ["bash", "-c", 'ulimit -f 256; exec "$@"', "bash", *arguments],
        cwd=PROJECT_DIR,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert limited.returncode in {3, 5}, limited.stderr
    assert "Traceback" not in limited.stderr
    assert json.loads(limited.stdout)["ok"] is False
    free = subprocess.run(arguments, cwd=PROJECT_DIR, capture_output=True, text=True, timeout=120)
    assert free.returncode == 0, free.stderr
    assert json.loads(free.stdout)["rows_loaded"] == 200_000

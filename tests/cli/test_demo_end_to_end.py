"""The two commands of the README, as a user types them: the demo, and the demo again."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ml_jobs.catalogue import JOBS
from tests.cli.conftest import command_line
from warehouse.settings import PROJECT_DIR

SMALL = ("--contacts", "300", "--events", "6000", "--months", "4")
STEPS = 16 + len(JOBS)


def run_demo(home: Path, *more: str) -> tuple[str, str]:
    done = subprocess.run(
        command_line("demo", *SMALL, "--home", home, *more),
        cwd=PROJECT_DIR,
        env={**os.environ, "COLUMNS": "100"},
        capture_output=True,
        text=True,
        timeout=540,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


@pytest.mark.e2e
@pytest.mark.timeout(1200)
def test_the_demo_and_the_demo_again(tmp_path: Path) -> None:
    home = tmp_path / "a démo"  # a space and an accent: nothing on the way may mind
    out, progress = run_demo(home, "--json")
    first: dict[str, Any] = json.loads(out)
    assert first["as_of"] == "2026-07-01T00:00:00Z"
    assert "The clock stands at 2026-07-01 00:00:00Z" in progress
    assert len(first["seconds"]) == STEPS
    created = {name: sync["created"] for name, sync in first["syncs"].items()}
    assert set(created) == {"mailchimp", "klaviyo"}
    assert created["mailchimp"] == created["klaviyo"] > 0
    assert first["writes_to_esp"] > 0
    report = Path(first["report_path"])
    assert report.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert Path(first["snapshot_path"]).exists()

    screen, progress = run_demo(home)
    assert f"mailwright --home {shlex.quote(str(home))} --target prod status" in screen
    assert "0 writes to the ESPs: nothing had changed." in screen
    assert "9 unchanged files skipped" in progress
    assert str(report) in screen
    assert max(len(line) for line in screen.splitlines() if line.startswith(("│", "╭", "╰"))) <= 100
    for text in (out, screen, progress):
        assert "@" not in text
    assert "Traceback" not in progress

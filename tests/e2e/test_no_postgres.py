"""`make test-postgres` on a machine without PostgreSQL: it says what is missing, and is no failure."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from warehouse.settings import PROJECT_DIR

pytestmark = pytest.mark.e2e


def test_without_the_servers_programs_the_target_says_so_and_passes(tmp_path: Path) -> None:
    # neither the make nor the pytest that this test may run under decides how the inner ones behave
    env = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS", "PYTEST_"))}
    done = subprocess.run(
        # the environment that runs this test is the one to use: nothing is to be installed here
        ["make", "-o", ".venv/.installed", f"BIN={Path(sys.executable).parent}", "test-postgres"],
        cwd=PROJECT_DIR,
        env={**env, "MAILWRIGHT_PG_BIN": str(tmp_path)},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    reason = f"skipped: no PostgreSQL (no initdb in {tmp_path}, which MAILWRIGHT_PG_BIN names)"
    said = [line for line in done.stdout.splitlines() if line.startswith("SKIPPED") and line.endswith(reason)]
    assert said, done.stdout[-3000:]
    assert all("tests/postgres/" in line for line in said)
    outcome = re.search(r"^(\d+) skipped(?:, \d+ deselected)? in ", done.stdout, re.MULTILINE)
    assert outcome, done.stdout[-3000:]
    assert int(outcome[1]) == sum(int(line.split("[")[1].split("]")[0]) for line in said)

"""How these tests call the command line: in this process where they can, in one of its own where they must."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cli.main import main
from warehouse.settings import PROJECT_DIR


@dataclass(frozen=True)
class Outcome:
    """How one call ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def document(self) -> Any:
        """All of stdout as the one JSON document that it has to be."""
        return json.loads(self.stdout)


@pytest.fixture
def mailwright(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Callable[..., Outcome]:
    """`mailwright("status", "--json")` in this process, on a home of its own unless one is named."""

    def call(*args: str | Path, home: Path | None = None) -> Outcome:
        capsys.readouterr()
        code = main(["--home", str(home or tmp_path / "home"), *map(str, args)])
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return call


def command_line(*args: str | Path) -> list[str]:
    return [sys.executable, "-m", "cli.main", *map(str, args)]


@pytest.fixture
def in_shell(tmp_path: Path) -> Callable[..., Outcome]:
    """The same as a user's shell would do it: a process of its own, nothing captured but its pipes."""

    def call(*args: str | Path, **environment: str) -> Outcome:
        done = subprocess.run(
            command_line("--home", tmp_path / "home", *args),
            cwd=PROJECT_DIR,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=120,
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    return call

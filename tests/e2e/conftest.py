"""Starts what a user starts: the `mailwright` command in a process of its own."""

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


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def document(self) -> Any:
        """The one JSON document that `--json` promises on stdout."""
        return json.loads(self.stdout)


Run = Callable[..., Done]


@pytest.fixture(scope="session")
def mailwright(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """`mailwright("sync", "--json", home=…)`, from a folder that is not the project's."""
    command = Path(sys.executable).parent / "mailwright"
    folder = tmp_path_factory.mktemp("elsewhere")

    def run(*args: str, home: Path, **environment: str) -> Done:
        env = {name: value for name, value in os.environ.items() if not name.startswith("MAILWRIGHT_")}
        done = subprocess.run(
            [command, "--home", str(home), *args],
            cwd=folder,
            env={**env, **environment},
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=900,
            check=False,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    return run

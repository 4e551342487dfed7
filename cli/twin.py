"""The simulated ESP of the demo: a process of its own, ended by its id, its audience kept in a file."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import secrets
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from warehouse.errors import RetriableError

START_SECONDS = 30.0


@contextlib.contextmanager
def mailchimp_twin(state: Path, log: Path) -> Iterator[str]:
    """A running Mailchimp twin; yields its base URL, with the credentials of a sync set in the environment meanwhile.

    `state` is the file that keeps its audience from run to run. The process is ended when the block ends, also by an
    error or Ctrl-C.

    Raises:
        RetriableError: it did not start.
    """
    key = f"{secrets.token_hex(16)}-us1"
    state.parent.mkdir(parents=True, exist_ok=True)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w", encoding="utf-8") as errors:
        process = subprocess.Popen(  # our own arguments
            [
                sys.executable, "-m", "sandbox.twins.mailchimp",
                "--port", "0", "--state", str(state), "--api-key", key, "--until-stdin-closes",
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            encoding="utf-8",
            cwd=Path(__file__).resolve().parents[1],
        )  # fmt: skip
        try:
            ready = _ready(process, log)
            with _environment(
                MAILCHIMP_API_KEY=key, MAILCHIMP_BASE_URL=ready["url"], MAILCHIMP_LIST_ID=ready["list_id"]
            ):
                yield ready["url"]
        finally:
            _end(process)


def _ready(process: subprocess.Popen[str], log: Path) -> dict[str, str]:
    """What the twin prints, as one line of JSON, when it listens: `url` and `list_id`."""
    assert process.stdout is not None
    stdout = process.stdout
    lines: queue.Queue[str] = queue.Queue()

    def read() -> None:
        for line in stdout:  # to the end, so that the twin never blocks on a full pipe
            lines.put(line)
        lines.put("")

    threading.Thread(target=read, daemon=True).start()
    with contextlib.suppress(queue.Empty):
        while line := lines.get(timeout=START_SECONDS):
            with contextlib.suppress(ValueError, KeyError, TypeError):
                ready = json.loads(line)
                return {"url": ready["url"], "list_id": ready["list_id"]}
    raise RetriableError(
        "The simulated ESP did not start.", where=str(log), todo="look at that log, then run the same command again"
    )


@contextlib.contextmanager
def _environment(**values: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _end(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()

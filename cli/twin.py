"""The simulated ESPs: each a process of its own, ended by its id, its people kept in a file."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import secrets
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from warehouse.errors import RetriableError

START_SECONDS = 30.0
OWN_PATH = "/__twin__/"
"""Where a twin keeps what the vendor has not: its page, its counters."""


@dataclass(frozen=True)
class Vendor:
    """How a twin is started, and what a sync to it needs in the environment."""

    label: str
    make_key: Callable[[], str]
    key_name: str
    url_name: str
    announced: Mapping[str, str] = field(default_factory=dict)
    """Variable → what the twin calls it when it announces itself."""


def _token() -> str:
    return secrets.token_hex(16)


VENDORS: Mapping[str, Vendor] = {
    "mailchimp": Vendor(
        "Mailchimp",
        lambda: f"{_token()}-us1",
        "MAILCHIMP_API_KEY",
        "MAILCHIMP_BASE_URL",
        {"MAILCHIMP_LIST_ID": "list_id"},
    ),
    "klaviyo": Vendor(
        "Klaviyo",
        lambda: f"pk_{_token()}",
        "KLAVIYO_API_KEY",
        "KLAVIYO_BASE_URL",
        {"KLAVIYO_LIST_ID": "list_id"},
    ),
    "sendgrid": Vendor("SendGrid", lambda: f"SG.{_token()}", "SENDGRID_API_KEY", "SENDGRID_BASE_URL"),
    "hubspot": Vendor(
        "HubSpot",
        lambda: f"pat-{_token()}",
        "HUBSPOT_ACCESS_TOKEN",
        "HUBSPOT_BASE_URL",
        {"HUBSPOT_SUBSCRIPTION_ID": "subscription_id"},
    ),
}


@dataclass(frozen=True)
class Twin:
    """One that runs."""

    vendor: str
    url: str
    """Of its API."""
    process: subprocess.Popen[str]

    @property
    def label(self) -> str:
        return VENDORS[self.vendor].label

    @property
    def page(self) -> str:
        """Where a person can look at what it holds."""
        return f"http://{urlsplit(self.url).netloc}{OWN_PATH}"

    @property
    def stats(self) -> str:
        """Its counters, as JSON."""
        return f"{self.page}stats"


def state_path(home: Path, vendor: str) -> Path:
    """The file in which an installation keeps that simulated ESP's people."""
    return home / "esp" / f"{vendor}.sqlite"


@contextlib.contextmanager
def start_twin(vendor: str, state: Path, log: Path, *, port: int = 0) -> Iterator[Twin]:
    """A running twin, with the credentials of a sync to it set in the environment meanwhile.

    `vendor`: one of `VENDORS`. `state` is the file that keeps its people from run to run. `port` 0: any that is free.
    The process is ended when the block ends, also by an error or Ctrl-C.

    Raises:
        RetriableError: it did not start.
    """
    known = VENDORS[vendor]
    key = known.make_key()
    state.parent.mkdir(parents=True, exist_ok=True)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w", encoding="utf-8") as errors:
        process = subprocess.Popen(  # our own arguments
            [
                sys.executable, "-m", f"sandbox.twins.{vendor}",
                "--port", str(port), "--state", str(state), "--api-key", key, "--until-stdin-closes",
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            encoding="utf-8",
            cwd=Path(__file__).resolve().parents[1],
        )  # fmt: skip
        try:
            ready = _ready(process, log, ["url", *known.announced.values()])
            announced = {variable: ready[name] for variable, name in known.announced.items()}
            with _environment(**{known.key_name: key, known.url_name: ready["url"]}, **announced):
                yield Twin(vendor, ready["url"], process)
        finally:
            _end(process)


def _ready(process: subprocess.Popen[str], log: Path, names: list[str]) -> dict[str, str]:
    """What the twin prints, as one line of JSON, when it listens: at least `names`."""
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
                return {name: str(ready[name]) for name in names}
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

"""`mailwright twin` shows the demo's simulated ESPs again, and ends with whoever looked."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from cli.twin import state_path
from sandbox.twins.klaviyo_store import Profile
from sandbox.twins.klaviyo_store import Store as KlaviyoStore
from sandbox.twins.mailchimp_store import DEFAULT_LIST, Member
from sandbox.twins.mailchimp_store import Store as MailchimpStore
from tests.cli.conftest import Outcome, command_line
from warehouse.settings import PROJECT_DIR

Call = Callable[..., Outcome]


def _fill(home: Path) -> None:
    for vendor in ("mailchimp", "klaviyo"):
        state_path(home, vendor).parent.mkdir(parents=True, exist_ok=True)
    with closing(MailchimpStore(state_path(home, "mailchimp"))) as store:
        store.put_member(DEFAULT_LIST, Member("m@shop.test", "subscribed"))
    with closing(KlaviyoStore(state_path(home, "klaviyo"))) as store:
        store.put_profile(Profile("k@shop.test"))


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_it_shows_all_and_ends_cleanly(tmp_path: Path, how: signal.Signals) -> None:
    """The default home has no ESPs of its own: then the demo's beside it are meant."""
    _fill(tmp_path / "demo")
    process = subprocess.Popen(
        command_line("twin", "--json"),
        cwd=PROJECT_DIR,
        env={**os.environ, "MAILWRIGHT_HOME": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stderr is not None
        for line in process.stderr:
            if "Ctrl-C" in line:
                break
        process.send_signal(how)
        out, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    pages = json.loads(out)["twins"]
    assert list(pages) == ["mailchimp", "klaviyo"]
    assert process.returncode == 0
    for page in pages.values():
        with pytest.raises(httpx.ConnectError):
            httpx.get(page, trust_env=False)


def test_what_it_shows(tmp_path: Path, mailwright: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    from cli.commands import twin as command

    _fill(tmp_path / "home")
    seen: dict[str, str] = {}

    def look(twins: list[object], folder: Path) -> None:
        for one in twins:
            seen[one.vendor] = httpx.get(f"{one.page}people", trust_env=False).text  # pyright: ignore[reportAttributeAccessIssue]
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "_wait", look)
    outcome = mailwright("twin", "klaviyo", home=tmp_path / "home")
    assert outcome.code == 0
    assert outcome.stdout.startswith("Simulated Klaviyo: http://127.0.0.1:")
    assert list(seen) == ["klaviyo"]
    assert "k@shop.test" in seen["klaviyo"]


def test_what_it_cannot_show(tmp_path: Path, mailwright: Call) -> None:
    empty = mailwright("twin", home=tmp_path / "home")
    assert (empty.code, "run `mailwright demo` first" in empty.stderr) == (3, True)
    _fill(tmp_path / "home")
    other = mailwright("twin", "hubspot", home=tmp_path / "home")
    assert (other.code, "No simulated HubSpot was filled here" in other.stderr) == (3, True)
    unknown = mailwright("twin", "mailchump", home=tmp_path / "home")
    assert (unknown.code, "mailchimp, klaviyo" in unknown.stderr) == (2, True)
    ports = mailwright("twin", "--port", "9999", home=tmp_path / "home")
    assert (ports.code, "for one vendor" in ports.stderr) == (2, True)


def test_a_twin_that_ends_by_itself_is_an_error(
    tmp_path: Path, mailwright: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cli.commands import twin as command

    _fill(tmp_path / "home")
    wait = command._wait

    def killed(twins: list[object], folder: Path) -> None:
        twins[0].process.kill()  # pyright: ignore[reportAttributeAccessIssue]
        twins[0].process.wait()  # pyright: ignore[reportAttributeAccessIssue]
        wait(twins, folder)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(command, "_wait", killed)
    outcome = mailwright("twin", "mailchimp", home=tmp_path / "home")
    assert (outcome.code, "ended by itself" in outcome.stderr) == (5, True)

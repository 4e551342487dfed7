"""The demo keeps to a home of its own, and its simulated ESP ends with it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from cli.demo import DemoConfig, claim_home, demo_settings, make_store
from cli.twin import VENDORS, start_twin
from reverse_etl.connect import make_destination
from tests.cli.conftest import Outcome
from warehouse.errors import DataError, RefusedError, RetriableError
from warehouse.settings import PROJECT_DIR, Settings

Call = Callable[..., Outcome]
SMALL = DemoConfig(contacts=60, events=600, months=2)


def test_it_lives_beside_the_users_own(settings: Settings, tmp_path: Path) -> None:
    own = settings.model_copy(update={"target": "dev", "threads": 1})
    found = demo_settings(own, DemoConfig(), home_given=False)
    assert found.home == own.home / "demo"
    assert found.is_production
    assert found.threads == 1
    assert demo_settings(own, DemoConfig(orders=tmp_path / "x"), home_given=False).home == own.home / "demo-orders"
    assert demo_settings(own, DemoConfig(), home_given=True).home == own.home


def test_it_refuses_a_warehouse_that_is_not_its_own(settings: Settings) -> None:
    settings.home.mkdir(parents=True)
    settings.warehouse_path.write_bytes(b"somebody's data")
    with pytest.raises(RefusedError, match="not a demo"):
        claim_home(settings, SMALL, fresh=True)
    assert settings.warehouse_path.read_bytes() == b"somebody's data"


def test_another_store_needs_a_word(settings: Settings) -> None:
    claim_home(settings, SMALL)
    (settings.home / "kept").touch()
    claim_home(settings, SMALL)
    assert (settings.home / "kept").exists()
    other = DemoConfig(contacts=61, events=600, months=2)
    with pytest.raises(RefusedError, match="another store"):
        claim_home(settings, other)
    assert (settings.home / "kept").exists()
    claim_home(settings, other, fresh=True)
    assert not (settings.home / "kept").exists()


def test_orders_must_be_a_file(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        claim_home(settings, DemoConfig(orders=tmp_path / "none.parquet"))
    assert not settings.home.exists()


def test_orders_are_known_by_their_content(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text("a", encoding="utf-8")
    two.write_text("a", encoding="utf-8")
    assert DemoConfig(orders=one).fingerprint() == DemoConfig(orders=two).fingerprint()
    assert DemoConfig(orders=one).fingerprint() != DemoConfig().fingerprint()


def test_a_store_is_made_once(settings: Settings) -> None:
    manifest, made = make_store(settings, SMALL)
    assert made
    before = manifest.stat().st_mtime_ns
    assert make_store(settings, SMALL) == (manifest, False)
    assert manifest.stat().st_mtime_ns == before


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_twin_ends_with_its_block(vendor: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Meanwhile a sync reaches it with nothing but the environment; then the user's own credentials are back."""
    known = VENDORS[vendor]
    monkeypatch.setenv(known.key_name, "the user's own")
    monkeypatch.delenv(known.url_name, raising=False)
    seen: list[str] = []

    def use() -> None:
        with start_twin(vendor, tmp_path / "state", tmp_path / "log") as twin:
            seen.append(twin.page)
            assert os.environ[known.url_name] == twin.url
            with closing(make_destination(vendor)) as destination:
                destination.check()
            counted = httpx.get(twin.stats).json()
            assert (counted["simulated"], counted["requests"] > 0) == (True, True)
            assert f"Simulated {known.label}" in httpx.get(twin.page).text
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        use()
    with pytest.raises(httpx.ConnectError):
        httpx.get(seen[0])
    assert os.environ[known.key_name] == "the user's own"
    assert known.url_name not in os.environ


def test_a_twin_that_cannot_start_is_a_message(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("this is no SQLite file, whatever its name says" * 50, encoding="utf-8")
    with (
        pytest.raises(RetriableError, match="did not start"),
        start_twin("mailchimp", tmp_path / "state", tmp_path / "log"),
    ):
        pass
    assert (tmp_path / "log").read_text(encoding="utf-8")


def test_plan_then_sync_then_nothing(mailwright: Call, own_copy: Settings) -> None:
    """The commands themselves, against the twin: what was planned is done, and the second time nothing is."""
    with start_twin("mailchimp", own_copy.home / "esp.sqlite", own_copy.home / "esp.log"):
        plan = mailwright("--target", "prod", "plan", "--json", home=own_copy.home)
        dry = mailwright("--target", "prod", "sync", "--dry-run", "--json", home=own_copy.home)
        first = mailwright("--target", "prod", "sync", "--json", home=own_copy.home)
        second = mailwright("--target", "prod", "sync", home=own_copy.home)
    assert [plan.code, dry.code, first.code, second.code] == [0, 0, 0, 0], first.stderr
    assert plan.document["created"] == dry.document["created"] == first.document["created"] > 0
    assert dry.document["writes"] == 0
    assert first.document["writes"] > 0
    assert "nothing was written" in second.stdout
    for outcome in (plan, dry, first, second):
        assert "@" not in outcome.stdout + outcome.stderr


def test_keys_that_do_not_fit(mailwright: Call, own_copy: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MAILCHIMP_API_KEY", "MAILCHIMP_LIST_ID", "MAILCHIMP_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    without = mailwright("--target", "prod", "sync", home=own_copy.home)
    assert without.code == 2
    assert "MAILCHIMP_API_KEY" in without.stderr
    with start_twin("mailchimp", own_copy.home / "esp.sqlite", own_copy.home / "esp.log"):
        monkeypatch.setenv("MAILCHIMP_API_KEY", "0badc0de0badc0de0badc0de-us1")
        wrong = mailwright("--target", "prod", "sync", home=own_copy.home)
        unknown = mailwright("--target", "prod", "sync", "mailchump", home=own_copy.home)
    assert (wrong.code, unknown.code) == (2, 2)
    assert "Did you mean 'mailchimp'?" in unknown.stderr
    for outcome in (without, wrong, unknown):
        assert "0badc0de" not in outcome.stdout + outcome.stderr
        assert "Traceback" not in outcome.stderr


def test_status_of_a_store_that_was_synced(mailwright: Call, own_copy: Settings) -> None:
    with start_twin("mailchimp", own_copy.home / "esp.sqlite", own_copy.home / "esp.log"):
        mailwright("--target", "prod", "sync", home=own_copy.home)
    before = own_copy.warehouse_path.read_bytes()
    outcome = mailwright("--target", "prod", "status", "--json", home=own_copy.home)
    tables = outcome.document["tables"]
    assert outcome.document["schema"] == "analytics"
    assert {row["provenance"] for row in tables["loads"]} == {"simulated"}
    assert tables["builds"][0]["status"] == "succeeded"
    assert tables["syncs"][0]["status"] == "succeeded"
    assert tables["syncs"][0]["report"]["created"] > 0
    assert tables["unchecked_loads"] == []
    assert {row["state"] for row in tables["ledger"]} == {"confirmed"}
    shown = mailwright("--target", "prod", "status", home=own_copy.home)
    assert "mailchimp" in shown.stdout
    assert "@" not in shown.stdout + outcome.stdout
    assert own_copy.warehouse_path.read_bytes() == before  # it changed nothing


def test_backup_and_restore(mailwright: Call, built_settings: Settings, tmp_path: Path) -> None:
    saved = mailwright("--target", "prod", "backup", tmp_path / "saved", "--json", home=built_settings.home)
    assert saved.code == 0
    again = mailwright("--target", "prod", "backup", tmp_path / "saved", home=built_settings.home)
    assert again.code == 4
    restored = mailwright("--target", "prod", "restore", tmp_path / "saved", "--json", home=tmp_path / "new")
    assert restored.document["n_rows"] == saved.document["n_rows"] > 0
    assert mailwright("restore", tmp_path / "saved", home=tmp_path / "new").code == 4
    assert mailwright("restore", tmp_path, home=tmp_path / "other").code == 3


def test_the_ui_is_this_installations_alone(mailwright: Call, tmp_path: Path) -> None:
    outcome = mailwright("--target", "prod", "ui", "--dry-run", "--json", "--port", "3999")
    assert outcome.code == 0, outcome.stderr
    command = outcome.document["command"]
    assert command[command.index("-h") + 1] == "127.0.0.1"
    assert outcome.document["dagster_home"] == str(tmp_path / "home" / "dagster")


def test_the_twin_ends_with_a_killed_parent(tmp_path: Path) -> None:
    """SIGKILL leaves no time to end a child; the child sees its stdin close."""
    code = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from cli.twin import start_twin\n"
        "with start_twin('klaviyo', Path(sys.argv[1]) / 'state', Path(sys.argv[1]) / 'log') as twin:\n"
        "    print(twin.page, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], cwd=PROJECT_DIR, stdout=subprocess.PIPE, text=True, timeout=60
    )
    url = done.stdout.strip()
    assert url.startswith("http://127.0.0.1:")

    def is_there() -> bool:
        try:
            httpx.get(url, timeout=1)
        except httpx.TransportError:
            return False
        return True

    for _ in range(600):
        if not is_there():
            return
    pytest.fail("the twin outlived its parent")

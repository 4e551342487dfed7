"""Which account a sync writes to, and within which limits."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from reverse_etl.connect import needs_of, open_account, open_destination
from reverse_etl.errors import DestinationConfigError
from reverse_etl.limits import adjustable, keep_to, limit, limits_of
from tests.reverse_etl.world import small_declaration
from warehouse.settings import Settings

UK = {"MAILCHIMP_UK_API_KEY": "0123456789abcdef-us9", "MAILCHIMP_UK_LIST_ID": "uklist"}


@pytest.fixture(autouse=True)
def _limits_as_they_were() -> Iterator[None]:
    yield
    keep_to("mailchimp", {})


@pytest.fixture(autouse=True)
def _default_account(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MAILCHIMP_API_KEY", "MAILCHIMP_LIST_ID", "MAILCHIMP_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


def test_an_account_has_credentials_of_its_own(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAILCHIMP_API_KEY", "fedcba9876543210-us1")
    monkeypatch.setenv("MAILCHIMP_LIST_ID", "mainlist")
    for name, value in UK.items():
        monkeypatch.setenv(name, value)
    uk = small_declaration(settings, account="MAILCHIMP_UK")
    assert needs_of(uk) == sorted(UK)
    assert open_destination(uk).key == "mailchimp/uklist"
    assert open_destination(small_declaration(settings)).key == "mailchimp/mainlist"


def test_an_account_never_falls_back_to_another_ones_credentials(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAILCHIMP_API_KEY", "fedcba9876543210-us1")
    monkeypatch.setenv("MAILCHIMP_LIST_ID", "mainlist")
    monkeypatch.setenv("MAILCHIMP_UK_API_KEY", UK["MAILCHIMP_UK_API_KEY"])
    with pytest.raises(DestinationConfigError, match="set MAILCHIMP_UK_API_KEY and MAILCHIMP_UK_LIST_ID"):
        open_destination(small_declaration(settings, account="MAILCHIMP_UK"))


def test_lower_limits_hold_for_the_sync_that_declares_them(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAILCHIMP_API_KEY", "fedcba9876543210-us1")
    monkeypatch.setenv("MAILCHIMP_LIST_ID", "mainlist")
    usual = limit("mailchimp", "connections_used")
    target = open_destination(small_declaration(settings, limits={"connections_used": 2, "records_per_batch": 100}))
    assert (target.concurrency, target.batch_size("update")) == (2, 100)
    assert limits_of("mailchimp")["connections_used"].value == 2
    assert limit("mailchimp", "merge_tag_length") == 10
    assert open_destination(small_declaration(settings)).concurrency == usual > 2
    every = small_declaration(settings, limits={"connections_used": 10})  # all that the vendor gives an account
    assert open_destination(every).concurrency == 10 > usual


def test_what_a_vendor_takes_at_all_is_not_ours_to_choose() -> None:
    for kind in ("hubspot", "klaviyo", "mailchimp", "sendgrid"):
        names = set(adjustable(kind))
        assert "connections_used" in names
        assert not {name for name in names if name.endswith("length") or "seconds" in name.split("_per_")[0]}


def test_an_unknown_kind_is_named() -> None:
    with pytest.raises(DestinationConfigError, match="Unknown destination 'braze'"):
        open_account("braze", "BRAZE_EU")


@pytest.mark.parametrize(
    ("kind", "needs", "name"),
    [
        ("sendgrid", {"API_KEY": "SG.0123456789abcdef.0123456789abcdef0123456789abcdef"}, "ACCOUNT"),
        ("hubspot", {"ACCESS_TOKEN": "pat-na1-0123", "SUBSCRIPTION_ID": "4711"}, "PORTAL"),
    ],
)
def test_accounts_that_nobody_named_are_told_apart(
    monkeypatch: pytest.MonkeyPatch, kind: str, needs: dict[str, str], name: str
) -> None:
    """They would share what is confirmed, and how far suppressions were read."""
    for prefix in (kind.upper(), f"{kind.upper()}_UK"):
        for variable, value in needs.items():
            monkeypatch.setenv(f"{prefix}_{variable}", value)
    main, uk = open_account(kind), open_account(kind, f"{kind.upper()}_UK")
    assert main.key != uk.key
    monkeypatch.setenv(f"{kind.upper()}_UK_{name}", "islands")
    assert "islands" in open_account(kind, f"{kind.upper()}_UK").key

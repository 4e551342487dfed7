"""The gate refuses until everything upstream passed, and says what is missing."""

from __future__ import annotations

import re

import pytest

from expectations.gate import assert_checked
from expectations.runner import check_activation, check_loads
from ingest.withdraw import withdraw
from tests.expectations.conftest import LINES, ORDERS, LoadRows, Query, build_activation
from warehouse.connection import connect
from warehouse.errors import RefusedError
from warehouse.settings import Settings
from warehouse.state import ensure_state


def _ask(settings: Settings) -> None:
    with connect(settings, purpose="test") as con:
        ensure_state(con, settings)
        assert_checked(con, settings)


def _refused(settings: Settings, said: str) -> RefusedError:
    with pytest.raises(RefusedError, match=said) as caught:
        _ask(settings)
    assert caught.value.todo
    return caught.value


def test_the_way_to_a_yes(settings: Settings, load_rows: LoadRows) -> None:
    _refused(settings, "was never built")
    load_rows("shop_orders", ORDERS.format(bad=0))
    load_rows("shop_order_lines", LINES.format(price="2"))
    build_activation(settings)
    _refused(settings, r"2 loads were never checked: raw.shop_orders \(shop_orders_.*, raw.shop_order_lines \(")
    check_loads(settings)
    _refused(settings, "analytics.sync_esp__members was not checked since it was built")
    check_activation(settings)
    _ask(settings)


@pytest.mark.usefixtures("orders")
def test_a_failed_load_blocks_and_is_named(settings: Settings, load_rows: LoadRows) -> None:
    load_rows("shop_order_lines", LINES.format(price="2"))
    bad = load_rows("shop_order_lines", LINES.format(price="-2"))
    build_activation(settings)
    check_loads(settings)
    check_activation(settings)
    error = _refused(settings, "raw.shop_order_lines did not pass its checks")
    assert "raw.shop_order_lines.unit_price: share_negative_prices_severe, 100 rows" in error.what
    assert re.search(r"rows with key [0-9a-f]{12}(, [0-9a-f]{12}){4} \(hashed\)", error.what)
    assert bad in (error.where or "")
    assert error.exit_code == 4
    withdraw(settings, bad)
    _refused(settings, f"Load {bad} was withdrawn after the build")
    build_activation(settings, first_name="'Ann'")
    check_activation(settings)
    _ask(settings)


def test_a_load_after_the_build_does_not_matter_to_it(settings: Settings, load_rows: LoadRows) -> None:
    build_activation(settings)
    check_activation(settings)
    load_rows("shop_order_lines", LINES.format(price="-2"))
    check_loads(settings)
    _ask(settings)


def test_bad_activation_blocks(settings: Settings) -> None:
    build_activation(settings, consent_verdict="'subscribe'")
    check_activation(settings)
    error = _refused(settings, "analytics.sync_esp__members did not pass")
    assert "consent_verdict: share_subscribed_against_consent, 20 rows" in error.what


@pytest.mark.parametrize("status", ["running", "failed"])
def test_the_newest_build_must_have_succeeded(settings: Settings, query: Query, status: str) -> None:
    build_activation(settings)
    check_activation(settings)
    query(
        "insert into ops.builds (build_id, schema_name, as_of, known_at, started_at, status) "
        "select 'build_z', schema_name, as_of, known_at, started_at + interval 1 minute, ? from ops.builds",
        status,
    )
    _refused(settings, f"is '{status}'")


def test_a_newer_build_needs_checks_of_its_own(settings: Settings) -> None:
    build_activation(settings)
    check_activation(settings)
    build_activation(settings, first_name="'Bob'")
    _refused(settings, "was not checked since it was built")

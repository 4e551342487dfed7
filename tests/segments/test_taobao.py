"""A real clickstream: carts of the last 24 hours without a purchase, against a count by hand."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from tests.dbt import features_support as support
from tests.segments.inline import compile_inline

INSTANTS = (datetime(2017, 11, 27, 12), datetime(2017, 11, 30), datetime(2017, 12, 2, 18, 30, 15))
DAY = timedelta(hours=24)
WITHOUT = "did('Product Added', within='24 hours'), did_not('Any Order', within='24 hours')"
SINCE = "then_not('Product Added', 'Any Order', started_within='24 hours')"
SAME = "then('Product Added', 'Any Order', within='24 hours', started_within='48 hours')"

EVENTS = """
    insert into fct_web_events by name
    select
        who as profile_id,
        happened_at as occurred_at,
        happened_at::date as occurred_on,
        case what when 'cart' then 'Product Added' else 'Product Viewed' end as event_name
    from clicks where happened_at < ? and what in ('cart', 'pv')"""
ORDERS = """
    insert into fct_orders by name
    select who as profile_id, happened_at as ordered_at, happened_at::date as ordered_on, true as is_purchase
    from clicks where happened_at < ? and what = 'buy'"""


@pytest.fixture(scope="module")
def clicks(shared_dir: Callable[[str], Path]) -> list[tuple[str, str, datetime]]:
    """(user, behaviour, instant) of every row."""
    path = shared_dir("data/taobao/taobao_100k.parquet")
    rows = duckdb.execute(f"select user_id, behavior_type, event_at from '{path}'").fetchall()
    return [(str(who), what, at) for who, what, at in rows]


def by_hand(clicks: list[tuple[str, str, datetime]], as_of: datetime) -> dict[str, set[str]]:
    """Loops over the rows, no SQL."""
    past = [row for row in clicks if row[2] < as_of]
    carts: dict[str, list[datetime]] = {}
    orders: dict[str, list[datetime]] = {}
    for who, what, at in past:
        if what in ("cart", "buy"):
            (carts if what == "cart" else orders).setdefault(who, []).append(at)
    without, since, followed = set(), set(), set()
    for who, added in carts.items():
        bought = orders.get(who, [])
        recent = [at for at in added if at >= as_of - DAY]
        if recent and not [at for at in bought if at >= as_of - DAY]:
            without.add(who)
        if any(not [later for later in bought if later >= at] for at in recent):
            since.add(who)
        if any(at < later <= at + DAY for at in added if at >= as_of - 2 * DAY for later in bought):
            followed.add(who)
    return {"without": without, "since": since, "followed": followed}


def test_carts_without_purchase(clicks: list[tuple[str, str, datetime]], one_place: Callable[[], Path]) -> None:
    settings = support.new_settings(one_place())
    support.write(settings, {})
    definitions = ", ".join(
        f"{{'name': '{name}', 'all_of': [{conditions}], 'any_of': [], 'none_of': [], 'capacity': none}}"
        for name, conditions in (("without", WITHOUT), ("since", SINCE), ("followed", SAME))
    )
    query = compile_inline(settings, f"members_query([{definitions}])")
    people = {who for who, _, _ in clicks}
    assert len(people) == 983
    with duckdb.connect(str(settings.warehouse_path)) as con:
        con.execute("set TimeZone = 'UTC'")
        con.execute("use analytics")
        con.execute("create table profile_features (profile_id text, as_of timestamp)")
        con.execute("create temp table clicks (who text, what text, happened_at timestamp)")
        values = ", ".join(f"('{who}', '{what}', '{at}')" for who, what, at in clicks if what in ("pv", "cart", "buy"))
        con.execute(f"insert into clicks values {values}")
        for as_of in INSTANTS:
            for table in ("clock", "profile_features", "fct_web_events", "fct_orders"):
                con.execute(f"delete from {table}")
            con.execute("insert into clock values (?, ?)", [as_of, as_of])
            con.execute("insert into profile_features select distinct who, ?::timestamp from clicks", [as_of])
            con.execute(EVENTS, [as_of])
            con.execute(ORDERS, [as_of])
            found: dict[str, set[str]] = {"without": set(), "since": set(), "followed": set()}
            for who, name in con.execute(f"select profile_id, segment_name from ({query})").fetchall():
                found[name].add(who)
            wanted = by_hand(clicks, as_of)
            assert found == wanted, as_of
            assert min(len(ids) for ids in wanted.values()) > 20, "there is something to find"

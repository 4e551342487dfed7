"""Real orders through the whole job: `mailwright demo --orders` on UCI Online Retail hits every published fact."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest

from tests.e2e import lifecycle_oracle
from tests.e2e.conftest import Done, Run
from tests.e2e.past import show_the_past
from warehouse.connection import connect
from warehouse.settings import PROJECT_DIR, Settings

pytestmark = pytest.mark.e2e

FIRST_LINES = "from raw.shop_order_lines as l join raw.shop_orders as o using (order_id)"

FACTS = {
    "rows": (f"select count(*) {FIRST_LINES}", 541_909),
    "customers": (f"select count(distinct customer_id) {FIRST_LINES}", 4_372),
    "invoices": (f"select count(distinct order_id) {FIRST_LINES}", 25_900),
    "countries": (f"select count(distinct o.country) {FIRST_LINES}", 38),
    "rows without customer": (f"select count(*) {FIRST_LINES} where customer_id is null", 135_080),
    "cancellation rows": (f"select count(*) {FIRST_LINES} where order_id like 'C%'", 9_288),
    "rows with negative quantity": (f"select count(*) {FIRST_LINES} where quantity < 0", 10_624),
    "rows with price 0": (f"select count(*) {FIRST_LINES} where unit_price = 0", 2_515),
    "rows with negative price": (f"select count(*) {FIRST_LINES} where unit_price < 0", 2),
    "exact duplicates": (
        "select count(*) - (select count(*) from (select distinct order_id, product_id, description, quantity, "
        f"unit_price, l.created_at, customer_id, o.country {FIRST_LINES})) {FIRST_LINES}",
        5_268,
    ),
}

CLEAN = f"{FIRST_LINES} where customer_id is not null and order_id not like 'C%' and quantity > 0 and unit_price > 0"


@pytest.fixture(scope="module")
def orders(shared_dir: Callable[[str], Path]) -> Path:
    return shared_dir("data/online_retail") / "online_retail.parquet"


@pytest.fixture(scope="module")
def demo(orders: Path, mailwright: Run, tmp_path_factory: pytest.TempPathFactory) -> tuple[Done, Settings]:
    home = tmp_path_factory.mktemp("online_retail")
    done = mailwright("demo", "--orders", str(orders), "--events", "60000", "--json", home=home)
    assert done.code == 0, done.stderr[-4000:]
    return done, Settings(home=home, target="prod")


@pytest.fixture
def query(demo: tuple[Done, Settings]) -> Callable[[str], list[tuple[Any, ...]]]:
    def run(sql: str) -> list[tuple[Any, ...]]:
        with connect(demo[1], read_only=True) as con:
            return con.execute(sql).fetchall()

    return run


@pytest.mark.parametrize("fact", FACTS)
def test_raw_rows_are_the_published_ones(fact: str, query: Callable[[str], list[tuple[Any, ...]]]) -> None:
    sql, expected = FACTS[fact]
    assert query(sql) == [(expected,)]


def test_the_usual_clean_cut(query: Callable[[str], list[tuple[Any, ...]]]) -> None:
    sql = f"select count(*), count(distinct customer_id), count(distinct order_id), sum(quantity * unit_price) {CLEAN}"
    assert query(sql) == [(397_884, 4_338, 18_532, Decimal("8911407.9040"))]


def test_the_clock_stands_where_the_data_ends(demo: tuple[Done, Settings], query: Any) -> None:
    assert query("select as_of from analytics.clock") == [(datetime(2011, 12, 10),)]
    assert "2011-12-10" in demo[0].stdout


def test_reconciliation_leads_from_raw_through_the_clean_cut_to_the_mart(query: Any) -> None:
    """Each step's remainder is the one before minus what the rule took; the ends are counted independently."""
    steps = query(
        "select rule, rows_removed, revenue_removed, rows_left, revenue_left "
        "from analytics.order_reconciliation order by step_number"
    )
    for before, step in itertools.pairwise(steps):
        assert step[3] == before[3] - step[1], step[0]
        assert step[4] == before[4] - step[2], step[0]
    assert steps[0][3] == 541_909
    assert (397_884, Decimal("8911407.90")) in [(rows, round(money, 2)) for *_, rows, money in steps]
    net = query("select sum(net_revenue), count(*) from analytics.fct_order_lines")[0]
    assert round(steps[-1][4], 2) == round(net[0], 2)
    assert net[0] == query("select sum(net_revenue) from analytics.fct_orders")[0][0]


def test_no_return_nets_more_than_was_bought(query: Any) -> None:
    assert query(
        "select count(*) from analytics.fct_order_lines where returned_quantity > quantity or net_revenue < 0"
    ) == [(0,)]


def test_an_oracle_in_python_agrees_on_returns_of_known_customers(orders: Path, query: Any) -> None:
    """First in, first out per customer and product, no return before its sale: row by row, from the file."""
    codes = {row[0] for row in query("select distinct product_id from analytics.fct_order_lines")}
    with duckdb.connect() as con:
        rows = con.execute(
            "select distinct InvoiceNo, StockCode, Description, Quantity, InvoiceDate, UnitPrice, CustomerID "
            "from read_parquet(?) where CustomerID is not null and UnitPrice > 0 and Quantity <> 0",
            [str(orders)],
        ).fetchall()
    # a return and a sale of one instant: the sale comes first
    rows.sort(key=lambda row: (row[4], row[3] < 0, row[0]))
    open_units: dict[tuple[int, str], int] = {}
    returned = 0
    for _, code, _, quantity, _, _, customer in rows:
        if code not in codes:
            continue
        key = (customer, code)
        if quantity > 0:
            open_units[key] = open_units.get(key, 0) + quantity
        else:
            taken = min(open_units.get(key, 0), -quantity)
            open_units[key] = open_units.get(key, 0) - taken
            returned += taken
    found = query("select sum(returned_quantity) from analytics.fct_order_lines where identifier_type is not null")[0][
        0
    ]
    assert found == returned


def test_every_profile_has_one_stage_and_real_customers_have_cells(query: Any) -> None:
    profiles = query("select count(*) from analytics.dim_profiles")
    assert query("select count(*), count(distinct profile_id) from analytics.lifecycle_stages") == [profiles[0] * 2]
    scored = query("select count(*) from analytics.rfm_scores")[0][0]
    buyers = query("select count(distinct profile_id) from analytics.fct_orders where is_purchase")[0][0]
    assert 4_000 < scored <= buyers


def test_the_sync_confirmed_everybody(demo: tuple[Done, Settings], query: Any) -> None:
    syncs = demo[0].document["syncs"]
    assert set(syncs) == {"mailchimp", "klaviyo"}
    confirmed = query(
        "select sync_name, count(*) from ledger.sync_state where object = 'member' and state = 'confirmed' group by all"
    )
    for sync_name, n in confirmed:
        sync = syncs[sync_name]
        assert sync["created"] > 4_000
        assert sync["rejected"] == {}
        assert n == sync["created"] + sync["updated"] + sync["lowered"]
    assert len(confirmed) == 2


def _assert_lifecycle_is_that_of_pandas(settings: Settings, schema: str, as_of: datetime, orders: Path) -> None:
    """Everybody's stages, and every buyer's RFM, in a schema of the store."""
    seeds = PROJECT_DIR / "dbt_project" / "seeds"
    with connect(settings, read_only=True) as con:

        def frame(sql: str) -> pd.DataFrame:
            return con.execute(sql.replace("analytics.", f"{schema}.")).df()

        links = frame(
            "select identifier_value, profile_id from analytics.int_identity__identifier_profiles "
            "where identifier_type = 'customer_id'"
        )
        wanted = lifecycle_oracle.lifecycle(
            lifecycle_oracle.order_lines(orders, as_of, pd.read_csv(seeds / "non_product_codes.csv")),
            as_of,
            links.set_index("identifier_value")["profile_id"],
            frame("select profile_id, signed_up_at is not null as has_signed_up from analytics.dim_profiles"),
            frame(
                "select profile_id, occurred_on as on from analytics.fct_web_events "
                "where profile_id is not null union all "
                "select profile_id, occurred_on from analytics.fct_email_events "
                "where event_type in ('open', 'click') and not is_machine and profile_id is not null"
            ),
            frame(
                "select profile_id, occurred_on as on from analytics.fct_web_events "
                "where event_name in ('Product Viewed', 'Product Added') and profile_id is not null"
            ),
            pd.read_csv(seeds / "rfm_cells.csv"),
        )
        got = frame(
            "select stages.profile_id, customer_stage, journey_stage, recency_days, frequency, "
            "cast(monetary * 100 as bigint) as monetary, recency_score, frequency_score, monetary_score, rfm_cell "
            "from analytics.lifecycle_stages as stages left join analytics.rfm_scores using (profile_id)"
        ).set_index("profile_id")
    pd.testing.assert_frame_equal(got.sort_index(), wanted.sort_index(), check_dtype=False)
    assert set(got["customer_stage"]) >= {"lapsed_customer", "repeat_buyer", "new_customer", "active_customer"}
    assert len(set(got["journey_stage"])) == 4
    assert got["frequency"].count() > 2_500
    assert got["rfm_cell"].nunique() == 11


def test_rfm_and_both_lifecycles_are_those_of_pandas(demo: tuple[Done, Settings], orders: Path) -> None:
    _assert_lifecycle_is_that_of_pandas(demo[1], "analytics", datetime(2011, 12, 10), orders)


def test_the_past_is_apart_repeatable_and_never_synced(
    demo: tuple[Done, Settings], orders: Path, mailwright: Run, tmp_path: Path
) -> None:
    settings = Settings(home=tmp_path / "home", target="prod")
    settings.home.mkdir()
    # the other tests read the demo's store as it is
    shutil.copyfile(demo[1].warehouse_path, settings.warehouse_path)
    relations = show_the_past(settings, mailwright, "2011-09-01", tmp_path)
    assert len(relations) > 60
    with connect(settings, read_only=True) as con:
        steps = con.execute(
            "select rows_left, revenue_left from asof_20110901.order_reconciliation order by step_number"
        ).fetchall()
        # counted in the file itself: of 541,909 rows and of 397,884 clean ones
        seen, clean, worth = con.execute(
            "select count(*), count(*) filter (is_clean), sum(Quantity * UnitPrice::decimal(18, 4)) filter (is_clean) "
            "from (select *, CustomerID is not null and InvoiceNo not like 'C%' and Quantity > 0 and UnitPrice > 0 "
            "as is_clean from read_parquet(?) where InvoiceDate < '2011-09-01')",
            [str(orders)],
        ).fetchall()[0]
    assert 300_000 < seen < 400_000
    assert steps[0][0] == seen
    assert (clean, round(worth, 2)) in [(rows, round(money, 2)) for rows, money in steps]
    _assert_lifecycle_is_that_of_pandas(settings, "asof_20110901", datetime(2011, 9, 1), orders)

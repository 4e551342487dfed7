"""Small warehouses with the relations that the ML jobs read, and nothing else."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa

from warehouse.clock import Clock, set_clock
from warehouse.connection import connect
from warehouse.settings import Settings
from warehouse.state import ensure_state

ORDER_LINES = """profile_id text, order_id text, product_id text, ordered_at timestamp, quantity bigint,
    net_quantity bigint, returned_quantity bigint, last_returned_at timestamp,
    gross_revenue numeric(18, 2), net_revenue numeric(18, 2)"""
WEB_EVENTS = "profile_id text, event_name text, product_id text, occurred_at timestamp"
PRODUCTS = (
    "product_id text, product_name text, category text, price numeric(18, 4), is_in_stock boolean, is_product boolean"
)


def new_store(settings: Settings, as_of: datetime) -> None:
    """An empty store whose clock stands at `as_of`."""
    with connect(settings) as con:
        ensure_state(con, settings)
        set_clock(con, settings.schema, Clock(as_of, as_of))
        for name, columns in (
            ("fct_order_lines", ORDER_LINES),
            ("fct_web_events", WEB_EVENTS),
            ("dim_products", PRODUCTS),
        ):
            con.execute(f'create table "{settings.schema}".{name} ({columns})')


def set_as_of(settings: Settings, as_of: datetime) -> None:
    with connect(settings) as con:
        set_clock(con, settings.schema, Clock(as_of, as_of))


def insert(settings: Settings, table: str, sql: str) -> None:
    """Insert the result of a select, by name."""
    with connect(settings) as con:
        con.execute(f'insert into "{settings.schema}".{table} by name {sql}')


def query(settings: Settings, sql: str) -> list[tuple]:
    """Rows of a select; `{schema}` and `{ml}` stand for the two schemas."""
    with connect(settings, read_only=True) as con:
        return con.execute(sql.format(schema=settings.schema, ml=settings.ml_schema)).fetchall()


def online_retail(settings: Settings, parquet: Path, as_of: datetime) -> None:
    """UCI Online Retail as order lines: the usual clean cut less exact duplicates and non-product codes.

    A cancellation is netted against the same customer's newest earlier line of that product with at least its quantity.
    """
    new_store(settings, as_of)
    with connect(settings) as con:
        con.execute(f"set schema = '\"{settings.schema}\"'")
        con.execute(
            f"""create temp table lines as
            select distinct InvoiceNo as order_id, StockCode as product_id, cast(CustomerID as text) as profile_id,
                   Quantity as quantity, InvoiceDate as ordered_at, cast(UnitPrice as numeric(18, 4)) as price,
                   Description
            from '{parquet}'
            where CustomerID is not null and regexp_matches(StockCode, '^[0-9]{{5}}')
              and InvoiceNo not like 'A%' and UnitPrice > 0"""
        )
        con.execute(
            """create temp table matched as
            select order_id, product_id, profile_id, ordered_at, quantity, price,
                   coalesce(sum(back), 0) as returned_quantity, max(returned_at) as last_returned_at
            from (select s.*, r.back, r.ordered_at as returned_at from (
                    select *, row_number() over (order by ordered_at, order_id, product_id, quantity, price) as n
                    from lines where order_id not like 'C%' and quantity > 0) as s
                  left join (
                    select r.profile_id, r.product_id, r.ordered_at, -r.quantity as back,
                           (select max(n) from (select *, row_number() over (order by ordered_at, order_id, product_id,
                                quantity, price) as n from lines where order_id not like 'C%' and quantity > 0) as s
                            where s.profile_id = r.profile_id and s.product_id = r.product_id
                              and s.ordered_at < r.ordered_at and s.quantity >= -r.quantity) as n
                    from lines as r where order_id like 'C%' and quantity < 0) as r on r.n = s.n)
            group by all"""
        )
        con.execute(
            """insert into fct_order_lines by name
            select profile_id, order_id, product_id, ordered_at, quantity, returned_quantity, last_returned_at,
                   greatest(quantity - returned_quantity, 0) as net_quantity, price * quantity as gross_revenue,
                   price * greatest(quantity - returned_quantity, 0) as net_revenue
            from matched where ordered_at < ?""",
            [as_of],
        )
        con.execute(
            """insert into dim_products by name
            select product_id, mode(Description) as product_name, median(price) as price, true as is_in_stock,
                   true as is_product
            from lines group by product_id"""
        )


def complete_journey(settings: Settings, parquet: Path, as_of: datetime) -> None:
    """Complete Journey (a sample of its transactions) as order lines: a household is a person, a basket an order."""
    new_store(settings, as_of)
    insert(
        settings,
        "fct_order_lines",
        f"""select household_id as profile_id, basket_id as order_id, product_id,
                min(transaction_timestamp) as ordered_at, 1 as quantity, 1 as net_quantity, 0 as returned_quantity,
                sum(sales_value) as gross_revenue, sum(sales_value) as net_revenue
            from '{parquet}' where transaction_timestamp < timestamp '{as_of}'
            group by household_id, basket_id, product_id""",
    )


def cdnow(settings: Settings, parquet: Path, as_of: datetime) -> None:
    """CDNOW (a sample of its buyers, new in one quarter) as order lines: a day's purchases are an order."""
    new_store(settings, as_of)
    insert(
        settings,
        "fct_order_lines",
        f"""select cast(sample_id as text) as profile_id, sample_id || '-' || date as order_id, 'cd' as product_id,
                cast(date as timestamp) as ordered_at, 1 as quantity, 1 as net_quantity, 0 as returned_quantity,
                sum(amount) as gross_revenue, sum(amount) as net_revenue
            from '{parquet}' where date < timestamp '{as_of}' group by sample_id, date""",
    )


PURCHASE_FEATURES = (
    "recency_days", "days_since_first_purchase", "orders_lifetime", "items_lifetime", "revenue_lifetime",
    "returned_revenue_lifetime", "purchase_days_lifetime", "average_order_value", "mean_days_between_purchases",
    "stddev_days_between_purchases", "max_days_between_purchases",
    *(f"{measure}_{days}d" for measure in ("orders", "items", "revenue") for days in (30, 90, 365)),
)  # fmt: skip
"""The features that order lines alone can answer."""


def features_sql(settings: Settings, cutoffs: str) -> str:
    """One row per cut-off and buyer: the mart's definitions, for order lines alone."""
    windows = "".join(
        f"""count(*) filter (ordered_at >= as_of - interval {days} day) as orders_{days}d,
            coalesce(sum(items) filter (ordered_at >= as_of - interval {days} day), 0) as items_{days}d,
            coalesce(sum(revenue) filter (ordered_at >= as_of - interval {days} day), 0) as revenue_{days}d,
        """
        for days in (30, 90, 365)
    )
    return f"""
        with cutoffs as ({cutoffs}),
        orders as (
            select as_of, profile_id, order_id, min(ordered_at) as ordered_at,
                sum(case when last_returned_at < as_of then net_quantity else quantity end) as items,
                sum(case when last_returned_at < as_of then net_revenue else gross_revenue end) as revenue,
                sum(case when last_returned_at < as_of then gross_revenue - net_revenue else 0 end) as returned
            from cutoffs inner join "{settings.schema}".fct_order_lines on ordered_at < as_of group by all
        ),
        gaps as (
            select *, nullif(date_diff('day', lag(ordered_at) over (partition by as_of, profile_id
                order by ordered_at, order_id), ordered_at), 0) as gap
            from orders where items > 0
        )
        select as_of, profile_id, {windows}
            date_diff('day', max(ordered_at), as_of) as recency_days,
            date_diff('day', min(ordered_at), as_of) as days_since_first_purchase,
            count(*) as orders_lifetime, sum(items) as items_lifetime, sum(revenue) as revenue_lifetime,
            sum(returned) as returned_revenue_lifetime,
            count(distinct cast(ordered_at as date)) as purchase_days_lifetime, avg(revenue) as average_order_value,
            avg(gap) as mean_days_between_purchases,
            sqrt((count(gap) * sum(gap * gap) - sum(gap) * sum(gap)) / nullif(count(gap) * (count(gap) - 1), 0))
                as stddev_days_between_purchases,
            max(gap) as max_days_between_purchases, cast(as_of as date) as as_of_on,
            coalesce(sum(revenue) filter (cast(ordered_at as date) = first_on), 0) as first_day_revenue
        from (select *, min(cast(ordered_at as date)) over (partition by as_of, profile_id) as first_on from gaps)
        group by as_of, profile_id"""


def build_churn_tables(settings: Settings, as_of: datetime, horizon_days: int, n_cutoffs: int = 8) -> None:
    """`profile_features` at `as_of`, and `churn_training_set` every 30 days from `as_of` − horizon backwards."""
    cutoffs = f"""select timestamp '{as_of}' - to_days(cast({horizon_days} + 30 * i as integer)) as as_of
                  from range({n_cutoffs}) as steps(i)"""
    with connect(settings) as con:
        con.execute(f"set schema = '\"{settings.schema}\"'")
        now = features_sql(settings, f"select timestamp '{as_of}' as as_of")
        con.execute(f"create or replace table profile_features as {now}")
        con.execute(
            f"""create or replace table churn_training_set as
            select f.*, f.as_of + to_days({horizon_days}) as horizon_ends_at,
                not exists (select 1 from fct_order_lines as l where l.profile_id = f.profile_id and l.net_quantity > 0
                    and l.ordered_at >= f.as_of and l.ordered_at < f.as_of + to_days({horizon_days})) as has_churned,
                (select count(distinct cast(l.ordered_at as date)) from fct_order_lines as l
                    where l.profile_id = f.profile_id and l.net_quantity > 0 and l.ordered_at >= f.as_of
                    and l.ordered_at < f.as_of + to_days({horizon_days})) as purchase_days_ahead,
                (select coalesce(sum(l.net_revenue), 0) from fct_order_lines as l
                    where l.profile_id = f.profile_id and l.net_quantity > 0 and l.ordered_at >= f.as_of
                    and l.ordered_at < f.as_of + to_days({horizon_days})) as revenue_ahead
            from ({features_sql(settings, cutoffs)}) as f
            where f.as_of >= (select min(ordered_at) from fct_order_lines) + to_days(60)"""
        )


def insert_rows(settings: Settings, table: str, columns: dict[str, object]) -> None:
    """Insert columns of equal length, by name; what the table has beside them stays null."""
    rows = pa.table(columns)
    with connect(settings) as con:
        con.register("planted", rows)
        con.execute(f'insert into "{settings.schema}".{table} by name select * from planted')


def insert_purchases(
    settings: Settings, profiles: np.ndarray, products: np.ndarray, at: np.ndarray, price: float = 10.0
) -> None:
    """One order per purchase, one piece each."""
    n = len(profiles)
    first = query(settings, "select count(*) from {schema}.fct_order_lines")[0][0]
    insert_rows(
        settings,
        "fct_order_lines",
        {
            "profile_id": profiles.tolist(),
            "order_id": [f"o{first + i}" for i in range(n)],
            "product_id": products.tolist(),
            "ordered_at": pa.array(at.astype("datetime64[us]")),
            "quantity": [1] * n,
            "net_quantity": [1] * n,
            "returned_quantity": [0] * n,
            "gross_revenue": [price] * n,
            "net_revenue": [price] * n,
        },
    )


def insert_views(settings: Settings, profiles: np.ndarray, products: np.ndarray, at: np.ndarray) -> None:
    insert_rows(
        settings,
        "fct_web_events",
        {
            "profile_id": profiles.tolist(),
            "event_name": ["Product Viewed"] * len(profiles),
            "product_id": products.tolist(),
            "occurred_at": pa.array(at.astype("datetime64[us]")),
        },
    )


def plant_catalogue(settings: Settings) -> None:
    """A hundred products in stock."""
    insert_rows(
        settings,
        "dim_products",
        {
            "product_id": [f"p{i:03d}" for i in range(100)],
            "product_name": [f"Product {i}" for i in range(100)],
            "price": [10.0] * 100,
            "is_in_stock": [True] * 100,
            "is_product": [True] * 100,
        },
    )


def planted_tastes(settings: Settings, as_of: datetime, n_people: int = 400, seed: int = 7) -> None:
    """Four tastes of 25 products; people stay with theirs nine times in ten; one best seller for all; no repeats.

    So popularity finds the best seller alone, own frequency nothing, and item-to-item the taste.
    """
    new_store(settings, as_of)
    rng = np.random.default_rng(seed)
    plant_catalogue(settings)
    people, items, days = [], [], []
    for person in range(n_people):
        taste = person % 4
        own = taste * 25 + rng.permutation(25)[:12]
        strange = rng.integers(0, 100, 12)
        bought = np.where(rng.random(12) < 0.9, own, strange)
        people += [f"u{person:04d}"] * 12
        items += [f"p{i:03d}" for i in bought]
        days += rng.uniform(0, 180, 12).tolist()
    before = np.asarray([round(day * 86_400) for day in days], dtype="timedelta64[s]")
    at = np.datetime64(as_of, "s") - before - np.timedelta64(1, "s")
    insert_purchases(settings, np.asarray(people), np.asarray(items), at)


def planted_churn(settings: Settings, as_of: datetime, n_people: int = 2500, seed: int = 11) -> None:
    """Buyers with rhythms of their own, who may leave for good after any purchase."""
    new_store(settings, as_of)
    rng = np.random.default_rng(seed)
    people, at = [], []
    for person in range(n_people):
        gap_days = float(np.exp(rng.normal(3.0, 1.0)))
        day = rng.uniform(0, 420)
        while day < 540:
            people.append(f"u{person:05d}")
            at.append(day)
            if rng.random() < 0.06:
                break
            day += 0.5 + rng.exponential(gap_days)
    start = np.datetime64(as_of, "s") - np.timedelta64(540, "D")
    when = start + np.asarray([round(day * 86_400) for day in at], dtype="timedelta64[s]")
    insert_purchases(settings, np.asarray(people), np.asarray(["p000"] * len(people)), when)

"""A small shop in raw tables (through the loader, by the project's own contracts), and a built activation layer."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from ingest.load import load
from warehouse.clock import Clock, set_clock, utcnow
from warehouse.connection import connect
from warehouse.settings import Settings
from warehouse.state import ensure_state

Query = Callable[..., list[tuple[Any, ...]]]
LoadRows = Callable[[str, str], str]

LINES = (
    "select 'o' || (i % 20) as order_id, i as line_number, 'p' || (i % 5) as product_id, 'Thing' as description, "
    "1 as quantity, ({price})::numeric(18,4) as unit_price, timestamp '2024-01-01' as created_at from range(100) t(i)"
)
ORDERS = (
    "select 'o' || i as order_id, 'c' as customer_id, null::varchar as user_id, null::varchar as email, "
    "case when i < {bad} then 'fax' else 'web' end as channel, 'sale' as order_type, "
    "null::varchar as original_order_id, 'placed' as status, null::timestamp as cancelled_at, false as is_test, "
    "'GB' as country, 'GBP' as currency, timestamp '2024-01-01' as ordered_at from range(100) t(i)"
)
CONTACTS = (
    "select 'c' || i as contact_id, {email} as email, '+4420794609' || (10 + i) as phone, 'Wilhelmina' as first_name, "
    "'Quackenbush' as last_name, 'f' as gender, 1980 as birth_year, 'Llanfair' as city, 'GB' as country, "
    "'Europe/London' as time_zone, 'tea' as interests, 'u' || i as user_id, 'form' as source, "
    "null::varchar as referrer, timestamp '2024-01-01' as created_at, timestamp '2024-01-02' as updated_at "
    "from range(30) t(i)"
)


@pytest.fixture
def query(settings: Settings) -> Query:
    """`query(sql, *parameters)`: rows of the warehouse."""

    def run(sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        with connect(settings, purpose="test") as con:
            return con.execute(sql, list(parameters)).fetchall()

    return run


@pytest.fixture
def load_rows(settings: Settings, tmp_path: Path) -> LoadRows:
    """`load_rows(table, select)`: load the rows of a statement; returns the load's id."""

    def run(table: str, select: str) -> str:
        name = hashlib.sha256(select.encode()).hexdigest()[:8]
        path = tmp_path / f"{table}_{name}.parquet"
        duckdb.execute(f"copy ({select}) to '{path}' (format parquet)")
        return load(settings, path, table=table).loads[0].load_id

    return run


@pytest.fixture
def orders(load_rows: LoadRows) -> str:
    """The orders that `LINES` belong to."""
    return load_rows("shop_orders", ORDERS.format(bad=0))


def build_activation(settings: Settings, **changes: str) -> str:
    """A succeeded build of a small activation layer; `changes` replace a column's SQL. Returns the build's id."""
    columns = {
        "profile_id": "md5(i::varchar)",
        "email": "'person' || i || '@example.com'",
        "subscriber_hash": "md5('person' || i || '@example.com')",
        "consent_verdict": "['unsubscribe', 'subscribe', 'update_only'][i % 3 + 1]",
        "first_name": "'Wilhelmina'",
        "rfm_score": "'543'",
        "customer_stage": "'prospect'",
        "journey_stage": "'awareness'",
        "engagement_level": "'never'",
        "churn_band": "'low'",
        **{f"rec_{rank}_name": f"'Thing {rank}'" for rank in (1, 2, 3)},
        **{f"rec_{rank}_price": "9.99::numeric(18,4)" for rank in (1, 2, 3)},
        "recs_expire_at": "timestamp '2024-01-08'",
        "as_of": "timestamp '2024-01-01'",
    } | changes
    picks = ", ".join(f"{sql} as {name}" for name, sql in columns.items())
    state = "case when i % 3 = 0 then 'suppressed' when i % 3 = 1 then 'granted' else 'unknown' end"
    build_id = "build_" + hashlib.sha256(repr(sorted(changes.items())).encode()).hexdigest()[:12]
    with connect(settings, purpose="test") as con:
        ensure_state(con, settings)
        clock = Clock(utcnow().replace(2024, 1, 1, 0, 0, 0, 0), utcnow())
        set_clock(con, settings.schema, clock)
        people = "from range(30) t(i)"
        for name, sql in {
            "dim_consent": "select md5(i::varchar) as profile_id, 'email' as channel, 'newsletter' as purpose, "
            f"{state} as state, i % 3 = 1 as is_mailable {people}",
            "sync_esp__members": f"select {picks} {people}",
            "sync_esp__segment_members": "select md5(i::varchar) as profile_id, 'person' || i || '@example.com' "
            "as email, md5('person' || i || '@example.com') as subscriber_hash, 'at_risk' as segment_name, "
            f"timestamp '2023-12-01' as entered_at, 'subscribe' as consent_verdict {people}",
            "sync_esp__events": "select md5('event' || profile_id) as event_id, profile_id, email, subscriber_hash, "
            "consent_verdict, 'entered_segment' as event_name, timestamp '2023-12-01' as occurred_at, 'at_risk' as "
            f'segment_name, as_of from "{settings.schema}".sync_esp__members',
        }.items():
            con.execute(f'create or replace table "{settings.schema}".{name} as {sql}')
        con.execute(
            "insert into ops.builds (build_id, schema_name, as_of, known_at, started_at, finished_at, status) "
            "values (?, ?, ?, ?, ?, ?, 'succeeded')",
            [build_id, settings.schema, clock.as_of, clock.known_at, utcnow(), utcnow()],
        )
        con.execute("insert into ops.build_loads select ?, load_id from ops.loads", [build_id])
    return build_id

"""A ledger of so many people as a first sync and a day without news would leave it, written in bulk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb

from reverse_etl.declaration import SyncDeclaration, read_sync
from reverse_etl.destination import FieldSpec, RemoteMember
from reverse_etl.diff import HASH_VERSION, payload_hash
from warehouse.connection import connect
from warehouse.settings import Settings
from warehouse.state import ensure_state

SYNC = "bench"
COLUMNS = (
    "first_name",
    "city",
    "last_purchase_on",
    "last_session_on",
    "rfm_score",
    "rfm_cell",
    "customer_stage",
    "journey_stage",
    "engagement_level",
    "churn_band",
    "rec_1_name",
    "rec_1_price",
)
PEOPLE = """
    select
        'p' || i as profile_id, 'person' || i || '@shop.test' as email, md5(email) as subscriber_hash,
        'subscribe' as consent_verdict, 'opt_in' as consent_reason,
        ['Ann', 'Bea', 'Carl', 'Dora', 'Emil', 'Fay', 'Gus'][1 + cast(hash(i, 1) % 7 as integer)] as first_name,
        'City ' || (hash(i, 2) % 3000) as city,
        date '2023-01-01' + cast(hash(i, 3) % 1000 as integer) as last_purchase_on,
        date '2025-01-01' + cast(hash(i, 4) % 300 as integer) as last_session_on,
        cast(111 + hash(i, 5) % 400 as text) as rfm_score,
        ['Champions', 'Loyal', 'At risk', 'Hibernating'][1 + cast(hash(i, 6) % 4 as integer)] as rfm_cell,
        ['first', 'repeat', 'lapsed'][1 + cast(hash(i, 7) % 3 as integer)] as customer_stage,
        ['browsing', 'cart', 'bought'][1 + cast(hash(i, 8) % 3 as integer)] as journey_stage,
        ['high', 'medium', 'low'][1 + cast(hash(i, 9) % 3 as integer)] as engagement_level,
        ['high', 'medium', 'low'][1 + cast(hash(i, 10) % 3 as integer)] as churn_band,
        'Product ' || (hash(i, 11) % 4000) as rec_1_name,
        cast((hash(i, 12) % 10000) / 100.0 as numeric(18, 2)) as rec_1_price,
        timestamp '2026-01-01' as as_of
    from range({n}) as r(i)"""
MERGE_TAGS = ("FNAME", "MW_CITY", "MW_LASTPUR", "MW_LASTSES", "MW_RFM", "MW_RFMCELL", "MW_STAGE", "MW_JOURNEY",
              "MW_ENGAGE", "MW_CHURN", "MW_R1NAME", "MW_R1PRICE")  # fmt: skip


def declare(settings: Settings, kind: str) -> SyncDeclaration:
    """The sync of the benchmark: twelve columns to twelve fields, and all addresses of each person."""
    names = MERGE_TAGS if kind == "mailchimp" else tuple(f"mw_{column}" for column in COLUMNS)
    fields = [
        f"  - {{column: {column}, field: {name}, name: {name}, type: {'date' if column.endswith('_on') else 'text'}}}"
        for column, name in zip(COLUMNS, names, strict=True)
    ]
    head = [f"name: {SYNC}", f"destination: {kind}", "model: sync_esp__members", "addresses: sync_esp__addresses"]
    folder = settings.home / "syncs"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{SYNC}.yml").write_text("\n".join([*head, "fields:", *fields]) + "\n", encoding="utf-8")
    return read_sync(settings, SYNC)


def installation(folder: str | Path, kind: str, n: int, key: str | None) -> Settings:
    """`n` people who are all as they should be there, with every column of every table that a sync fills; without the
    `key` of a destination, people of whom nothing was ever sent."""
    settings = Settings(home=Path(folder), target="prod")
    declaration = declare(settings, kind)
    with connect(settings.model_copy(update={"memory_limit": "8GB"}), purpose="benchmark") as con:
        con.execute("set preserve_insertion_order = false")
        ensure_state(con, settings)
        con.execute("create schema if not exists analytics")
        con.execute(f"create table analytics.sync_esp__members as {PEOPLE.format(n=n)}")
        con.execute(
            """create table analytics.sync_esp__addresses as
               select profile_id, email, subscriber_hash, false as is_refused, as_of as suppressions_weighed_to
               from analytics.sync_esp__members"""
        )
        if key is not None:
            _write_ledger(con, declaration, key, n)
        con.execute("checkpoint")
    return settings


def _write_ledger(con: duckdb.DuckDBPyConnection, declaration: SyncDeclaration, key: str, n: int) -> None:
    at = "timestamp '2026-01-01 01:00:00'"
    con.execute(
        f"""create temp table people as
            select subscriber_hash, email, {payload_hash(declaration, "m")} as content,
                row_number() over () as position
            from analytics.sync_esp__members as m"""
    )
    # numbers of the attempts as the sequence would have given them; it goes on behind them
    for step, outcome in enumerate(("sent", "confirmed")):
        con.execute(
            f"""insert into ledger.sync_attempts
                select {step * n} + position, 'sync_before', '{SYNC}', '{key}', 'member', subscriber_hash,
                    subscriber_hash, null, 'batch_' || (position // 500), 'create', content, '{HASH_VERSION}',
                    '{outcome}', null, null, {at}, null
                from people"""
        )
    con.execute(f"create or replace sequence ledger.attempt_numbers start with {2 * n + 1}")
    con.execute(
        f"""insert into ledger.remote_members
                (destination, subscriber_hash, email, status, fields, last_changed_at, pulled_at, remote_id, is_counted)
            select '{key}', subscriber_hash, email, 'subscribed', null, {at}, {at}, 'id' || position, true
            from people"""
    )
    con.execute(
        f"""insert into ledger.sync_state (
                sync_name, destination, object, record_key, subscriber_hash, state, confirmed_hash, confirmed_at,
                confirmed_version, confirmed_number, create_number, sent_hash, sent_version, is_doubtful, was_doubtful,
                updated_at)
            select '{SYNC}', '{key}', 'member', subscriber_hash, subscriber_hash, 'confirmed', content, {at},
                '{HASH_VERSION}', {n} + position, position, content, '{HASH_VERSION}', false, false, {at}
            from people"""
    )
    con.execute(
        "insert into ledger.remote_pulls values (?, 'full', ?, ?, '', cast(now() as timestamp))",
        [key, datetime(2026, 1, 1, 1), n],
    )
    con.execute("drop table people")


def change(settings: Settings, every: int) -> int:
    """Every so manieth person moves; how many."""
    moves = f"cast(substr(profile_id, 2) as bigint) % {every} = 0"
    with connect(settings, purpose="benchmark") as con:
        con.execute("create table if not exists analytics.yesterday as select * from analytics.sync_esp__members")
        con.execute(
            f"""create or replace table analytics.sync_esp__members as
                select * replace (case when {moves} then city || ' Moved' else city end as city)
                from analytics.yesterday"""
        )
        con.execute("checkpoint")
        return con.execute(f"select count(*) from analytics.yesterday where {moves}").fetchall()[0][0]


class AllThere:
    """What a destination answers that has everybody, every field and no segment, and no news of them; writing is left
    to the class that this one is mixed with."""

    n_members = 0

    def check(self) -> None: ...

    def missing_fields(self, fields: Sequence[FieldSpec]) -> tuple[FieldSpec, ...]:
        return ()

    def count_members(self) -> int:
        return self.n_members

    def pull_members(self, **_: Any) -> Iterator[list[RemoteMember]]:
        return iter(())

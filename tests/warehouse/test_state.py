"""Permanent tables: one from an older version is brought up to date, and loses nothing."""

from __future__ import annotations

from warehouse.connection import connect
from warehouse.settings import Settings
from warehouse.state import ensure_state


def test_the_ledger_of_an_older_version_loses_its_index_and_no_row(settings: Settings) -> None:
    with connect(settings) as con:
        con.execute("create schema ledger")
        con.execute(
            """create table ledger.sync_state (
                sync_name text not null, destination text not null, object text not null, record_key text not null,
                subscriber_hash text not null, segment_name text, state text not null, confirmed_hash text,
                confirmed_at timestamp, confirmed_version text, confirmed_number bigint, create_number bigint,
                sent_hash text not null, sent_version text not null, rejected_class text, message text,
                is_doubtful boolean not null, was_doubtful boolean not null, updated_at timestamp not null,
                primary key (sync_name, destination, object, record_key))"""
        )
        con.execute(
            """insert into ledger.sync_state by name
               select 'esp' as sync_name, 'mailchimp/a' as destination, 'member' as object, 'k' || i as record_key,
                   'k' || i as subscriber_hash, 'confirmed' as state, 'h' || i as confirmed_hash,
                   case i when 3 then timestamp '2011-12-10 01:02:03' end as confirmed_at, i as confirmed_number,
                   'h' || i as sent_hash, '1' as sent_version, i = 3 as is_doubtful, false as was_doubtful,
                   timestamp '2011-12-10' as updated_at
               from range(5) as r (i)"""
        )
        con.execute("alter table ledger.sync_state add column note text default 'ours'")
        before = con.execute("select * from ledger.sync_state order by record_key").fetchall()
        ensure_state(con, settings)
        after = con.execute("select * exclude (quick_hash) from ledger.sync_state order by record_key").fetchall()
        kinds = con.execute(
            "select constraint_type, count(*) from duckdb_constraints() where table_name = 'sync_state' group by all"
        ).fetchall()
        con.execute("insert into ledger.sync_state select * from ledger.sync_state where record_key = 'k1'")
        ensure_state(con, settings)
        assert con.execute("select count(*), count(quick_hash) from ledger.sync_state").fetchall() == [(6, 0)]
        assert con.execute("select count(*) from ledger.sync_state_from_attempts").fetchall() == [(0,)]
    assert after == before
    assert kinds == [("NOT NULL", 11)]


def test_candidates_of_an_older_version_are_those_of_email(settings: Settings) -> None:
    with connect(settings) as con:
        con.execute(f"create schema {settings.ml_schema}")
        con.execute(
            f"create table {settings.ml_schema}.recommendation_candidates as "
            "select 'a' as profile_id, 'p' as product_id, 1::bigint as rank"
        )
        for _ in range(2):
            ensure_state(con, settings)
        con.execute(f"insert into {settings.ml_schema}.recommendation_candidates (profile_id, rank) values ('b', 1)")
        rows = con.execute(f"select profile_id, placement from {settings.ml_schema}.recommendation_candidates")
        assert rows.fetchall() == [("a", "email"), ("b", "email")]

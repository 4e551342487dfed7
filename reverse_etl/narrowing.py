"""Whom a plan has to look at: everybody but those who are known to be as they should be.

Of ten million people nearly all are unchanged since the last plan. Telling so takes no key, no content and no status as
text: numbers (`hash`) of keys and rows are joined, in a tenth of the memory. Two keys, or two rows, may have one
number; so a number only ever *excuses* a person from being looked at when key and content agree at once (128 bits), and
whoever is looked at is judged by her key, her content's MD5 and her status themselves.

What is confirmed is an MD5, which takes most of the time to compute; so `sync_state.quick_hash` keeps the number of the
row that had it. It counts for nothing once the confirmed hash, the mapping, a column's type or DuckDB (whose `hash` may
change) is another, and is then found again by a plan that computes the MD5s.
"""

from __future__ import annotations

import hashlib
import re

import duckdb

from reverse_etl.diff import (
    HASH_VERSION,
    MAILABLE,
    MEMBERS,
    Scope,
    check_keys,
    compared_value,
    listed,
    payload_hash,
    refused_ctes,
)
from warehouse.errors import DataError

WORTH_REMEMBERING = 0.1
"""Share of the model from which on people who were looked at for nothing are remembered."""
_EXACT = re.compile(r"VARCHAR|DATE|TIMESTAMP|BOOLEAN|U?(TINY|SMALL|BIG)?INT(EGER)?|DECIMAL\((\d|1[0-8]),\d+\)")
"""Types of which equal values are equal texts, and have numbers of their own; of others the text is taken: 0.0 is -0.0,
and of numbers of 128 bits 0 and -1 have one `hash`."""
_PLAIN = f"state = 'confirmed' and not is_doubtful and confirmed_version = '{HASH_VERSION}'"


def _row_number(con: duckdb.DuckDBPyConnection, scope: Scope) -> tuple[str, str]:
    """SQL of (the number of a row of the model `m`; the number of a confirmed hash): exclusive-or of both is kept."""
    types = {
        row[0]: row[1]
        for row in con.execute(
            "select column_name, data_type from information_schema.columns where table_schema = ? and table_name = ?",
            [scope.schema, scope.declaration.model],
        ).fetchall()
    }
    parts = []
    for one in scope.declaration.compared:
        value = compared_value(one, "m")
        is_exact = one.significance is None and _EXACT.fullmatch(types[one.column])
        parts.append(value if is_exact else f"cast({value} as text)")
    about = (duckdb.__version__, scope.declaration.fingerprint, *(types[c.column] for c in scope.declaration.compared))
    tag = hashlib.md5("/".join(about).encode(), usedforsecurity=False).hexdigest()
    return f"hash({', '.join(parts)})", f"hash(confirmed_hash, '{tag}')"


def look_at(con: duckdb.DuckDBPyConnection, scope: Scope, n_source: int) -> int:
    """Make the temporary table `looked_at` (key_number): whoever is not in it is unchanged; rows of the model in it.

    Raises:
        DataError: a person is in the model twice, or with the key of another address.
    """
    row, confirmed = _row_number(con, scope)
    values = {"sync_name": scope.sync_name, "destination": scope.destination}
    con.execute(
        f"""
        create temp table looked_at as
        with
        {refused_ctes(scope)},
        desired as (
            select
                hash(m.subscriber_hash) as key_number,
                case when m.consent_verdict in ('subscribe', 'update_only') then {row} end as row_number
            from {scope.relation} as m
        ),
        known as (
            select
                hash(record_key) as key_number,
                case when {_PLAIN} then xor(quick_hash, {confirmed}) end as row_number
            from ledger.sync_state
            where {MEMBERS}
        ),
        -- who never subscribed there may have to be asked
        reachable as (
            select hash(subscriber_hash) as key_number from ledger.remote_members
            where destination = $destination and status in ({listed(MAILABLE)})
        )
        select
            coalesce(d.key_number, s.key_number) as key_number,
            s.key_number is null as is_of_model_alone,
            d.key_number is null as is_known_alone
        from desired as d
        full join known as s on d.key_number = s.key_number and d.row_number = s.row_number
        left join reachable as r on d.key_number = r.key_number
        where d.key_number is null or s.key_number is null or r.key_number is null
        union all
        select hash(subscriber_hash), false, false from refused
        """,
        values,
    )
    n_model, n_known_alone = con.execute(
        "select count(*) filter (where is_of_model_alone), count(*) filter (where is_known_alone) from looked_at"
    ).fetchall()[0]
    n_known = con.execute(f"select count(*) from ledger.sync_state where {MEMBERS}", values).fetchall()[0][0]
    n_looked_at, n_keys, n_wrong = con.execute(
        f"""select
                count(*), count(distinct subscriber_hash),
                count(*) filter (where subscriber_hash is distinct from md5(lower(email)))
            from {scope.relation} where hash(subscriber_hash) in (select key_number from looked_at)"""
    ).fetchall()[0]
    # each record of the ledger is one person's: where as many rows as records agree, no person is there twice
    if n_looked_at != n_keys or n_source - n_model != n_known - n_known_alone:
        check_keys(con, scope)
    if n_wrong:  # a verdict is looked up by the one and goes out to the other
        raise DataError(
            f"In {n_wrong} rows of the model `subscriber_hash` is not that of `email`: the MD5 of it in lower case.",
            where=f"{scope.schema}.{scope.declaration.model}",
            todo="take both from the same row of `int_activation__subscribers`",
        )
    return n_looked_at


def remember(con: duckdb.DuckDBPyConnection, scope: Scope) -> None:
    """Write down the numbers of rows that were looked at and are as confirmed."""
    row, confirmed = _row_number(con, scope)
    con.execute(
        f"""
        update ledger.sync_state set quick_hash = xor(d.row_number, {confirmed})
        from (
            select m.subscriber_hash, {row} as row_number, {payload_hash(scope.declaration, "m")} as content_hash
            from {scope.relation} as m
            where hash(m.subscriber_hash) in (select key_number from looked_at)
        ) as d
        where {MEMBERS} and record_key = d.subscriber_hash and {_PLAIN} and confirmed_hash = d.content_hash
        """,
        {"sync_name": scope.sync_name, "destination": scope.destination},
    )

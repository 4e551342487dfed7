"""Whom a segment holds now, and whom it would have held on each of the last days, by the same conditions."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import duckdb

from segments.compile import checked_name, compile_queries
from segments.reading import built_tables
from warehouse.clock import read_clock
from warehouse.errors import DataError, RefusedError
from warehouse.settings import Settings
from warehouse.state import ensure_state

CUTOFFS = "backtest_cutoffs"
"""The instants that a query of the past is asked for."""
INSTANTS = "backtest_instants"
"""All of them."""
AT_ONCE = 15
"""Instants: what is known of everybody at so many is held in memory."""
OF_FEATURES = "as features_then"
"""Stands in a query of the past that makes features."""
FOLLOWED = "over (partition by profile_id order by as_of asc"
"""Stands in one that follows people from instant to instant (hysteresis)."""
N_SAMPLE = 5
SAMPLE_COLUMNS = ("profile_id", "customer_stage", "orders_lifetime", "revenue_lifetime", "last_human_activity_at")


@dataclass(frozen=True)
class Day:
    """A segment on one day of a backtest."""

    as_of: datetime
    n_members: int
    n_entered: int
    n_left: int
    """Since the instant before it."""


@dataclass(frozen=True)
class Preview:
    """A segment as its file says now, built or not."""

    name: str
    schema: str
    as_of: datetime
    n_members: int
    n_profiles: int
    sample: tuple[dict[str, Any], ...]
    days: tuple[Day, ...]
    """Oldest first; empty for a plain select, which has no past."""
    report: tuple[str, ...]
    """What its query reads, one line per source."""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Filled:
    """What a backtest wrote into the history."""

    name: str
    n_stays: int
    n_open: int
    since: datetime

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def preview(settings: Settings, name: str, n_days: int = 90, *, every_day: bool = True) -> Preview:
    """Size, a sample and the last `n_days` days of a segment, at the clock of the last build.

    Reads the tables of the last build and the segment's file as it is now; writes nothing. Who was who, and features,
    have to be made for each instant, which takes time: unless `every_day`, a segment is looked at every third day, one
    that asks for features every tenth; one that follows people from day to day (hysteresis) always every day.

    Raises:
        ConfigError: the file is wrong. DataError: nothing is built yet.
    """
    name = checked_name(settings, name)
    with built_tables(settings, "segment") as con:
        as_of = read_clock(con, settings.schema).as_of
    queries = _queries(settings, name)
    with built_tables(settings, "segment") as con:
        con.execute(
            "create temp table members as "
            f"select distinct profile_id from ({queries['now']}) where profile_id is not null"
        )
        n_members, n_profiles = con.execute(
            "select (select count(*) from members), (select count(*) from dim_profiles)"
        ).fetchall()[0]
        sample = con.execute(
            f"select {', '.join(SAMPLE_COLUMNS)} from members inner join profile_features using (profile_id) "
            f"left join lifecycle_stages using (profile_id) order by md5(profile_id) limit {N_SAMPLE}"
        ).fetchall()
        days: tuple[Day, ...] = ()
        if queries["past"]:
            step = 1 if every_day or FOLLOWED in queries["past"] else 10 if OF_FEATURES in queries["past"] else 3
            _evaluate_past(con, queries["past"], n_days, as_of, step)
            days = _days(con, step)
    report = tuple(line[3:] for line in (queries["now"] or "").splitlines() if line.startswith("-- "))
    return Preview(
        name, settings.schema, as_of, n_members, n_profiles,
        tuple(dict(zip(SAMPLE_COLUMNS, row, strict=True)) for row in sample), days, report,
    )  # fmt: skip


def fill_history(settings: Settings, name: str, n_days: int = 90) -> Filled:
    """Write the last `n_days` days of a segment into its history, before its first build records it.

    Raises:
        RefusedError: the history has this segment already: what builds recorded is never rewritten.
        DataError: the segment is a plain select, or nothing is built yet.
    """
    name = checked_name(settings, name)
    queries = _queries(settings, name)
    if not queries["past"]:
        raise DataError(
            f"'{name}', or a segment that it names, is a plain select, which has no past.",
            todo="write it with segment(…)",
        )
    with built_tables(settings, "segment backtest", read_only=False) as con:
        ensure_state(con, settings)
        as_of = read_clock(con, settings.schema).as_of
        recorded = con.execute(
            "select min(entered_at) from segment_membership_history where segment_name = ?", [name]
        ).fetchall()[0][0]
        if recorded is not None:
            raise RefusedError(
                f"The history has '{name}' since {recorded:%Y-%m-%d %H:%M}; what was recorded is never rewritten.",
                todo="a backtest is filled in before the first build; look at it with `mailwright segment show`",
            )
        _evaluate_past(con, queries["past"], n_days, as_of)
        con.execute(_AS_NAMED_NOW)
        con.execute(_STAYS)
        con.execute("begin")
        con.execute(
            "insert into segment_membership_history (profile_id, segment_name, entered_at, left_at, reason) "
            "select profile_id, ?, entered_at, left_at, 'backtest' from stays where entered_at < ?",
            [name, as_of],
        )
        con.execute("commit")
        n_stays, n_open, since = con.execute(
            "select count(*), count(*) filter (where left_at is null), min(entered_at) from stays where entered_at < ?",
            [as_of],
        ).fetchall()[0]
    return Filled(name, n_stays, n_open, since or as_of)


def _queries(settings: Settings, name: str) -> dict[str, str | None]:
    definitions, is_of_vocabulary = f"definitions_with(['{name}'])", f"segment_definition('{name}') is not none"
    only = f"select profile_id, as_of from (\\n' ~ {{}} ~ ') as members where segment_name = \\'{name}\\'"
    now = only.format(f"members_query({definitions})")
    past = only.format(f"members_query({definitions}, cutoffs='{CUTOFFS}')")
    return compile_queries(
        settings,
        {
            "now": f"('{now}' if {is_of_vocabulary} else plain_query('{name}'))",
            "past": f"('{past}' if has_past('{name}') else none)",
        },
        of=name,
    )


def _evaluate_past(con: duckdb.DuckDBPyConnection, query: str, n_days: int, as_of: datetime, step: int = 1) -> None:
    """Temporary tables: the instants, and who would have been in at each, by what was known then."""
    con.execute(
        f"create temp table {INSTANTS} as select as_of, as_of as known_at from "
        "(select unnest(generate_series(?::timestamp - to_days(?), ?::timestamp, to_days(?))) as as_of)",
        [as_of, (n_days - 1) // step * step, as_of, step],
    )
    con.execute(f"create temp table {CUTOFFS} as from {INSTANTS} limit 0")
    con.execute("create temp table past (as_of timestamp, profile_id text)")
    n_instants = con.execute(f"select count(*) from {INSTANTS}").fetchall()[0][0]
    # who follows people from instant to instant needs all of them
    at_once = n_instants if FOLLOWED in query else AT_ONCE
    for first in range(0, n_instants, at_once):
        con.execute(f"delete from {CUTOFFS}")
        con.execute(f"insert into {CUTOFFS} from {INSTANTS} order by as_of limit {at_once} offset {first}")
        con.execute(f"insert into past select distinct as_of, profile_id from ({query})")


def _days(con: duckdb.DuckDBPyConnection, step: int) -> tuple[Day, ...]:
    rows = con.execute(
        f"""
        with present as (
            select
                as_of,
                profile_id,
                lag(as_of) over person as before,
                lead(as_of) over person as after
            from past
            window person as (partition by profile_id order by as_of)
        ),

        moved as (
            select
                as_of,
                count(*) as n,
                count(*) filter (where before is null or before < as_of - interval {step} day) as n_entered
            from present group by as_of
        ),

        gone as (
            select as_of + interval {step} day as as_of, count(*) as n_left
            from present where after is null or after > as_of + interval {step} day group by as_of
        )

        select as_of, coalesce(n, 0), coalesce(n_entered, 0), coalesce(n_left, 0)
        from {INSTANTS} left join moved using (as_of) left join gone using (as_of)
        order by as_of"""
    ).fetchall()
    return tuple(Day(*row) for row in rows)


_AS_NAMED_NOW = """
    create or replace temp table past as
    select distinct past.as_of, coalesce(now.profile_id, past.profile_id) as profile_id
    from past
    -- a profile is called after an identifier: where that one is now, her stays go
    left join int_identity__identifiers as names
        on past.profile_id = md5(names.identifier_type || ':' || names.identifier_value)
    left join int_identity__identifier_profiles as now
        on names.identifier_type = now.identifier_type and names.identifier_value = now.identifier_value
    where coalesce(now.profile_id, past.profile_id) in (select profile_id from dim_profiles)"""
_STAYS = f"""
    create temp table stays as
    with numbered as (
        select
            past.profile_id,
            past.as_of,
            cutoffs.number - row_number() over (partition by past.profile_id order by past.as_of) as run
        from past
        inner join (select as_of, row_number() over (order by as_of) as number from {INSTANTS}) as cutoffs using (as_of)
    ),

    runs as (select profile_id, min(as_of) as entered_at, max(as_of) as last_at from numbered group by profile_id, run)

    select
        profile_id,
        entered_at,
        case when last_at < (select max(as_of) from {INSTANTS}) then last_at + interval 1 day end as left_at
    from runs"""

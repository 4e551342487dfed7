"""Answers about segments from the warehouse: sizes, changes, overlaps, members in one and not in another, and why."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

import duckdb

from segments.compile import checked_name, compile_queries
from segments.files import meant_to_overlap, segment_names
from segments.reading import built_tables
from warehouse.clock import read_clock
from warehouse.errors import DataError
from warehouse.settings import Settings

Row = dict[str, Any]
TREND_DAYS = 7


@dataclass(frozen=True)
class Segment:
    """One segment as of the last build."""

    name: str
    n_members: int
    share: float | None
    """Of all profiles; null without profiles."""
    n_before: int | None
    """Members `TREND_DAYS` days before; null where nothing was recorded by then."""
    n_entered: int
    n_left: int
    notes: tuple[str, ...] = ()
    """What looks wrong: empty, everybody, the same as or part of another one, apart from one that it should meet."""


@dataclass(frozen=True)
class Overview:
    """All segments."""

    schema: str
    as_of: datetime
    n_profiles: int
    segments: tuple[Segment, ...]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Overlap:
    """How many people two segments share, for all pairs."""

    schema: str
    names: tuple[str, ...]
    common: dict[str, dict[str, int]]
    """Members in both, by name and name; a segment with itself: its members."""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Difference:
    """Two segments against each other."""

    one: str
    other: str
    n_one_only: int
    n_both: int
    n_other_only: int
    sample_one_only: tuple[str, ...] = ()
    sample_other_only: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Reason:
    """One condition of a segment for one person."""

    depth: int
    condition: str
    holds: bool
    deciding: str | None


@dataclass(frozen=True)
class Why:
    """A person and a segment."""

    segment: str
    profile_id: str
    as_of: datetime
    is_member: bool
    reasons: tuple[Reason, ...]
    stays: tuple[tuple[datetime, datetime | None], ...] = field(default=())
    """Recorded entries and departures, oldest first."""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def _rows(con: duckdb.DuckDBPyConnection, sql: str, values: list[Any] | None = None) -> list[tuple[Any, ...]]:
    return con.execute(sql, values or []).fetchall()


def overview(settings: Settings) -> Overview:
    """All segments of the last build, with what changed in a week and what looks wrong."""
    names = segment_names(settings)
    with built_tables(settings, "segments") as con:
        as_of = read_clock(con, settings.schema).as_of
        since = as_of - timedelta(days=TREND_DAYS)
        n_profiles = _rows(con, "select count(*) from dim_profiles")[0][0]
        sizes = dict(_rows(con, "select segment_name, count(*) from segment_memberships group by all"))
        moved = {
            name: (entered, left, before)
            for name, entered, left, before in _rows(
                con,
                """
                select
                    segment_name,
                    count(*) filter (where entered_at > $1),
                    count(*) filter (where left_at > $1),
                    case when min(entered_at) <= $1
                        then count(*) filter (where entered_at <= $1 and (left_at is null or left_at > $1)) end
                from segment_membership_history
                group by segment_name""",
                [since],
            )
        }
    common, wanted = overlap(settings).common, meant_to_overlap(settings)
    found = []
    for name in sorted({*names, *sizes}):
        entered, left, before = moved.get(name, (0, 0, None))
        n = sizes.get(name, 0)
        found.append(
            Segment(
                name, n, n / n_profiles if n_profiles else None, before, entered, left,
                (
                    *_notes(name, n, n_profiles, common, name in names, bool(moved.get(name))),
                    *(
                        f"shares nobody with {other}, and is meant to"
                        for other in wanted.get(name, [])
                        if not common.get(name, {}).get(other)
                    ),
                ),
            )
        )  # fmt: skip
    return Overview(settings.schema, as_of, n_profiles, tuple(found))


def _notes(
    name: str, n: int, n_profiles: int, common: dict[str, dict[str, int]], has_file: bool, is_recorded: bool
) -> list[str]:
    if not has_file:
        return ["has no file any more"]
    if not n:
        return ["empty" if is_recorded else "empty, or not built yet"]
    notes = ["everybody"] if n == n_profiles else []
    for other, n_common in common.get(name, {}).items():
        if other != name and n_common == n:
            same = common[other][other] == n
            notes.append(f"{'the same people as' if same else 'all of them are in'} {other}")
    return notes


def overlap(settings: Settings) -> Overlap:
    """Members in common of every pair of segments."""
    with built_tables(settings, "segments") as con:
        rows = _rows(
            con,
            """
            select one.segment_name, other.segment_name, count(*)
            from segment_memberships as one
            inner join segment_memberships as other on one.profile_id = other.profile_id
            group by all order by all""",
        )
    common: dict[str, dict[str, int]] = {}
    for one, other, n in rows:
        common.setdefault(one, {})[other] = n
    return Overlap(settings.schema, tuple(common), common)


def difference(settings: Settings, one: str, other: str, n_sample: int = 5) -> Difference:
    """Who is in one of two segments alone, as of the last build."""
    names = checked_name(settings, one), checked_name(settings, other)
    with built_tables(settings, "segments") as con:
        rows = _rows(
            con,
            """
            with sides as (
                select profile_id, bool_or(segment_name = $1) as in_one, bool_or(segment_name = $2) as in_other
                from segment_memberships where segment_name in ($1, $2) group by profile_id
            )

            select in_one, in_other, count(*), list(profile_id order by md5(profile_id))[1:$3]
            from sides group by in_one, in_other""",
            [*names, n_sample],
        )
    sides = {(in_one, in_other): (n, tuple(sample)) for in_one, in_other, n, sample in rows}
    only, both = sides.get((True, False), (0, ())), sides.get((True, True), (0, ()))
    others = sides.get((False, True), (0, ()))
    return Difference(*names, only[0], both[0], others[0], only[1], others[1])


def find_profile(con: duckdb.DuckDBPyConnection, settings: Settings, person: str) -> str:
    """The profile of a profile id, or of an identifier `type:value`.

    Raises:
        DataError: nobody is known by it.
    """
    if ":" in person:
        from identity.graph import Graph
        from identity.identifiers import parse_identifier

        identifier = parse_identifier(person, "the person")
        node = Graph(con, settings.schema).find(identifier)
        if node is not None and node.profile_id:
            return node.profile_id
        raise DataError(f"Nobody is known by {identifier.shown()}.", todo="look with `mailwright identity explain`")
    if _rows(con, f'select 1 from "{settings.schema}".dim_profiles where profile_id = ?', [person]):
        return person
    raise DataError(
        f"There is no profile '{person}'.",
        todo="give a profile id, or an identifier as type:value (email:…, user_id:…)",
    )


def why(settings: Settings, person: str, name: str) -> Why:
    """Each condition of a segment for one person, with the values that decide it, at the clock of the last build."""
    name = checked_name(settings, name)
    with built_tables(settings, "segments") as con:
        profile_id = find_profile(con, settings, person)
    query = compile_queries(settings, {"why": f"why_query('{name}', '{profile_id}')"}, of=name)["why"]
    if query is None:
        raise DataError(
            f"'{name}' is a plain select: it has no conditions to tell apart.", todo="write it with segment(…)"
        )
    with built_tables(settings, "segments") as con:
        as_of = read_clock(con, settings.schema).as_of
        rows = _rows(
            con,
            f"select depth, condition, holds, deciding from ({query}) where segment_name = ? order by position",
            [name],
        )
        stays = _rows(
            con,
            "select entered_at, left_at from segment_membership_history "
            "where profile_id = ? and segment_name = ? order by entered_at",
            [profile_id, name],
        )
    if not rows:
        raise DataError(f"Profile '{profile_id}' has no features yet.", todo="run `mailwright build`")
    member, *reasons = (Reason(*row) for row in rows)
    return Why(name, profile_id, as_of, member.holds, tuple(reasons), tuple(stays))

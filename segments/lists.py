"""Static segments: lists of people from a file, or frozen from another segment."""

from __future__ import annotations

import csv
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import duckdb

from identity.graph import Graph
from identity.identifiers import TYPES, Identifier, parse_identifier
from segments.compile import checked_name
from segments.files import checked_new_name, new_segment, segment_names, segments_dir
from segments.reading import built_tables
from warehouse.clock import utcnow
from warehouse.errors import ConfigError, DataError, MailwrightError, RefusedError
from warehouse.settings import Settings
from warehouse.state import ensure_state

STATIC = "{{ static_segment() }}\n"
FEW = 5
_TAKE_OFF = """
    update segments.static_members as m set removed_at = ?
    where segment_name = ? and removed_at is null and not exists (
        select 1 from wanted as w
        where w.identifier_type = m.identifier_type and w.identifier_value = m.identifier_value
    )"""
_PUT_ON = """
    insert into segments.static_members
    select ?, w.identifier_type, w.identifier_value, ?, null, ? from wanted as w
    where not exists (
        select 1 from segments.static_members as m
        where
            m.segment_name = ? and m.removed_at is null
            and w.identifier_type = m.identifier_type and w.identifier_value = m.identifier_value
    )"""
_COUNT = """
    select count(*), count(*) filter (where links.profile_id is null)
    from segments.static_members as m
    left join "{schema}".int_identity__identifier_profiles as links using (identifier_type, identifier_value)
    where m.segment_name = ? and m.removed_at is null"""


@dataclass(frozen=True)
class Listed:
    """What became of a list."""

    name: str
    origin: str
    n_given: int
    n_on_list: int
    n_added: int
    n_removed: int
    n_unknown: int
    """On the list, but nobody is known by them yet; they are in from the build that knows them."""
    wrong: tuple[str, ...] = ()
    """Lines that are no identifiers, with the reason; the first few."""
    n_wrong: int = 0

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def import_list(settings: Settings, name: str, file: Path, *, add: bool = False) -> Listed:
    """Make a CSV file's people the members of a static segment, from the next build on.

    The header names one column: profile_id, or a type of identifier (email, user_id, customer_id, …). The list becomes
    those of the file; with `add`, those of the file come to it.

    Raises:
        ConfigError: the file cannot be read so. RefusedError: the segment is not a static one.
        DataError: no line of it is an identifier.
    """
    kind, values = _read(file)
    name = _static_name(settings, name)
    with built_tables(settings, "segment import", read_only=False) as con:
        ensure_state(con, settings)
        con.execute("select 1 from int_identity__identifier_profiles limit 0")
        wanted, wrong = _identifiers(con, settings, kind, values)
        if not wanted:
            raise DataError(
                "No line of the file names anybody.", where=str(file), todo="; ".join(wrong[:FEW]) or "add some lines"
            )
        _write_file(settings, name)
        return _store(con, settings, name, file.name, wanted, len(values), wrong, keep=add)


def freeze(settings: Settings, source: str, name: str) -> Listed:
    """Make the present members of a segment those of a static one.

    Raises:
        ConfigError: there is no such segment. RefusedError: `name` is not a static one. DataError: nothing is built.
    """
    source = checked_name(settings, source)
    with built_tables(settings, "segment freeze", read_only=False) as con:
        ensure_state(con, settings)
        rows = con.execute("select profile_id from segment_memberships where segment_name = ?", [source]).fetchall()
        if not rows:
            raise DataError(f"'{source}' has no members to freeze.", todo="look at it with `mailwright segment show`")
        name = _static_name(settings, name)
        wanted, wrong = _identifiers(con, settings, "profile_id", [row[0] for row in rows])
        _write_file(settings, name)
        return _store(con, settings, name, source, wanted, len(rows), wrong, keep=False)


def _read(file: Path) -> tuple[str, list[str]]:
    if not file.is_file():
        raise ConfigError("There is no such file.", where=str(file), todo="give a CSV of one column with a header")
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            rows = [row for row in csv.reader(lines) if any(cell.strip() for cell in row)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ConfigError("The file is not CSV in UTF-8.", where=str(file), todo="save it as such") from error
    header = rows[0][0].strip() if rows else ""
    if header not in (*TYPES, "profile_id") or any(len(row) != 1 for row in rows):
        raise ConfigError(
            "The file has to have one column, whose header says what it holds.",
            where=str(file),
            todo=f"one of profile_id, {', '.join(TYPES)}",
        )
    return header, [row[0].strip() for row in rows[1:]]


def _static_name(settings: Settings, name: str) -> str:
    """The name of a static segment that is there, or can be made.

    Raises:
        ConfigError: not a name. RefusedError: a segment with conditions.
    """
    name = checked_new_name(name)
    file = segments_dir(settings) / f"seg_{name}.sql"
    if file.exists() and "static_segment()" not in file.read_text(encoding="utf-8"):
        raise RefusedError(
            f"'{name}' is a segment with conditions, not a list.", where=file.name, todo="choose another name"
        )
    return name


def _write_file(settings: Settings, name: str) -> None:
    """The segment's file and description, where there are none."""
    if name in segment_names(settings):
        return
    sql, yml = new_segment(settings, name)
    sql.write_text(STATIC, encoding="utf-8")
    text = yml.read_text(encoding="utf-8")
    start, end = text.index("Grain:"), text.index("    columns:")
    yml.write_text(
        f"{text[:start]}Grain: one row per member. A list that somebody made.\n{text[end:]}", encoding="utf-8"
    )


def _identifiers(
    con: duckdb.DuckDBPyConnection, settings: Settings, kind: str, values: list[str]
) -> tuple[set[Identifier], list[str]]:
    wanted: set[Identifier] = set()
    wrong: list[str] = []
    if kind == "profile_id":
        known: dict[str, Identifier] = {}
        # an identifier that joins people stays with its person; others are taken where there is no such one
        for node in sorted(Graph(con, settings.schema).nodes_of(values), key=lambda node: not node.is_bridge):
            if node.profile_id:
                known.setdefault(node.profile_id, node.identifier)
        for number, value in enumerate(values, 2):
            if value in known:
                wanted.add(known[value])
            else:
                wrong.append(f"line {number}: no such profile")
        return wanted, wrong
    for number, value in enumerate(values, 2):
        try:
            wanted.add(parse_identifier(f"{kind}:{value}", f"line {number}"))
        except MailwrightError as error:
            wrong.append(f"line {number}: {error.what}")
    return wanted, wrong


def _store(
    con: duckdb.DuckDBPyConnection, settings: Settings, name: str, origin: str, wanted: set[Identifier], n_given: int,
    wrong: list[str], *, keep: bool,
) -> Listed:  # fmt: skip
    now = utcnow()
    con.execute("create or replace temp table wanted (identifier_type text, identifier_value text)")
    con.executemany("insert into wanted values (?, ?)", [[one.type, one.value] for one in sorted(wanted)])
    con.execute("begin")
    n_removed = 0
    if not keep:
        n_removed = con.execute(_TAKE_OFF, [now, name]).fetchall()[0][0]
    n_added = con.execute(_PUT_ON, [name, now, origin, name]).fetchall()[0][0]
    con.execute("commit")
    n_on_list, n_unknown = con.execute(_COUNT.format(schema=settings.schema), [name]).fetchall()[0]
    return Listed(name, origin, n_given, n_on_list, n_added, n_removed, n_unknown, tuple(wrong[:FEW]), len(wrong))

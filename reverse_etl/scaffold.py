"""A first declaration of a sync, from a model's columns and the fields that the destination has.

A column goes to a field of ours that is there already, else to one of the vendor's or the company's that is called like
it and takes its type, else to a new one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from reverse_etl.declaration import parse_declaration
from reverse_etl.destination import Destination, FieldSpec
from warehouse.errors import DataError, RefusedError

NOT_SENT = ("profile_id", "email", "subscriber_hash", "consent_verdict", "consent_reason", "as_of")
"""What a sync reads of a row for itself."""
OFFER = re.compile(r"recs?_")
"""Recommendations expire: a field that cannot be emptied would show an old product. What a mail shows as it is, such as
a price, is text."""
_PARTS = (("segments", "segment_members"), ("addresses", "addresses"))


@dataclass(frozen=True)
class Draft:
    """A declaration that was not written yet."""

    name: str
    text: str
    fields: tuple[tuple[str, FieldSpec, bool], ...]
    """(column, field, whether it is there already)."""


def _kind(column: str, sql_type: str) -> str:
    """The declaration's type for a column."""
    if column.endswith("image_url"):
        return "imageurl"
    if column.endswith("url"):
        return "url"
    if re.match(r"DATE|TIMESTAMP", sql_type):
        return "date"
    if re.match(r"(U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|DECIMAL|FLOAT|DOUBLE|REAL)", sql_type):
        return "number"
    return "text"


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _called_like(column: str, kind: str, there: Sequence[FieldSpec]) -> FieldSpec | None:
    for spec in there:
        names = {_plain(spec.key), _plain(spec.key.rsplit(".", 1)[-1]), _plain(spec.name)}
        if _plain(column) in names and spec.type in {kind, "text"}:
            return spec
    return None


def columns_of(con: duckdb.DuckDBPyConnection, schema: str, model: str) -> dict[str, str]:
    """Columns of an activation model that a sync may send, with their types in SQL.

    Raises:
        DataError: there is no such model, or it has none of what a sync needs of it.
    """
    rows = con.execute(
        """select column_name, data_type from information_schema.columns
           where table_schema = ? and table_name = ? order by ordinal_position""",
        [schema, model],
    ).fetchall()
    if not rows:
        raise DataError(
            f"The model '{model}' is not in schema '{schema}'.", todo="run `mailwright build`, then this again"
        )
    found = dict(rows)
    lacking = sorted({"email", "subscriber_hash", "consent_verdict"} - found.keys())
    if lacking:
        raise DataError(
            f"The model '{model}' lacks {', '.join(lacking)}: a sync can only send people behind the consent gate.",
            where=f"{schema}.{model}",
            todo="use an activation model (sync_esp__members), or join dim_consent as it does",
        )
    return {name: kind for name, kind in found.items() if name not in NOT_SENT}


def _maps(destination: Destination, columns: dict[str, str]) -> list[tuple[str, FieldSpec, str, bool]]:
    """(column, field, what happens without a value, whether the field is there) per column."""
    there = destination.list_fields()
    by_key = {spec.key: spec for spec in there}
    taken: set[str] = set()
    found: list[tuple[str, FieldSpec, str, bool]] = []
    for column, sql_type in columns.items():
        kind, is_offer = _kind(column, sql_type), OFFER.match(column) is not None
        ours = destination.new_field(column, kind, taken)
        if is_offer and (kind == "number" or not ours.is_emptied):
            kind, ours = "text", destination.new_field(column, "text", taken)
        known = by_key.get(ours.key)
        theirs = None if known else _called_like(column, kind, [spec for spec in there if spec.key not in taken])
        if theirs is not None:
            chosen, on_null = theirs, "keep"
        elif known is not None and known.type != ours.type:
            chosen = destination.new_field(column, kind, {*taken, *by_key})
            on_null = "overwrite" if chosen.is_emptied else "keep"
        else:
            chosen, on_null = ours, "overwrite" if ours.is_emptied else "keep"
        if is_offer and on_null == "overwrite":
            on_null = "clear"
        taken.add(chosen.key)
        found.append((column, chosen, on_null, chosen.key in by_key))
    return found


def _line(column: str, spec: FieldSpec, on_null: str) -> str:
    parts = [
        f"column: {column}",
        f"field: {json.dumps(spec.key)}",
        f"name: {json.dumps(spec.name, ensure_ascii=False)}",
    ]
    if spec.type != "text":
        parts.append(f"type: {spec.type}")
    if spec.max_length is not None and spec.type in {"text", "url", "imageurl"}:
        parts.append(f"max_length: {spec.max_length}")
    if on_null != "overwrite":
        parts.append(f"on_null: {on_null}")
    return f"  - {{{', '.join(parts)}}}"


def draft(
    name: str,
    kind: str,
    model: str,
    destination: Destination,
    columns: dict[str, str],
    relations: Collection[str],
    *,
    account: str = "",
) -> Draft:
    """The text of a declaration; `relations` are the tables and views of the schema.

    Raises:
        DataError: the model has no column to send.
        DestinationConfigError: the destination cannot be reached.
    """
    if not columns:
        raise DataError(f"The model '{model}' has no column that could be sent.", todo="add one to it")
    maps = _maps(destination, columns)
    stem = model.rsplit("__", 1)[0]
    lines = [
        f"# {model} → {destination.key}",
        "# Look through it, then `mailwright plan`. Each key is explained in sync.schema.json of the package.",
        f"name: {name}",
        f"destination: {kind}",
        *([f"account: {account}"] if account else []),
        f"model: {model}",
    ]
    found = {part: f"{stem}__{object_}" for part, object_ in _PARTS if f"{stem}__{object_}" in relations}
    if "addresses" in found:
        lines.append(f"addresses: {found['addresses']}")
    lines += ["", "# on_null: overwrite (default) | keep | clear | fill_if_empty"]
    lines.append("fields:")
    for title, wanted in (("there already", True), ("created by the first sync", False)):
        some = [_line(column, spec, on_null) for column, spec, on_null, is_there in maps if is_there is wanted]
        lines += [f"  # {title}", *some] if some else []
    if "segments" in found:
        lines += ["", "segments:", f"  model: {found['segments']}", '  prefix: "mw:"', "  include: all"]
    return Draft(name, "\n".join(lines) + "\n", tuple((column, spec, is_there) for column, spec, _, is_there in maps))


def write(made: Draft, folder: Path) -> Path:
    """Put it there, if nothing is there yet and if it can be read back.

    Raises:
        RefusedError: there is one of that name.
        ConfigError: it is not a sync.
    """
    path = folder / f"{made.name}.yml"
    if path.exists():
        raise RefusedError("There is such a sync already.", where=str(path), todo="choose another name, or delete it")
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(made.text, encoding="utf-8")
    try:
        parse_declaration(path)
    except BaseException:
        path.unlink()
        raise
    return path

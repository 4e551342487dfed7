"""A file's columns against its table's contract: what fits, what does not, and what was declared for that case."""

from __future__ import annotations

from dataclasses import dataclass, replace
from difflib import get_close_matches

from ingest.contracts import AUDIT_COLUMNS, Column, TableContract
from ingest.types import is_retyped, portable
from warehouse.errors import DataError


@dataclass(frozen=True)
class Fit:
    """How a file fills a table."""

    contract: TableContract
    """With the new columns that the policy adds."""
    sources: dict[str, str]
    """Contract column → column of the file; absent ones are filled with null."""
    notes: tuple[str, ...] = ()


def _match(contract: TableContract, file_columns: dict[str, str], where: str) -> tuple[dict[str, str], list[str]]:
    """Contract column → file column (exact name first, then regardless of case), and the file's unmatched ones."""
    by_fold: dict[str, list[str]] = {}
    for name in file_columns:
        by_fold.setdefault(name.strip().lower(), []).append(name)
    twice = [names for names in by_fold.values() if len(names) > 1]
    if twice:
        raise DataError(
            f"raw.{contract.table}: the file has column '{twice[0][0]}' more than once (names differ by case only).",
            where=where,
            todo="rename one of them",
        )
    sources = {
        column.name: by_fold[column.name.lower()][0] for column in contract.columns if column.name.lower() in by_fold
    }
    used = set(sources.values())
    unmatched = [name for name in file_columns if name not in used and name.lower() not in AUDIT_COLUMNS]
    return sources, unmatched


def retyped_columns(contract: TableContract, file_columns: dict[str, str]) -> dict[str, str]:
    """Column of a typed file → its table's type, where the two are of different kinds."""
    by_fold = {name.strip().lower(): name for name in file_columns}
    return {
        by_fold[column.name.lower()]: column.data_type
        for column in contract.columns
        if column.name.lower() in by_fold and is_retyped(file_columns[by_fold[column.name.lower()]], column.data_type)
    }


def _near(name: str, candidates: list[str]) -> str:
    near = get_close_matches(name.lower(), candidates, n=1, cutoff=0.5)
    return f" (did you mean '{near[0]}'?)" if near else ""


def fit(contract: TableContract, file_columns: dict[str, str], where: str, *, is_typed: bool, fixed: bool) -> Fit:
    """Match a file's columns with the contract, by the declared policy.

    Args:
        contract: what the table is.
        file_columns: the file's columns → types (`varchar` throughout in text files).
        where: the file, for messages.
        is_typed: the file states types (Parquet), so that a retyped column shows before any row is read.
        fixed: every row has every column (CSV, Parquet). In JSON lines a key that no row has is null, not missing,
            unless it is required.

    Raises:
        DataError: columns are new, missing or retyped, and no policy covers that; names all of them.
    """
    policy = contract.policy
    sources, new = _match(contract, file_columns, where)
    missing = [
        column
        for column in contract.columns
        if column.name not in sources
        and column.is_declared
        and (column.is_required or (fixed and policy.missing == "error" and not column.is_optional))
    ]
    retyped = [
        (column, file_columns[sources[column.name]])
        for column in contract.columns
        if is_typed and column.name in sources and is_retyped(file_columns[sources[column.name]], column.data_type)
    ]
    faults: list[str] = []
    answers: list[str] = []
    new_names = [name.strip().lower() for name in new]
    if missing:
        named = ", ".join(f"'{c.name}'{_near(c.name, new_names)}" for c in missing)
        faults.append(f"missing column{'s' if len(missing) > 1 else ''} {named}")
        answers.append(
            "rename the file's column"
            if any(column.is_required for column in missing)
            else "rename the file's column, or declare `schema_drift: null_fill`"
        )
    if new and policy.new == "error":
        absent = [column.name for column in contract.columns if column.name not in sources]
        named = ", ".join(f"'{name}'{_near(name, absent)}" for name in new)
        faults.append(f"new column{'s' if len(new) > 1 else ''} {named}")
        answers.append("declare `schema_drift: ignore_new` or `add_new` for columns that are really new")
    if retyped and policy.retyped == "error":
        named = ", ".join(f"'{c.name}' ({found.lower()} instead of {c.data_type})" for c, found in retyped)
        faults.append(f"retyped column{'s' if len(retyped) > 1 else ''} {named}")
        answers.append("export with the old type, or declare `schema_drift: cast`")
    if faults:
        raise DataError(
            f"raw.{contract.table}: the file does not fit the table: {'; '.join(faults)}.",
            where=where,
            todo="; ".join(answers) + " (in the manifest, or in the table's meta in sources.yml)",
        )
    notes: list[str] = []
    if new and policy.new == "ignore":
        notes.append(f"left out new columns: {', '.join(new)}")
    if new and policy.new == "add":
        added = tuple(Column(name.strip().lower(), portable(file_columns[name]), is_declared=False) for name in new)
        contract = replace(contract, columns=contract.columns + added)
        sources |= {column.name: name for column, name in zip(added, new, strict=True)}
        notes.append(f"added new columns: {', '.join(column.name for column in added)}")
    filled = [c.name for c in contract.columns if c.name not in sources and c.is_declared and not c.is_optional]
    if filled and fixed:
        notes.append(f"filled missing columns with null: {', '.join(filled)}")
    return Fit(contract, sources, tuple(notes))

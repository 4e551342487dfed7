"""Backup and restore of what no rebuild brings back: raw data, loads, builds, checks, ledger, models, identity rules,
histories.

A backup is a folder of Parquet files with a manifest (row counts and SHA-256): readable by anything, and by later
versions of DuckDB. Models are not in it: `mailwright build` makes them again.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import duckdb

from warehouse.clock import utcnow
from warehouse.connection import connect
from warehouse.errors import DataError, RefusedError
from warehouse.lock import writer_lock
from warehouse.settings import PRODUCTION_SCHEMA, Settings

SCHEMAS = ("raw", "ops", "ledger", "ml", "identity", "segments")
HISTORIES = (
    "segment_membership_history",
    "lifecycle_transitions",
    "lifecycle_sizes",
    "recommendation_coverage",
    "recommendation_holdout",
    "identity_registry",
    "identity_changes",
    "clock",
)
"""Tables of the production schema that dbt keeps over full refreshes, and its clock."""
FORMAT = 1


@dataclass(frozen=True)
class BackupReport:
    """What was written or brought back."""

    path: str
    n_tables: int
    n_rows: int
    n_artefacts: int

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _tables(con: duckdb.DuckDBPyConnection) -> list[tuple[str, str, str]]:
    rows = con.execute(
        "select schema_name, table_name, sql from duckdb_tables() where database_name = current_database() "
        "order by schema_name, table_name"
    ).fetchall()
    return [
        (schema, table, sql)
        for schema, table, sql in rows
        if schema in SCHEMAS or (schema == PRODUCTION_SCHEMA and table in HISTORIES)
    ]


def _sequences(con: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    """Sequences with a number beyond all that they gave: begun anew, they would number new rows before the old ones."""
    rows = con.execute(
        "select schema_name, sequence_name, coalesce(last_value, start_value) + 1 from duckdb_sequences() "
        "where database_name = current_database() order by schema_name, sequence_name"
    ).fetchall()
    return [{"schema": row[0], "sequence": row[1], "next": row[2]} for row in rows if row[0] in SCHEMAS]


def backup(settings: Settings, destination: Path) -> BackupReport:
    """Write a backup into the new folder `destination`: complete, or not there.

    Raises:
        RefusedError: the folder exists already.
    """
    if destination.exists():
        raise RefusedError("There is something at that path already.", where=str(destination), todo="name a new folder")
    temporary = destination.with_name(destination.name + ".partial")
    shutil.rmtree(temporary, ignore_errors=True)
    (temporary / "tables").mkdir(parents=True)
    entries: list[dict[str, Any]] = []
    with connect(settings, read_only=True, purpose="backup") as con:
        for schema, table, sql in _tables(con):
            file = temporary / "tables" / f"{schema}.{table}.parquet"
            rows = con.execute(f'copy "{schema}"."{table}" to ? (format parquet, compression zstd)', [str(file)])
            count = rows.fetchall()[0][0]
            entries.append({"schema": schema, "table": table, "sql": sql, "rows": count, "sha256": _sha256(file)})
        sequences = _sequences(con)
    artefacts = 0
    if settings.artefacts_dir.exists():
        shutil.copytree(settings.artefacts_dir, temporary / "artefacts")
        artefacts = sum(1 for path in (temporary / "artefacts").rglob("*") if path.is_file())
    manifest = {
        "format": FORMAT,
        "written_at": f"{utcnow()}Z",
        "duckdb": duckdb.__version__,
        "tables": entries,
        "sequences": sequences,
    }
    (temporary / "manifest.json").write_text(json.dumps(manifest, indent=2), encoding="utf-8")
    temporary.rename(destination)
    return BackupReport(str(destination), len(entries), sum(e["rows"] for e in entries), artefacts)


def restore(settings: Settings, source: Path, *, replace: bool = False) -> BackupReport:
    """Bring a backup back into an installation: into a new file, checked, then put in place by rename.

    Raises:
        DataError: it is not a backup, or a file of it is damaged.
        RefusedError: there is a warehouse already and `replace` was not given.
    """
    try:
        manifest = json.loads((source / "manifest.json").read_text(encoding="utf-8"))
        entries = manifest["tables"] if manifest["format"] == FORMAT else None
        sequences = manifest.get("sequences", [])  # older backups have none
    except (OSError, ValueError, KeyError):
        entries, sequences = None, []
    if entries is None:
        raise DataError(
            "This folder is not a backup.", where=str(source), todo="name one that `mailwright backup` wrote"
        )
    for entry in entries:
        file = source / "tables" / f"{entry['schema']}.{entry['table']}.parquet"
        if not file.exists() or _sha256(file) != entry["sha256"]:
            raise DataError(
                f"The backup is damaged: {file.name} is missing or changed.",
                where=str(source),
                todo="use another backup",
            )
    path = settings.warehouse_path
    if path.exists() and not replace:
        raise RefusedError(
            "There is a warehouse already.",
            where=str(path),
            todo="add --replace to put the backup in its place",
        )
    temporary = path.with_suffix(".restoring")
    with writer_lock(settings, "restore"):
        temporary.parent.mkdir(parents=True, exist_ok=True)
        temporary.unlink(missing_ok=True)
        with duckdb.connect(str(temporary)) as con:
            for entry in entries:
                con.execute(f'create schema if not exists "{entry["schema"]}"')
                con.execute(entry["sql"])
                file = source / "tables" / f"{entry['schema']}.{entry['table']}.parquet"
                con.execute(
                    f'insert into "{entry["schema"]}"."{entry["table"]}" by name select * from read_parquet(?)',
                    [str(file)],
                )
            for entry in sequences:
                con.execute(f'create schema if not exists "{entry["schema"]}"')
                con.execute(f'create sequence "{entry["schema"]}"."{entry["sequence"]}" start {int(entry["next"])}')
        artefacts = 0
        if (source / "artefacts").exists():
            shutil.copytree(source / "artefacts", settings.artefacts_dir, dirs_exist_ok=True)
            artefacts = sum(1 for item in (source / "artefacts").rglob("*") if item.is_file())
        path.with_name(path.name + ".wal").unlink(missing_ok=True)
        temporary.replace(path)
    return BackupReport(str(source), len(entries), sum(e["rows"] for e in entries), artefacts)

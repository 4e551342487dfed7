"""The contract of each raw table: its columns and types, and what to do when a file differs.

Declared once, in `dbt_project/models/staging/sources.yml` (source `raw`): `data_type` of each column, and under
`meta` of a column `required: true` (no file may lack it, no row may leave it empty) or `format: email | phone`; under
`meta` of a table `schema_drift` and `max_quarantined_share`. A table that is not declared there follows the raw table
that exists, or is inferred from its first file.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import yaml

from ingest.policy import REFUSE, parse_policy
from ingest.types import canonical, portable, quoted
from warehouse.errors import ConfigError
from warehouse.settings import Settings

OWN_SCHEMA = "raw"
"""Where `mailwright load` writes."""
AUDIT_COLUMNS = ("_loaded_at", "_load_id", "_row_number")
DEFAULT_MAX_QUARANTINED_SHARE = 0.1
TOLERATED_ROWS = 10
"""So many bad rows never fail a load by themselves: the share of a tiny file says little."""


@dataclass(frozen=True)
class Column:
    """A column of a raw table."""

    name: str
    data_type: str
    """Portable type name."""
    is_required: bool = False
    is_optional: bool = False
    """Files may lack it, whatever the policy."""
    is_declared: bool = True
    """False: a column that an earlier file added (`add_new`); files may lack it."""
    identifier: str | None = None
    """`email` or `phone` where the column holds one to normalize."""


@dataclass(frozen=True)
class TableContract:
    """What a file of this table must look like."""

    table: str
    columns: tuple[Column, ...]
    is_declared: bool
    policy: Any = REFUSE
    max_quarantined_share: float = DEFAULT_MAX_QUARANTINED_SHARE

    def column(self, name: str) -> Column | None:
        return next((column for column in self.columns if column.name == name), None)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)


def sources_path(settings: Settings) -> Path:
    """The YAML that declares the raw tables."""
    return settings.dbt_project_dir / "models" / "staging" / "sources.yml"


def raw_schema(settings: Settings) -> str:
    """Schema that the staging models read: `raw`, or that of the user's own loader (`vars: raw_schema` of the project).

    Raises:
        ConfigError: the project file is not YAML.
    """
    path = settings.dbt_project_dir / "dbt_project.yml"
    if not path.exists():
        return OWN_SCHEMA
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as error:
        raise ConfigError(
            f"The dbt project is not YAML: {str(error).splitlines()[0]}", where=str(path), todo="correct the file"
        ) from None
    return str((content.get("vars") or {}).get("raw_schema") or OWN_SCHEMA)


def _meta(node: dict[str, Any]) -> dict[str, Any]:
    return {**(node.get("meta") or {}), **((node.get("config") or {}).get("meta") or {})}


def _column(table: str, node: dict[str, Any], path: Path) -> Column:
    meta = _meta(node)
    name = str(node["name"]).strip('"')  # dbt needs quotes around words such as timestamp
    try:
        data_type = canonical(str(node["data_type"]))
    except ValueError as error:
        raise ConfigError(
            f"Column {table}.{name}: {error}.", where=str(path), todo="use text, bigint, numeric(18,4), timestamp, …"
        ) from None
    by_name = name if name in {"email", "phone"} else None
    return Column(
        name=name,
        data_type=data_type,
        is_required=bool(meta.get("required", False)),
        is_optional=bool(meta.get("optional", False)),
        identifier=meta["format"] if meta.get("format") in {"email", "phone"} else by_name,
    )


@cache
def _read(path: Path, _modified_ns: int) -> dict[str, TableContract]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as error:
        raise ConfigError(
            f"The sources are not YAML: {str(error).splitlines()[0]}", where=str(path), todo="correct the file"
        ) from None
    contracts: dict[str, TableContract] = {}
    for source in content.get("sources") or []:
        if source.get("name") != "raw":
            continue
        for table in source.get("tables") or []:
            name, meta = str(table["name"]), _meta(table)
            nodes = [node for node in table.get("columns") or [] if node.get("data_type")]
            columns = tuple(_column(name, node, path) for node in nodes)
            columns = tuple(column for column in columns if column.name not in AUDIT_COLUMNS)
            if not columns or meta.get("loader"):  # filled by the loader itself
                continue
            try:
                policy = parse_policy(meta.get("schema_drift", "error"))
            except ValueError as error:
                raise ConfigError(
                    f"schema_drift of {name}: {error}.", where=str(path), todo="correct the table's meta"
                ) from None
            contracts[name] = TableContract(
                table=name,
                columns=columns,
                is_declared=True,
                policy=policy,
                max_quarantined_share=float(meta.get("max_quarantined_share", DEFAULT_MAX_QUARANTINED_SHARE)),
            )
    return contracts


def declared_contracts(path: Path) -> dict[str, TableContract]:
    """The contracts declared in the sources' YAML; empty if there is none.

    Raises:
        ConfigError: not YAML, an unknown type or policy.
    """
    if not path.exists():
        return {}
    return _read(path, path.stat().st_mtime_ns)


def complete_schema(con: duckdb.DuckDBPyConnection, schema: str, contracts: dict[str, TableContract]) -> None:
    """Give the staging models what they read beside tables that another loader may have filled; these stay as they are.

    That is an empty table for each declared one that is not there, in our own schema the columns that were declared
    since a table was made, and in a foreign schema a view of the normalized identifiers.
    """
    con.execute(f"create schema if not exists {quoted(schema)}")
    if schema != OWN_SCHEMA:
        con.execute(
            f"create or replace view {quoted(schema)}.identifier_normalized as "
            f"select * from {OWN_SCHEMA}.identifier_normalized"
        )
    rows = con.execute(
        "select table_name from information_schema.tables "
        "where table_schema = ? and table_catalog = current_database()",
        [schema],
    ).fetchall()
    there = {str(name).lower() for (name,) in rows}
    for contract in contracts.values():
        if schema == OWN_SCHEMA or contract.table.lower() not in there:
            create_table(con, contract, schema)


def has_rows(con: duckdb.DuckDBPyConnection, schema: str, contracts: dict[str, TableContract]) -> bool:
    """Whether any declared raw table that is there holds a row."""
    rows = con.execute(
        "select table_name from information_schema.tables "
        "where table_schema = ? and table_catalog = current_database()",
        [schema],
    ).fetchall()
    return any(
        con.execute(f"select 1 from {quoted(schema)}.{quoted(name)} limit 1").fetchall()
        for (name,) in rows
        if name in contracts
    )


def existing_columns(con: duckdb.DuckDBPyConnection, table: str, schema: str = OWN_SCHEMA) -> dict[str, str]:
    """Columns of a raw table as it is, without the loader's own: name → portable type; empty if there is none."""
    rows = con.execute(
        "select column_name, data_type from duckdb_columns() "
        "where schema_name = ? and table_name = ? and database_name = current_database() order by column_index",
        [schema, table],
    ).fetchall()
    return {name: portable(data_type) for name, data_type in rows if name not in AUDIT_COLUMNS}


def contract_of(con: duckdb.DuckDBPyConnection, table: str, declared: dict[str, TableContract]) -> TableContract | None:
    """The contract that the next file of `table` has to meet; None if nothing is known of the table yet."""
    there = existing_columns(con, table)
    contract = declared.get(table)
    if contract is None:
        if not there:
            return None
        columns = tuple(Column(name, data_type, identifier=_by_name(name)) for name, data_type in there.items())
        return TableContract(table, columns, is_declared=False)
    extra = tuple(
        Column(name, data_type, is_declared=False, identifier=_by_name(name))
        for name, data_type in there.items()
        if contract.column(name) is None
    )
    return replace(contract, columns=contract.columns + extra)


def _by_name(name: str) -> str | None:
    return name if name in {"email", "phone"} else None


def create_table(con: duckdb.DuckDBPyConnection, contract: TableContract, schema: str = OWN_SCHEMA) -> None:
    """Create the raw table if absent, and add the columns of the contract that it lacks (null in older rows)."""
    columns = ", ".join(f"{quoted(column.name)} {column.data_type}" for column in contract.columns)
    con.execute(
        f"create table if not exists {quoted(schema)}.{quoted(contract.table)} "
        f"({columns}, _loaded_at timestamp not null, _load_id text not null, _row_number bigint not null)"
    )
    there = existing_columns(con, contract.table, schema)
    for column in contract.columns:
        if column.name not in there:
            con.execute(
                f"alter table {quoted(schema)}.{quoted(contract.table)} "
                f"add column {quoted(column.name)} {column.data_type}"
            )

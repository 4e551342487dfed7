"""Normalize: each distinct raw e-mail address and telephone number, once, to the form by which equals are equal.

It is Python because SQL's `lower()` has several answers beyond ASCII, and because an address has a grammar. The
result is `raw.identifier_normalized`, which staging joins. No network, no DNS; no address is ever logged.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import duckdb
import pyarrow as pa

from ingest.contracts import complete_schema, declared_contracts, raw_schema, sources_path
from ingest.emails import Email, normalize_email
from ingest.options import NormalizeOptions, options_of_environment
from ingest.phones import Phone, normalize_phone
from ingest.types import quoted
from warehouse.clock import utcnow
from warehouse.connection import connect
from warehouse.failpoints import failpoint
from warehouse.settings import Settings
from warehouse.state import ensure_state

_SCHEMA = pa.schema(
    [
        ("identifier_type", pa.string()),
        ("raw_value", pa.string()),
        ("normalized_value", pa.string()),
        ("identity_value", pa.string()),
        ("is_valid", pa.bool_()),
        ("reason", pa.string()),
        ("is_role", pa.bool_()),
        ("is_disposable", pa.bool_()),
    ]
)
_BATCH = 50_000
SUPPRESSED_EMAILS = ("ledger", "remote_suppressions", "email")
"""As the vendor spells them: what it says about an address must meet the same person as our own rows."""
IDENTIFY_EMAILS = {"properties": ("$.email", "$.traits.email"), "context": ("$.traits.email",)}
"""Where the `identify` events of `web_events` carry an address: what the staging model reads."""


@dataclass(frozen=True)
class NormalizeReport:
    """Counts of one call."""

    n_new: int
    """Normalized by this call: values not seen before, or all of a kind after its rules changed."""
    n_invalid: int
    n_role: int
    n_emails: int
    n_phones: int
    n_disposable: int = 0

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return asdict(self)


def normalize_identifiers(settings: Settings, options: NormalizeOptions | None = None) -> NormalizeReport:
    """Normalize the identifiers of all raw tables that are not normalized yet by the rules of today.

    What no raw table holds any more is forgotten.

    Columns: those declared with `meta.format: email | phone` in sources.yml, any raw column called `email` or `phone`,
    the addresses inside `identify` events, and those whose subscription ended at a destination.

    Args:
        settings: the installation.
        options: choices; default from the environment.

    Raises:
        ConfigError: a choice that cannot be.
    """
    options = options or options_of_environment()
    with connect(settings, purpose="normalize identifiers") as con:
        ensure_state(con, settings)
        schema = raw_schema(settings)
        complete_schema(con, schema, declared_contracts(sources_path(settings)))
        columns = identifier_columns(con, settings)
        con.execute("begin")
        try:
            counts = {
                kind: _normalize_kind(con, kind, _values_of(columns[kind]) + extra, options)
                for kind, extra in {"email": _identify_emails(con, schema), "phone": []}.items()
            }
            failpoint("normalize.before_commit")
            con.execute("commit")
        except BaseException:
            con.execute("rollback")
            raise
    emails, phones = counts["email"], counts["phone"]
    return NormalizeReport(
        n_new=emails.n_new + phones.n_new,
        n_invalid=emails.n_invalid + phones.n_invalid,
        n_role=emails.n_role,
        n_emails=emails.n_new,
        n_phones=phones.n_new,
        n_disposable=emails.n_disposable,
    )


def identifier_columns(con: duckdb.DuckDBPyConnection, settings: Settings) -> dict[str, list[tuple[str, str, str]]]:
    """`email` and `phone` → (schema, table, column) where they occur."""
    schema = raw_schema(settings)
    rows = con.execute(
        "select table_name, column_name from duckdb_columns() where schema_name = ? and data_type = 'VARCHAR' "
        "and database_name = current_database() and table_name not in ('quarantine', 'identifier_normalized') "
        "order by table_name, column_index",
        [schema],
    ).fetchall()
    declared = declared_contracts(sources_path(settings))
    found: dict[str, list[tuple[str, str, str]]] = {"email": [SUPPRESSED_EMAILS], "phone": []}
    for table, name in rows:
        contract = declared.get(table)
        column = contract.column(name) if contract else None
        kind = column.identifier if column else name if name in found else None
        if kind in found:
            found[kind].append((schema, table, name))
    return found


def _values_of(columns: list[tuple[str, str, str]]) -> list[str]:
    """One select of `raw_value` per column."""
    return [
        f"select {quoted(column)} as raw_value from {quoted(schema)}.{quoted(table)}"
        for schema, table, column in columns
    ]


def _identify_emails(con: duckdb.DuckDBPyConnection, schema: str) -> list[str]:
    """The same for addresses inside the JSON of web events; none where those tables look otherwise."""
    rows = con.execute(
        "select column_name from duckdb_columns() where schema_name = ? and table_name = 'web_events' "
        "and data_type in ('VARCHAR', 'JSON') and database_name = current_database()",
        [schema],
    ).fetchall()
    there = {name for (name,) in rows}
    if "type" not in there:
        return []
    return [
        # what is no JSON stops the staging model, with its own message
        f"select json_extract_string(case when json_valid({column}) then {column} end, '{path}') as raw_value "
        f"from {quoted(schema)}.web_events where type = 'identify'"
        for column, paths in IDENTIFY_EMAILS.items()
        if column in there
        for path in paths
    ]


@dataclass
class _Counts:
    n_new: int = 0
    n_invalid: int = 0
    n_role: int = 0
    n_disposable: int = 0


def _normalize_kind(
    con: duckdb.DuckDBPyConnection, kind: str, selects: list[str], options: NormalizeOptions
) -> _Counts:
    rules, counts = options.rules(kind), _Counts()
    values = " union ".join(selects) or "select cast(null as text) as raw_value"
    con.execute(
        f"create or replace temp table _raw_values as select raw_value from ({values}) where raw_value is not null"
    )
    # what was withdrawn or deleted is forgotten here too
    con.execute(
        "delete from raw.identifier_normalized where identifier_type = ? "
        "and (rules is distinct from ? or raw_value not in (select raw_value from _raw_values))",
        [kind, rules],
    )
    new = con.execute(
        "select raw_value from _raw_values where raw_value not in "
        "(select raw_value from raw.identifier_normalized where identifier_type = ?) order by raw_value",
        [kind],
    ).to_arrow_table()
    for batch in new.to_batches(max_chunksize=_BATCH):
        results = normalize_values(kind, batch.column(0).to_pylist(), options)
        con.register("_normalized", results)
        con.execute(
            f"insert into raw.identifier_normalized ({', '.join(_SCHEMA.names)}, rules, normalized_at) "
            "select *, ?, ? from _normalized",
            [rules, utcnow()],
        )
        con.unregister("_normalized")
        counts.n_new += results.num_rows
        counts.n_invalid += results.num_rows - sum(results.column("is_valid").to_pylist())
        counts.n_role += sum(results.column("is_role").to_pylist())
        counts.n_disposable += sum(results.column("is_disposable").to_pylist())
    con.execute("drop table _raw_values")
    return counts


def normalize_values(kind: str, values: Iterable[str], options: NormalizeOptions) -> pa.Table:
    """The rows of `raw.identifier_normalized` (without rules and instant) for raw values of one kind."""
    raw = list(values)
    results: Sequence[Email | Phone]
    if kind == "email":
        results = [
            normalize_email(
                value,
                lower_local=options.lower_local_part,
                provider_rules=options.provider_rules,
                never_disposable=options.never_disposable,
            )
            for value in raw
        ]
    else:
        results = [normalize_phone(value, regions=options.phone_regions) for value in raw]
    return pa.table(
        {
            "identifier_type": [kind] * len(raw),
            "raw_value": raw,
            "normalized_value": [result.value for result in results],
            "identity_value": [result.identity if isinstance(result, Email) else result.value for result in results],
            "is_valid": [result.is_valid for result in results],
            "reason": [result.reason for result in results],
            "is_role": [isinstance(result, Email) and result.is_role for result in results],
            "is_disposable": [isinstance(result, Email) and result.is_disposable for result in results],
        },
        schema=_SCHEMA,
    )

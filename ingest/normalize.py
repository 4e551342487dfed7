"""Normalize: each distinct raw e-mail address and telephone number, once, to the form by which equals are equal.

It is Python because SQL's `lower()` has several answers beyond ASCII, and because an address has a grammar. The
result is `raw.identifier_normalized`, which staging joins. No network, no DNS; no address is ever logged.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import duckdb
import pyarrow as pa
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from ingest.contracts import complete_schema, declared_contracts, raw_schema, sources_path
from ingest.emails import Email, normalize_email
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
        ("is_valid", pa.bool_()),
        ("reason", pa.string()),
        ("is_role", pa.bool_()),
    ]
)
_BATCH = 50_000
SUPPRESSED_EMAILS = ("ledger", "remote_suppressions", "email")
"""As the vendor spells them: what it says about an address must meet the same person as our own rows."""


class NormalizeOptions(BaseSettings):
    """Choices of one installation; each can be set as an environment variable MAILWRIGHT_NORMALIZE_<NAME>."""

    model_config = SettingsConfigDict(env_prefix="MAILWRIGHT_NORMALIZE_", frozen=True, extra="ignore")

    lower_local_part: bool = True
    """`Ann@x.org` is `ann@x.org`. No big mailbox provider tells them apart, and ESPs do not either."""
    strip_plus: bool = False
    """`ann+shop@x.org` becomes `ann@x.org`. Off: the tagged address is what the person gave, and mail goes there."""
    phone_country_code: str | None = Field(default=None, pattern=r"^[1-9][0-9]{0,2}$")
    """Calling code of numbers written without one, e.g. `44`; without it they stay national, and are not valid."""


@dataclass(frozen=True)
class NormalizeReport:
    """Counts of one call."""

    n_new: int
    n_invalid: int
    n_role: int
    n_emails: int
    n_phones: int

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return asdict(self)


def normalize_identifiers(
    settings: Settings, options: NormalizeOptions | None = None, *, again: bool = False
) -> NormalizeReport:
    """Normalize the identifiers of all raw tables that are not normalized yet.

    Columns: those declared with `meta.format: email | phone` in sources.yml, any raw column called `email` or `phone`,
    and the addresses whose subscription ended at a destination.

    Args:
        settings: the installation.
        options: choices; default from the environment.
        again: forget all results first (after an option was changed).
    """
    options = options or NormalizeOptions()
    with connect(settings, purpose="normalize identifiers") as con:
        ensure_state(con, settings)
        schema = raw_schema(settings)
        complete_schema(con, schema, declared_contracts(sources_path(settings)))
        columns = identifier_columns(con, settings)
        con.execute("begin")
        try:
            if again:
                con.execute("delete from raw.identifier_normalized")
            counts = [_normalize_kind(con, kind, columns[kind], options) for kind in ("email", "phone")]
            failpoint("normalize.before_commit")
            con.execute("commit")
        except BaseException:
            con.execute("rollback")
            raise
    (emails, bad_emails, roles), (phones, bad_phones, _) = counts
    return NormalizeReport(emails + phones, bad_emails + bad_phones, roles, emails, phones)


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


def _normalize_kind(
    con: duckdb.DuckDBPyConnection, kind: str, columns: list[tuple[str, str, str]], options: NormalizeOptions
) -> tuple[int, int, int]:
    if not columns:
        return 0, 0, 0
    union = " union ".join(
        f"select {quoted(column)} as raw_value from {quoted(schema)}.{quoted(table)} where {quoted(column)} is not null"
        for schema, table, column in columns
    )
    new = con.execute(
        f"select raw_value from ({union}) as raw_values where not exists (select 1 from raw.identifier_normalized n "
        "where n.identifier_type = ? and n.raw_value = raw_values.raw_value) order by raw_value",
        [kind],
    ).to_arrow_table()
    totals = [0, 0, 0]
    for batch in new.to_batches(max_chunksize=_BATCH):
        results = normalize_values(kind, batch.column(0).to_pylist(), options)
        con.register("_normalized", results)
        con.execute(
            "insert into raw.identifier_normalized (identifier_type, raw_value, normalized_value, is_valid, reason, "
            "is_role, normalized_at) select *, ? from _normalized",
            [utcnow()],
        )
        con.unregister("_normalized")
        totals[0] += results.num_rows
        totals[1] += results.num_rows - sum(results.column("is_valid").to_pylist())
        totals[2] += sum(results.column("is_role").to_pylist())
    return totals[0], totals[1], totals[2]


def normalize_values(kind: str, values: Iterable[str], options: NormalizeOptions) -> pa.Table:
    """The rows of `raw.identifier_normalized` (without the instant) for raw values of one kind."""
    results: list[tuple[str, Email | Phone]] = []
    for value in values:
        if kind == "email":
            result = normalize_email(value, lower_local=options.lower_local_part, strip_plus=options.strip_plus)
        else:
            result = normalize_phone(value, country_code=options.phone_country_code)
        results.append((value, result))
    return pa.table(
        {
            "identifier_type": [kind] * len(results),
            "raw_value": [raw for raw, _ in results],
            "normalized_value": [result.value for _, result in results],
            "is_valid": [result.is_valid for _, result in results],
            "reason": [result.reason for _, result in results],
            "is_role": [isinstance(result, Email) and result.is_role for _, result in results],
        },
        schema=_SCHEMA,
    )

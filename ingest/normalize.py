"""Normalize: each distinct raw e-mail address and telephone number, once, to the form by which equals are equal.

It is Python because SQL's `lower()` has several answers beyond ASCII, and because an address has a grammar. The
result is `raw.identifier_normalized`, which staging joins. No network, no DNS; no address is ever logged.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Annotated, Any

import duckdb
import pyarrow as pa
from pydantic import ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from ingest.contracts import complete_schema, declared_contracts, raw_schema, sources_path
from ingest.domains import PROVIDERS
from ingest.emails import Email, normalize_email
from ingest.phones import Phone, known_regions, normalize_phone
from ingest.types import quoted
from warehouse.clock import utcnow
from warehouse.connection import connect
from warehouse.errors import ConfigError
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
_LIBRARIES = {"email": ("email-validator", "idna", "disposable-email-domains"), "phone": ("phonenumbers",)}
_PREFIX = "MAILWRIGHT_NORMALIZE_"
_REVISION = 1
"""Raised when our own code gives another result for the same value."""


def _words(value: Any) -> Any:
    return [word for word in value.replace(",", " ").split() if word] if isinstance(value, str) else value


class NormalizeOptions(BaseSettings):
    """Choices of one installation; each can be set as an environment variable MAILWRIGHT_NORMALIZE_<NAME>."""

    model_config = SettingsConfigDict(env_prefix=_PREFIX, env_ignore_empty=True, frozen=True, extra="forbid")

    lower_local_part: bool = True
    """`Ann@x.org` is `ann@x.org`. No big mailbox provider tells them apart, and ESPs do not either."""
    provider_rules: bool = False
    """`a.nn+shop@googlemail.com` has the identity of `ann@gmail.com` (domains.yml); mail still goes where it went."""
    never_disposable: Annotated[tuple[str, ...], NoDecode] = ()
    """Domains that are not disposable, whatever the list says; those below them too."""
    phone_regions: Annotated[tuple[str, ...], NoDecode] = ()
    """ISO 3166-1 codes of where numbers without a country code may be from, e.g. `GB`; without any, they are not valid,
    and neither is a number that fits several."""

    @field_validator("never_disposable", mode="before")
    @classmethod
    def _lower(cls, value: Any) -> Any:
        return [str(word).lower() for word in _words(value)]

    @field_validator("phone_regions", mode="before")
    @classmethod
    def _regions(cls, value: Any) -> Any:
        regions = [str(word).upper() for word in _words(value)]
        if unknown := [region for region in regions if region not in known_regions()]:
            hint = " (United Kingdom: GB)" if "UK" in unknown else ""
            raise ValueError(f"'{unknown[0]}' is no region with a numbering plan{hint}; use ISO codes such as US,GB")
        return regions

    def rules(self, kind: str) -> str:
        """Name of all that decides a result: options, versions of the libraries and lists, our own code."""
        mine = {"phone_regions"} if kind == "phone" else set(type(self).model_fields) - {"phone_regions"}
        decides = {
            "options": self.model_dump(mode="json", include=mine),
            "libraries": {name: version(name) for name in _LIBRARIES[kind]},
            "providers": hashlib.md5(PROVIDERS.read_bytes(), usedforsecurity=False).hexdigest(),
            "revision": _REVISION,
        }
        return hashlib.md5(json.dumps(decides, sort_keys=True).encode(), usedforsecurity=False).hexdigest()


def options_of_environment() -> NormalizeOptions:
    """The choices as the environment states them.

    Raises:
        ConfigError: a variable that is none of ours, or a value that cannot be.
    """
    names = [_PREFIX + name.upper() for name in NormalizeOptions.model_fields]
    for name in sorted(os.environ):
        # a choice that is silently not made would merge people, or part them
        if name.upper().startswith(_PREFIX) and name.upper() not in names:
            raise ConfigError(f"{name} is no setting.", todo="use " + ", ".join(names) + " (docs/loading.md)")
    try:
        return NormalizeOptions()
    except ValidationError as error:
        first = error.errors()[0]
        name = _PREFIX + str(first["loc"][0]).upper()
        said = str(first.get("ctx", {}).get("error") or first["msg"])
        raise ConfigError(f"{name}: {said}.", todo="correct the environment variable (docs/loading.md)") from None


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
    con.execute(
        "delete from raw.identifier_normalized where identifier_type = ? and rules is distinct from ?", [kind, rules]
    )
    if not selects:
        return counts
    new = con.execute(
        f"select raw_value from ({' union '.join(selects)}) as raw_values where raw_value is not null "
        "and not exists (select 1 from raw.identifier_normalized n "
        "where n.identifier_type = ? and n.raw_value = raw_values.raw_value) order by raw_value",
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

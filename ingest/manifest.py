"""What to load: a file, a folder or a manifest becomes a list of (file, table, options).

A manifest is YAML:

    as_of: 2011-12-10T00:00:00Z        # optional: the instant at which this data ends
    provenance: real                   # real | simulated | unknown, for all files that say nothing else
    loads:
      - table: shop_orders
        files: orders/*.parquet        # or a list; relative to the manifest
      - table: crm_contacts
        file: contacts.csv
        format: {delimiter: ";", encoding: latin-1, timestamp_format: "%d/%m/%Y %H:%M"}
        schema_drift: [ignore_new, null_fill]
        max_quarantined_share: 0.01

`tables: {shop_orders: orders/*.parquet}` is the short form of `loads`.
In a folder, `<table>.<extension>` and `<table>/<anything>.<extension>` name their tables themselves.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator

from ingest.files import EXTENSIONS, format_of, stem_of
from ingest.policy import DriftPolicy
from warehouse.errors import ConfigError, DataError

Provenance = Literal["real", "simulated", "unknown"]
MANIFEST_NAMES = ("load.yml", "load.yaml", "manifest.yml", "manifest.yaml")
RESERVED = frozenset({"quarantine", "identifier_normalized"})
_TABLE = re.compile(r"[a-z_][a-z0-9_]{0,62}")


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


class FormatOptions(BaseModel):
    """How a text file is written; everything has a default that suits RFC 4180 and UTF-8."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: Literal["csv", "jsonl", "parquet"] | None = None
    """Overrides what the extension says."""
    delimiter: str | None = Field(default=None, min_length=1, max_length=1)
    """Default: the one of , ; tab | under which the header names most columns of the table."""
    quote: str = Field(default='"', max_length=1)
    encoding: str | None = None
    """A Python codec name; default UTF-8, or what the byte order mark says."""
    null_values: tuple[str, ...] = ("",)
    timestamp_format: str | None = None
    """strptime format; default ISO 8601."""
    decimal_comma: bool = False


class Entry(BaseModel):
    """Files of one table, and how to load them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    table: str
    files: Annotated[tuple[str, ...], BeforeValidator(_listed)] = ()
    file: str | None = None
    provenance: Provenance | None = None
    format: FormatOptions = FormatOptions()
    schema_drift: DriftPolicy | None = None
    max_quarantined_share: float | None = Field(default=None, ge=0, le=1)

    @property
    def patterns(self) -> tuple[str, ...]:
        return (*self.files, *((self.file,) if self.file else ()))


class Manifest(BaseModel):
    """A load manifest."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    description: str | None = None
    as_of: datetime | None = None
    provenance: Provenance = "unknown"
    loads: tuple[Entry, ...] = ()
    tables: dict[str, Any] = Field(default_factory=dict)
    truth: Any = None
    """What a generator planted: not loaded, for tests only."""

    @field_validator("as_of")
    @classmethod
    def _naive_utc(cls, value: datetime | None) -> datetime | None:
        return value.astimezone(UTC).replace(tzinfo=None) if value and value.tzinfo else value

    def entries(self) -> tuple[Entry, ...]:
        short = [
            Entry.model_validate({"table": name, **spec} if isinstance(spec, dict) else {"table": name, "files": spec})
            for name, spec in self.tables.items()
        ]
        return (*self.loads, *short)


@dataclass(frozen=True)
class FileToLoad:
    """One file, its table and how to read it."""

    path: Path
    name: str
    """Path relative to what was named on the command line: what reports and `ops.loads` show."""
    table: str
    provenance: Provenance
    format: FormatOptions
    schema_drift: DriftPolicy | None
    max_quarantined_share: float | None


@dataclass(frozen=True)
class Work:
    """All that one call loads."""

    files: tuple[FileToLoad, ...]
    as_of: datetime | None
    notes: tuple[str, ...] = ()


def table_name(name: str, *, where: Path) -> str:
    """A file's or folder's name as a table name.

    Raises:
        DataError: not a plain identifier, or reserved.
    """
    plain = name.strip().lower().replace("-", "_").replace(" ", "_").removeprefix("raw.")
    if not _TABLE.fullmatch(plain) or plain in RESERVED:
        raise DataError(
            f"'{name}' cannot be the name of a raw table.",
            where=str(where),
            todo="name the table with `--table`, or map the file to a table in a manifest",
        )
    return plain


def read_manifest(path: Path) -> Manifest:
    """Read and validate a manifest.

    Raises:
        ConfigError: not YAML, or a key or value is wrong; the first fault is named.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        manifest = Manifest.model_validate(content or {})
        entries = manifest.entries()
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"The manifest is not YAML: {str(error).splitlines()[0]}",
            where=str(path),
            todo="correct it; README shows an example",
        ) from None
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "the manifest"
        known = [*Manifest.model_fields, *Entry.model_fields, *FormatOptions.model_fields]
        near = get_close_matches(key.split(".")[-1], known, n=1)
        hint = f" (did you mean '{near[0]}'?)" if near and first["type"] == "extra_forbidden" else ""
        raise ConfigError(
            f"The manifest is wrong at '{key}': {first['msg']}{hint}.",
            where=str(path),
            todo="correct that key",
        ) from None
    if not entries:
        raise ConfigError("The manifest names no file.", where=str(path), todo="list the files under `loads:`")
    for entry in entries:
        if not entry.patterns:
            raise ConfigError(
                f"The manifest names no file for table '{entry.table}'.",
                where=str(path),
                todo="give it `files:`",
            )
    return manifest


def _from_manifest(path: Path) -> Work:
    manifest = read_manifest(path)
    base = path.parent
    found: list[FileToLoad] = []
    for entry in manifest.entries():
        for pattern in entry.patterns:
            exact = base / pattern
            # a name with brackets in it is a name first, a pattern second
            matches = [exact] if exact.exists() else sorted(base.glob(pattern)) if pattern else []
            matches = [match for match in matches if match.is_file()]
            if not matches:
                raise DataError(
                    f"The manifest's table '{entry.table}' names '{pattern}', but there is no such file.",
                    where=str(path),
                    todo="correct the name (relative to the manifest), or remove the line",
                )
            found += [
                FileToLoad(
                    path=match,
                    name=match.relative_to(base).as_posix() if match.is_relative_to(base) else match.name,
                    table=table_name(entry.table, where=path),
                    provenance=entry.provenance or manifest.provenance,
                    format=entry.format,
                    schema_drift=entry.schema_drift,
                    max_quarantined_share=entry.max_quarantined_share,
                )
                for match in matches
            ]
    return Work(files=tuple(found), as_of=manifest.as_of)


def _plain(path: Path, name: str, table: str) -> FileToLoad:
    return FileToLoad(path, name, table, "unknown", FormatOptions(), None, None)


def _hidden(path: Path, folder: Path) -> bool:
    parts = path.relative_to(folder).parts
    return any(part.startswith((".", "_")) for part in parts) or path.stem.upper() in {"README", "LICENSE"}


def _from_folder(folder: Path, table: str | None) -> Work:
    for name in MANIFEST_NAMES:
        if (folder / name).is_file():
            return _from_manifest(folder / name)
    files = [p for p in sorted(folder.rglob("*")) if p.is_file() and not _hidden(p, folder)]
    if not files:
        raise DataError(
            "There is no file to load in this folder.",
            where=str(folder),
            todo=f"put files there named <table>.<extension> ({', '.join(EXTENSIONS)})",
        )
    found = []
    for path in files:
        format_of(path)  # all names are checked before anything is loaded
        relative = path.relative_to(folder)
        own = relative.parts[0] if len(relative.parts) > 1 else stem_of(path)
        found.append(_plain(path, relative.as_posix(), table or table_name(own, where=path)))
    return Work(files=tuple(found), as_of=None)


def find_work(path: Path, table: str | None = None) -> Work:
    """The files to load for what the user named.

    Raises:
        DataError: no such path, an unknown extension, a name that cannot be a table.
        ConfigError: the manifest is wrong.
    """
    path = path.expanduser()
    named = table_name(table, where=path) if table else None
    if path.is_dir():
        return _from_folder(path, named)
    if not path.exists():
        near = get_close_matches(path.name, _names_in(path.parent), n=1, cutoff=0.7)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        raise DataError(f"There is no such file or folder.{hint}", where=str(path), todo="check the path and run again")
    if path.suffix.lower() in {".yml", ".yaml"}:
        return _from_manifest(path)
    format_of(path)
    return Work(files=(_plain(path, path.name, named or table_name(stem_of(path), where=path)),), as_of=None)


def _names_in(folder: Path) -> Iterable[str]:
    return [p.name for p in folder.iterdir()] if folder.is_dir() else []

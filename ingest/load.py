"""Load: files become rows of `raw.*`, each file in one transaction, the same content never twice.

What a file must look like is its table's contract (`ingest.contracts`). Rows that cannot be read go to
`raw.quarantine` with file, line and reason; the others load. An error, a kill or a full disk leaves the warehouse as
it was before that file.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import duckdb
import pyarrow as pa

from ingest.contracts import (
    OWN_SCHEMA,
    TOLERATED_ROWS,
    TableContract,
    contract_of,
    create_table,
    declared_contracts,
    raw_schema,
    sources_path,
)
from ingest.drift import Fit, fit, retyped_columns
from ingest.files import Fingerprint, assert_unchanged, fingerprint, sweep
from ingest.infer import infer
from ingest.manifest import FileToLoad, find_work
from ingest.readers import Opened, Reject, open_file
from ingest.readers.base import sql_text
from ingest.report import LoadedFile, LoadReport, SkippedFile
from ingest.troubles import understood
from ingest.types import SAID, TextFormat, family, needs_check, present, quoted, text_cast, typed_cast
from warehouse.clock import utcnow
from warehouse.connection import connect
from warehouse.errors import ConfigError, DataError
from warehouse.failpoints import failpoint
from warehouse.ids import new_id
from warehouse.settings import Settings
from warehouse.state import ensure_state

Progress = Callable[[LoadedFile | SkippedFile], None]


def load(settings: Settings, path: Path, table: str | None = None, on_progress: Progress | None = None) -> LoadReport:
    """Bring a file, a folder or a manifest's files into `raw.*`.

    Args:
        settings: the installation.
        path: a file, a folder (file stem or sub-folder = table) or a YAML manifest.
        table: the table, if the names do not say it.
        on_progress: called after each file with what became of it.

    Raises:
        DataError: a file cannot be used; it is named, and nothing of it was kept. Files before it stay loaded.
        ConfigError: the manifest or the declared sources are wrong.
        RetriableError: the disk is full, the file changed meanwhile, or the warehouse is busy.
    """
    work = find_work(path, table)
    declared = declared_contracts(sources_path(settings))
    loads: list[LoadedFile] = []
    skipped: list[SkippedFile] = []
    with understood(settings, where=str(path)):
        ensure_raw_tables(settings, declared)
    for file in work.files:
        with understood(settings, where=str(file.path)):
            result = _load_file(settings, file, declared)
        (loads if isinstance(result, LoadedFile) else skipped).append(result)  # pyright: ignore[reportArgumentType]
        if on_progress:
            on_progress(result)
    return LoadReport(tuple(loads), tuple(skipped), as_of=work.as_of)


def load_pulled(settings: Settings, folder: Path) -> LoadReport:
    """Bring in what was pulled from an e-mail service provider.

    Raises:
        ConfigError: the models read another schema than `raw`, where it would lie unread.
    """
    schema = raw_schema(settings)
    if schema != OWN_SCHEMA:
        raise ConfigError(
            f"The models read the raw tables of schema '{schema}', which belongs to a loader of your own.",
            where="`raw_schema` in dbt_project/dbt_project.yml",
            todo="let that loader bring in the events of your e-mail service provider",
        )
    return load(settings, folder)


def ensure_raw_tables(settings: Settings, declared: dict[str, TableContract] | None = None) -> None:
    """Create each declared raw table that is absent, empty: a store without a newsletter form still builds."""
    contracts = declared_contracts(sources_path(settings)) if declared is None else declared
    with connect(settings, purpose="load") as con:
        ensure_state(con, settings)
        for contract in contracts.values():
            create_table(con, contract)


def _load_file(settings: Settings, file: FileToLoad, declared: dict[str, TableContract]) -> LoadedFile | SkippedFile:
    started = time.monotonic()
    before = fingerprint(file.path)
    scratch = settings.home / "scratch"
    sweep(scratch)
    with connect(settings, purpose=f"load {file.name}") as con:
        known = _loaded_before(con, file, before)
        if known:
            return known
        contract = contract_of(con, file.table, declared)
        with open_file(con, file, contract, scratch) as opened:
            fmt = TextFormat(file.format.timestamp_format, file.format.decimal_comma)
            notes: tuple[str, ...] = ()
            if contract is None:
                contract = infer(con, file.table, opened, fmt)
                notes = (_undeclared(file.table, declared),)
            elif opened.is_typed:
                opened.forgive_empty(con, retyped_columns(contract, opened.columns))
            fitted = fit(
                _with_options(contract, file),
                opened.columns,
                str(file.path),
                is_typed=opened.is_typed,
                fixed=opened.is_fixed,
            )
            staged = _Staged(con, opened, fitted, fmt)
            rejects = staged.rejects(file)
            assert_unchanged(file.path, before)
            loaded = _write(con, file, before, staged, rejects)
    if loaded.rows_loaded == 0:
        notes += ("the file holds no row",)
    return LoadedFile(
        load_id=loaded.load_id,
        table=file.table,
        file_name=file.name,
        provenance=file.provenance,
        rows_loaded=loaded.rows_loaded,
        rows_quarantined=len(rejects),
        seconds=round(time.monotonic() - started, 3),
        notes=notes + fitted.notes,
    )


def _loaded_before(con: duckdb.DuckDBPyConnection, file: FileToLoad, content: Fingerprint) -> SkippedFile | None:
    rows = con.execute(
        "select load_id, file_name, rows_loaded from ops.loads where table_name = ? and file_sha256 = ? "
        "order by loaded_at, load_id",
        [file.table, content.sha256],
    ).fetchall()
    for load_id, name, rows_loaded in rows:
        # a raw table that someone dropped is loaded anew
        if rows_loaded == 0 or _holds(con, file.table, load_id):
            called = "" if name == file.name else f" (as {name})"
            reason = f"same content as load {load_id}{called}: nothing to do"
            return SkippedFile(file.table, file.name, load_id, reason)
    return None


def _holds(con: duckdb.DuckDBPyConnection, table: str, load_id: str) -> bool:
    try:
        return bool(con.execute(f"select 1 from raw.{quoted(table)} where _load_id = ? limit 1", [load_id]).fetchall())
    except duckdb.CatalogException:
        return False


def _undeclared(table: str, declared: dict[str, TableContract]) -> str:
    near = get_close_matches(table, list(declared), n=1, cutoff=0.6)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    return f"raw.{table} is not declared in sources.yml: its columns were inferred from this file{hint}"


def _with_options(contract: TableContract, file: FileToLoad) -> TableContract:
    return TableContract(
        contract.table,
        contract.columns,
        contract.is_declared,
        contract.policy if file.schema_drift is None else file.schema_drift,
        contract.max_quarantined_share if file.max_quarantined_share is None else file.max_quarantined_share,
    )


class _Staged:
    """An opened file with the casts into its table."""

    def __init__(self, con: duckdb.DuckDBPyConnection, opened: Opened, fitted: Fit, fmt: TextFormat) -> None:
        self.con, self.opened, self.contract = con, opened, fitted.contract
        self.casts: dict[str, str] = {}
        self.faults: list[tuple[str, str]] = []
        """(what is wrong, SQL that is true for such a row)"""
        for column in fitted.contract.columns:
            source = fitted.sources.get(column.name)
            if source is None:
                self.casts[column.name] = f"cast(null as {column.data_type})"
                continue
            expression, kind = opened.expressions[source], opened.columns[source]
            cast = (
                typed_cast(expression, kind, column.data_type, fmt)
                if opened.is_typed
                else text_cast(expression, column.data_type, fmt)
            )
            self.casts[column.name] = cast
            if needs_check(kind, column.data_type):
                wanted = SAID.get(family(column.data_type), column.data_type)
                filled = present(expression, kind, column.data_type)
                self.faults.append((f"{column.name}: not {wanted}", f"({filled} and ({cast}) is null)"))
            if column.is_required:
                empty = f"not coalesce({present(expression, kind, column.data_type)}, false)"
                self.faults.append((f"{column.name}: required, but empty", f"({empty})"))

    @property
    def is_bad(self) -> str:
        return " or ".join(fault for _, fault in self.faults) or "false"

    def rejects(self, file: FileToLoad) -> list[Reject]:
        """All rows that cannot be loaded, in the file's order.

        Raises:
            DataError: more of them than the table tolerates.
        """
        counts = self.con.execute(
            f"select count(*), count(*) filter (where {self.is_bad})"
            + "".join(f", count(*) filter (where {fault})" for _, fault in self.faults)
            + f" from {self.opened.relation}"
        ).fetchall()[0]
        readable, bad, by_fault = counts[0], counts[1], counts[2:]
        unreadable = sum(reject.n_lines for reject in self.opened.unreadable)
        self._assert_tolerable(file, readable + unreadable, bad + unreadable, by_fault)
        found = list(self.opened.unreadable)
        if bad:
            found += self.opened.locate(self.con, self._reasons())
        return sorted(found, key=lambda reject: (reject.line_number is None, reject.line_number or 0))

    def _reasons(self) -> dict[int, str]:
        said = [f"case when {fault} then {sql_text(what)} end" for what, fault in self.faults]
        rows = self.con.execute(
            f"select _row_number, concat_ws('; ', {', '.join(said)}) from {self.opened.relation} where {self.is_bad}"
        ).fetchall()
        return dict(rows)

    def _assert_tolerable(self, file: FileToLoad, total: int, bad: int, by_fault: tuple[int, ...]) -> None:
        limit = self.contract.max_quarantined_share
        garbled = sum(reject.n_lines for reject in self.opened.unreadable if "UTF-8" in reject.reason)
        is_few = bad <= TOLERATED_ROWS and garbled <= limit * total  # a wrong encoding is the file's, not a row's
        if bad == 0 or (bad < total and (is_few or bad <= limit * total)):
            return
        reasons: dict[str, int] = {}
        for reject in self.opened.unreadable:
            reasons[reject.reason] = reasons.get(reject.reason, 0) + reject.n_lines
        reasons |= {what: n for (what, _), n in zip(self.faults, by_fault, strict=True) if n}
        worst = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))[:3]
        todo = "correct the file, or raise `max_quarantined_share` (manifest, or the table's meta in sources.yml)"
        if garbled:
            todo = "declare the file's encoding in a manifest (`format: {encoding: latin-1}`), or export it as UTF-8"
        raise DataError(
            f"raw.{file.table}: {bad:,} of {total:,} rows cannot be read (limit {limit:.1%}), so none was loaded: "
            + "; ".join(f"{reason} ({n:,})" for reason, n in worst)
            + ".",
            where=str(file.path),
            todo=todo,
        )


@dataclass(frozen=True)
class _Written:
    load_id: str
    rows_loaded: int


@contextlib.contextmanager
def _transaction(con: duckdb.DuckDBPyConnection) -> Iterator[None]:
    con.execute("begin")
    try:
        yield
        con.execute("commit")
    except BaseException:
        with contextlib.suppress(duckdb.Error):
            con.execute("rollback")
        raise


def _write(
    con: duckdb.DuckDBPyConnection, file: FileToLoad, content: Fingerprint, staged: _Staged, rejects: list[Reject]
) -> _Written:
    load_id, now = new_id("load"), utcnow()
    contract = staged.contract
    names = ", ".join(quoted(name) for name in contract.names)
    picks = ", ".join(staged.casts[name] for name in contract.names)
    where = f"where not ({staged.is_bad})" if rejects and staged.faults else ""
    with _transaction(con):
        create_table(con, contract)
        inserted = con.execute(
            f"insert into raw.{quoted(file.table)} ({names}, _loaded_at, _load_id, _row_number) "
            f"select {picks}, ?, ?, _row_number from {staged.opened.relation} {where}",
            [now, load_id],
        ).fetchall()[0][0]
        failpoint("load.after_insert")
        if rejects:
            _quarantine(con, load_id, file, rejects)
        con.execute(
            "insert into ops.loads (load_id, table_name, file_name, file_sha256, provenance, rows_loaded, "
            "rows_quarantined, loaded_at) values (?, ?, ?, ?, ?, ?, ?, ?)",
            [load_id, file.table, file.name, content.sha256, file.provenance, inserted, len(rejects), now],
        )
        failpoint("load.before_commit")
    failpoint("load.after_commit")
    return _Written(load_id, inserted)


def _quarantine(con: duckdb.DuckDBPyConnection, load_id: str, file: FileToLoad, rejects: list[Reject]) -> None:
    rows = pa.table(
        {
            "line_number": pa.array([reject.line_number for reject in rejects], pa.int64()),
            "reason": pa.array([reject.reason for reject in rejects], pa.string()),
            "raw_text": pa.array([reject.raw_text for reject in rejects], pa.string()),
        }
    )
    con.register("_ingest_rejected", rows)
    try:
        con.execute(
            "insert into raw.quarantine (load_id, table_name, file_name, line_number, reason, raw_text, "
            "quarantined_at) select ?, ?, ?, line_number, reason, raw_text, ? from _ingest_rejected",
            [load_id, file.table, file.name, utcnow()],
        )
    finally:
        con.unregister("_ingest_rejected")

"""Raw tables, fed from the landing folder, and the identifiers found in them."""

from collections.abc import Iterator, Sequence
from typing import Any

import dagster as dg

from ingest.contracts import declared_contracts, sources_path
from ingest.load import ensure_raw_tables, load
from ingest.normalize import NormalizeReport, normalize_identifiers
from ingest.report import LoadReport
from orchestration.failures import translated_errors
from orchestration.landing import landed_files
from orchestration.names import NORMALIZED_KEY, RAW_GROUP, TEAM_OF_GROUP, WRITER_POOL, one_line, raw_key
from warehouse.settings import Settings

KINDS = {"table", "duckdb"}


def table_metadata(report: LoadReport, table: str) -> dict[str, Any]:
    """What a load did to one table: files, rows, quarantined rows, load ids, notes."""
    loads = [item for item in report.loads if item.table == table]
    skipped = [item for item in report.skipped if item.table == table]
    metadata: dict[str, Any] = {
        "new_files": len(loads),
        "known_files": len(skipped),
        "new_rows": sum(item.rows_loaded for item in loads),
        "quarantined_rows": sum(item.rows_quarantined for item in loads),
    }
    if loads:
        metadata["load_ids"] = ", ".join(item.load_id for item in loads)
    notes = [note for item in loads for note in item.notes]
    if notes:
        metadata["notes"] = "\n".join(notes)
    return metadata


def normalized_metadata(report: NormalizeReport) -> dict[str, int]:
    """What was normalized: new values, how many are no address or number, and how many are disposable addresses."""
    return {"new_identifiers": report.n_new, "invalid": report.n_invalid, "disposable": report.n_disposable}


def load_landing(settings: Settings) -> LoadReport:
    """Bring in what lies in the landing folder; an empty or absent one is no error, and the raw tables exist after."""
    ensure_raw_tables(settings)
    if not landed_files(settings.landing_dir):
        return LoadReport((), ())
    return load(settings, settings.landing_dir)


def raw_definitions(settings: Settings, descriptions: dict[str, str]) -> list[dg.AssetsDefinition]:
    """`raw/<table>` for each declared table, from one op, and `raw/identifier_normalized`."""
    tables = sorted(declared_contracts(sources_path(settings)))
    owners = [TEAM_OF_GROUP[RAW_GROUP]]
    specs = [
        dg.AssetSpec(
            raw_key(table),
            description=one_line(descriptions.get(table), f"Raw rows of {table}, as they came."),
            group_name=RAW_GROUP,
            owners=owners,
            kinds=KINDS,
        )
        for table in tables
    ]

    @dg.multi_asset(specs=specs, name="load_landing", pool=WRITER_POOL, required_resource_keys={"lease"})
    def load_landing_folder(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult]:
        """Bring new files of the landing folder into the raw tables: the same content never twice."""
        with translated_errors(context.retry_number):
            report = load_landing(settings)
        context.log.info(_summary(report, tables))
        for table in tables:
            yield dg.MaterializeResult(asset_key=raw_key(table), metadata=table_metadata(report, table))

    @dg.asset(
        key=NORMALIZED_KEY,
        deps=[dg.AssetKey(raw_key(table)) for table in tables],
        group_name=RAW_GROUP,
        owners=owners,
        kinds=KINDS | {"python"},
        pool=WRITER_POOL,
        required_resource_keys={"lease"},
        description="Distinct raw e-mail addresses and phone numbers with their normalized form, validity and reason.",
    )
    def identifier_normalized(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        with translated_errors(context.retry_number):
            report = normalize_identifiers(settings)
        return dg.MaterializeResult(metadata=normalized_metadata(report))

    return [load_landing_folder, identifier_normalized]


def _summary(report: LoadReport, tables: Sequence[str]) -> str:
    others = sorted({item.table for item in report.loads} - set(tables))
    text = f"{len(report.loads)} new files, {report.rows_loaded} rows, {report.rows_quarantined} quarantined."
    return text + (f" Not declared in sources.yml, thus not in the graph: {', '.join(others)}." if others else "")

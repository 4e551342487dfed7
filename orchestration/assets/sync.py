"""One asset per declared sync, depending on the activation models that it sends."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from orchestration.failures import translated_errors
from orchestration.freshness import freshness_of
from orchestration.names import (
    SYNC_GROUP,
    TEAM_OF_GROUP,
    WRITER_POOL,
    api_pool,
    engagement_key,
    numbers_of,
    one_line,
    sync_key,
)
from reverse_etl.declaration import list_syncs, read_sync
from warehouse.settings import Settings
from warehouse.snapshot import publish_snapshot

if TYPE_CHECKING:
    from reverse_etl.declaration import SyncDeclaration


def models_of(declaration: "SyncDeclaration") -> list[str]:
    """The activation models that a sync reads: people, segments if it mirrors them, events if it tells them."""
    return [declaration.model, *(part.model for part in (declaration.segments, declaration.events) if part)]


def sync_metadata(report: dict[str, Any], settings: Settings) -> dict[str, Any]:
    """Counts and latency of a sync, and where to look further."""
    return {
        **numbers_of(report),
        "report": dg.MetadataValue.path(str(settings.report_path)),
        "data_docs": dg.MetadataValue.path(str(Path(settings.data_docs_dir) / "index.html")),
    }


def run_sync(context: dg.AssetExecutionContext, settings: Settings, name: str) -> dg.MaterializeResult:
    """Send the difference; outside of production only plan it, since only production may reach people."""
    from expectations.gate import assert_checked
    from reverse_etl.runner import sync

    is_dry_run = not settings.is_production
    if is_dry_run:
        context.log.warning(f"Schema '{settings.schema}' is not production: planned only, nothing is sent.")
    with translated_errors(context.retry_number):
        report = sync(
            settings,
            name,
            gate=assert_checked,
            dry_run=is_dry_run,
            allow_schema=settings.schema if is_dry_run else None,
        )
    return dg.MaterializeResult(metadata={"is_dry_run": is_dry_run, **sync_metadata(report.to_dict(), settings)})


def _sync_asset(settings: Settings, declaration: "SyncDeclaration") -> dg.AssetsDefinition:
    # The vendor's pool, not the writer's: a sync may wait for its vendor for an hour, and writes to the ledger for
    # moments, under the OS lock.
    @dg.asset(
        key=sync_key(declaration.name),
        deps=[dg.AssetKey([model]) for model in (*models_of(declaration), declaration.addresses) if model],
        group_name=SYNC_GROUP,
        owners=[TEAM_OF_GROUP[SYNC_GROUP]],
        kinds={"python", declaration.destination},
        description=one_line(declaration.description, f"What {declaration.destination} is known to hold."),
        freshness_policy=freshness_of(SYNC_GROUP),
        pool=api_pool(declaration.destination, declaration.account),
        required_resource_keys={"lease", "turn"},
    )
    def sync_asset(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        return run_sync(context, settings, declaration.name)

    return sync_asset


def _engagement_asset(settings: Settings, declaration: "SyncDeclaration") -> dg.AssetsDefinition:
    @dg.asset(
        key=engagement_key(declaration.name),
        deps=[dg.AssetKey(sync_key(declaration.name))],
        group_name=SYNC_GROUP,
        owners=[TEAM_OF_GROUP[SYNC_GROUP]],
        kinds={"python", declaration.destination},
        description="What people did with their mail, as the ESP tells it when asked; the next refresh builds with it.",
        pool=api_pool(declaration.destination, declaration.account),
        required_resource_keys={"lease"},
    )
    def engagement(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        from ingest.load import load_pulled
        from reverse_etl.pull import pull

        with translated_errors(context.retry_number):
            report = pull(settings, declaration.name, load=load_pulled, on_progress=context.log.info)
        return dg.MaterializeResult(metadata=numbers_of(report.to_dict()))

    return engagement


def snapshot_definition(settings: Settings) -> dg.AssetsDefinition:
    """The copy that dashboards, notebooks and APIs open; published once what it holds has passed its checks."""

    @dg.asset(
        key="published_snapshot",
        deps=[dg.AssetKey([model]) for model in activation_models(settings)],
        group_name=SYNC_GROUP,
        owners=[TEAM_OF_GROUP[SYNC_GROUP]],
        kinds={"duckdb", "file"},
        description="Read-only copy of the warehouse for dashboards, notebooks and APIs, replaced by rename.",
        freshness_policy=freshness_of(SYNC_GROUP),
        pool=WRITER_POOL,
        required_resource_keys={"lease", "turn"},
    )
    def published_snapshot(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        with translated_errors(context.retry_number):
            publish_snapshot(settings)
        path = settings.snapshot_path
        return dg.MaterializeResult(
            metadata={"path": dg.MetadataValue.path(str(path)), "megabytes": round(path.stat().st_size / 1e6, 1)}
        )

    return published_snapshot


def sync_definitions(settings: Settings) -> list[dg.AssetsDefinition]:
    """All syncs of this installation, what comes back where they ask for it, and the snapshot."""
    declarations = [read_sync(settings, name) for name in list_syncs(settings)]
    syncs = [_sync_asset(settings, one) for one in declarations]
    back = [_engagement_asset(settings, one) for one in declarations if one.engagement]
    return [*syncs, *back, snapshot_definition(settings)]


def activation_models(settings: Settings) -> list[str]:
    """Every model that some sync sends, or would send if its declaration said so."""
    from expectations.declared import ACTIVATION_TABLES

    sent = {model for name in list_syncs(settings) for model in models_of(read_sync(settings, name))}
    return sorted(sent | set(ACTIVATION_TABLES))

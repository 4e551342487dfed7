"""The whole of Dagster's view on one installation."""

from __future__ import annotations

from typing import Any

import dagster as dg

from ingest.contracts import declared_contracts, sources_path
from orchestration.assets.dbt import dbt_definitions
from orchestration.assets.external import external_specs
from orchestration.assets.ml import ml_definitions
from orchestration.assets.raw import raw_definitions
from orchestration.assets.sync import activation_models, sync_definitions
from orchestration.checks import check_definitions, shifts_check
from orchestration.feedback_checks import feedback_checks
from orchestration.jobs import TAGS, jobs_of, own_schedules, schedules_of
from orchestration.manifest import load_manifest
from orchestration.names import SIZES_KEY, raw_key
from orchestration.past import train_as_of_job
from orchestration.resources import resources
from orchestration.sensors import decay_sensor, failure_sensor, landing_sensor
from orchestration.sync_checks import sync_checks
from warehouse.settings import Settings


def raw_descriptions(manifest: dict[str, Any]) -> dict[str, str]:
    """Description of each raw table, as its dbt source gives it."""
    return {
        str(props["name"]): str(props.get("description") or "")
        for props in manifest["sources"].values()
        if props["source_name"] == "raw"
    }


def build_definitions(settings: Settings) -> dg.Definitions:
    """All assets, checks, jobs, schedules, sensors and resources for one installation and target."""
    manifest = load_manifest(settings)
    tables = sorted(declared_contracts(sources_path(settings)))
    own = [
        *raw_definitions(settings, raw_descriptions(manifest)),
        *dbt_definitions(settings, manifest),
        *ml_definitions(settings),
        *sync_definitions(settings),
    ]
    made = {tuple(key.path) for definition in own for key in definition.keys}
    checks = check_definitions(
        settings,
        raw_keys={table: raw_key(table) for table in tables},
        activation_keys={model: (model,) for model in activation_models(settings)},
    )
    if SIZES_KEY in made:  # a project of one's own may have no lifecycle
        checks.append(shifts_check(settings))
    checks += feedback_checks(settings, made)
    checks += sync_checks(settings)
    schedules = own_schedules(settings)
    jobs = [*jobs_of(schedules), train_as_of_job(settings, TAGS)]
    return dg.Definitions(
        assets=[*own, *external_specs(manifest, made, tables)],
        asset_checks=checks,
        jobs=jobs,
        schedules=schedules_of(schedules),
        sensors=[landing_sensor(settings), decay_sensor(settings), failure_sensor(jobs)],
        resources=resources(settings),
        executor=dg.in_process_executor,
    )

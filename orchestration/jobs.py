"""Jobs and schedules.

Schedules start stopped: an installation on a laptop must not begin to send by itself. Switch them on in the UI
(Automation), or with `dagster schedule start`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dagster as dg

from orchestration.names import ML_GROUP, ONLY_WHERE_NONE, TRAINING_TAG, engagement_key, sync_job, sync_key
from reverse_etl.declaration import list_syncs, read_sync
from warehouse.errors import ConfigError
from warehouse.settings import Settings

MAX_RUNTIME_SECONDS = 4 * 3600
TAGS = {"dagster/max_runtime": str(MAX_RUNTIME_SECONDS)}

FULL_REFRESH = dg.define_asset_job(
    "full_refresh",
    selection=dg.AssetSelection.all(),
    description="Everything: load, build, train, score, check, sync.",
    tags=TAGS,
)
TRAIN = dg.define_asset_job(
    "train",
    selection=dg.AssetSelection.groups(ML_GROUP),
    description="Weekly, and when a model decays: train, evaluate and score each model on the newest build.",
    tags=TAGS,
)
SCORE = dg.define_asset_job(
    "score",
    selection=dg.AssetSelection.groups(ML_GROUP),
    description="Daily: score the newest build with the models that live; one is trained only where none lives.",
    tags={**TAGS, TRAINING_TAG: ONLY_WHERE_NONE},
)
SEGMENTS_REFRESH = "segments_refresh"


def jobs_of(own_schedules: Mapping[str, str]) -> list[Any]:
    """All jobs; `own_schedules` are the syncs that do not run with each refresh, with their cron expressions."""
    refreshed = dg.AssetSelection.all() - dg.AssetSelection.groups(ML_GROUP)
    own = []
    for name in own_schedules:
        refreshed -= _sync_and_back(name)
        job = dg.define_asset_job(
            sync_job(name),
            selection=_sync_and_back(name),
            description=f"The sync {name} alone, on what was built last.",
            tags=TAGS,
        )
        own.append(job)
    refresh = dg.define_asset_job(
        SEGMENTS_REFRESH,
        selection=refreshed,
        description="Hourly: new raw files, every model, the checks, the syncs; on the predictions that are there.",
        tags=TAGS,
    )
    return [FULL_REFRESH, refresh, TRAIN, SCORE, *own]


def _sync_and_back(name: str) -> dg.AssetSelection:
    """A sync, and what comes back from its account, where it asks for that."""
    return dg.AssetSelection.key_prefixes(list(sync_key(name)), list(engagement_key(name)))


def schedules_of(own_schedules: Mapping[str, str]) -> list[dg.ScheduleDefinition]:
    """When the jobs run.

    Raises:
        ConfigError: a sync's cron expression is none.
    """
    return [
        _schedule("segments_hourly", SEGMENTS_REFRESH, "5 * * * *", "Five past each hour."),
        _schedule("score_daily", "score", "35 3 * * 1-6", "Each night but Sunday's, between two hourly runs."),
        _schedule("train_weekly", "train", "35 3 * * 0", "On Sunday night, when a training scores too."),
        *(
            _schedule(sync_job(name), sync_job(name), cron, f"When the sync {name} says so.")
            for name, cron in own_schedules.items()
        ),
    ]


def _schedule(name: str, job: str, cron: str, description: str) -> dg.ScheduleDefinition:
    try:
        return dg.ScheduleDefinition(
            name=f"{name}_schedule" if name == job else name,
            job_name=job,
            cron_schedule=cron,
            execution_timezone="UTC",
            default_status=dg.DefaultScheduleStatus.STOPPED,
            description=description,
        )
    except dg.DagsterInvalidDefinitionError:
        raise ConfigError(
            f"`schedule: {cron}` is no cron expression.",
            where=job.removeprefix("sync_") + ".yml",
            todo='write five fields, such as "30 5 * * *"',
        ) from None


def own_schedules(settings: Settings) -> dict[str, str]:
    """Syncs with a schedule of their own → its cron expression."""
    declarations = [read_sync(settings, name) for name in list_syncs(settings)]
    return {one.name: one.schedule for one in declarations if one.schedule is not None}

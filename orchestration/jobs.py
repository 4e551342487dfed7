"""Jobs and schedules.

Schedules start stopped: an installation on a laptop must not begin to send by itself. Switch them on in the UI
(Automation), or with `dagster schedule start`.
"""

from __future__ import annotations

import dagster as dg

from orchestration.names import ML_GROUP

MAX_RUNTIME_SECONDS = 4 * 3600
TAGS = {"dagster/max_runtime": str(MAX_RUNTIME_SECONDS)}

FULL_REFRESH = dg.define_asset_job(
    "full_refresh",
    selection=dg.AssetSelection.all(),
    description="Everything: load, build, train, score, check, sync.",
    tags=TAGS,
)
SEGMENTS_REFRESH = dg.define_asset_job(
    "segments_refresh",
    selection=dg.AssetSelection.all() - dg.AssetSelection.groups(ML_GROUP),
    description="Hourly: new raw files, every model, the checks, the syncs; on the predictions that are there.",
    tags=TAGS,
)
TRAIN = dg.define_asset_job(
    "train",
    selection=dg.AssetSelection.groups(ML_GROUP),
    description="Daily: train, evaluate and score each model on the newest build.",
    tags=TAGS,
)
JOBS = [FULL_REFRESH, SEGMENTS_REFRESH, TRAIN]

SCHEDULES = [
    dg.ScheduleDefinition(
        name="segments_hourly",
        job=SEGMENTS_REFRESH,
        cron_schedule="5 * * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.STOPPED,
        description="Five past each hour.",
    ),
    dg.ScheduleDefinition(
        name="train_daily",
        job=TRAIN,
        cron_schedule="35 3 * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.STOPPED,
        description="Each night, between two hourly runs.",
    ),
]

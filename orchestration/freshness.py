"""How old an asset may be before the UI calls it late."""

from __future__ import annotations

from datetime import timedelta

import dagster as dg

from orchestration.names import ML_GROUP, SYNC_GROUP

HOURLY = dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=3), warn_window=timedelta(hours=2))
DAILY = dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=50), warn_window=timedelta(hours=26))
"""A training that failed once is a warning: yesterday's predictions are still used until they expire."""

POLICY_OF_GROUP = {"activation": HOURLY, "segments": HOURLY, SYNC_GROUP: HOURLY, ML_GROUP: DAILY}


def freshness_of(group: str) -> dg.FreshnessPolicy | None:
    """The policy of a group; only what people act on has one, so that one late run is not a hundred alarms."""
    return POLICY_OF_GROUP.get(group)

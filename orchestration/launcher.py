"""Dagster's default launcher, with eyes: run monitoring can ask it whether a run's process still lives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dagster import DagsterRun, DefaultRunLauncher
from dagster._core.launcher.base import CheckRunHealthResult, WorkerStatus
from dagster._serdes import ConfigurableClassData

from orchestration.lease import is_alive


class LeasedRunLauncher(DefaultRunLauncher):
    """Named in `dagster.yaml`. The default launcher cannot tell a killed run from a busy one."""

    def __init__(self, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(inst_data=inst_data)

    @property
    def supports_check_run_worker_health(self) -> bool:
        return True

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        record: Any = self._instance.get_run_record_by_id(run.run_id)
        started_at = (record.start_time or record.create_timestamp.timestamp()) if record else 0.0
        if is_alive(Path(self._instance.root_directory), run.run_id, started_at):
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return CheckRunHealthResult(WorkerStatus.FAILED, "its process is gone")

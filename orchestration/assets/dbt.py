"""The dbt graph in two halves, before and after the predictions, over one manifest.

Each half is one dbt invocation under the writer's lock, recorded in `ops.builds` just as `mailwright build` does, so
that the sync's gate asks the same question whoever built. `DbtProjectComponent` is not used: it copies the project
and breaks relative paths (docs/adr/0005).
"""

import contextlib
import os
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg
from dagster_dbt import DbtCliInvocation, DbtCliResource, dbt_assets

from orchestration.dbt_resource import child_process_environment
from orchestration.failures import translated_errors
from orchestration.names import HEADLESS_TAG, WRITER_POOL, DbtStage, dbt_build_arguments, dbt_selection
from orchestration.translator import Translator
from warehouse.build import BuildReport, close_build, continue_build, open_build, reopen_build
from warehouse.connection import connect
from warehouse.dbt import DbtResult, name_columns, read_result
from warehouse.errors import ConfigError, DataError
from warehouse.failpoints import failpoint
from warehouse.lock import writer_lock
from warehouse.rules_report import report_built_rules
from warehouse.settings import Settings


def open_stage(settings: Settings, stage: DbtStage, *, is_partial: bool) -> BuildReport:
    """Record the build that this invocation is, or continues.

    A part of the graph, chosen by hand in the UI, is recorded as a partial build at the clock that stands: what it
    leaves is not a whole, so the sync refuses until a whole build has run.
    """
    if is_partial:
        return reopen_build(settings)
    return open_build(settings) if stage == "before_ml" else continue_build(settings, again=True)


def _stop(invocation: DbtCliInvocation) -> None:
    if invocation.process.poll() is None:
        invocation.process.kill()
        invocation.process.wait()


def quietly(events: Iterator[Any]) -> Iterator[Any]:
    """The same events; what dagster-dbt prints while it makes them (each of dbt's lines) goes nowhere.

    Headless, our stdout is the caller's; dbt.log has every line.
    """
    with Path(os.devnull).open("w") as nowhere:
        while True:
            with contextlib.redirect_stdout(nowhere):
                try:
                    event = next(events)
                except StopIteration:
                    return
            yield event


def build_stage(
    context: dg.AssetExecutionContext, dbt: DbtCliResource, settings: Settings, stage: DbtStage
) -> Generator[Any, None, None]:
    """Run one half and stream its models and tests as Dagster events.

    Raises:
        DataError: a model or a test failed; the message names them.
        RefusedError: the other half is missing, or production would go back in time.
    """
    is_partial = context.is_subset
    with writer_lock(settings, f"dbt build ({stage})"):
        opened = open_stage(settings, stage, is_partial=is_partial)
        failpoint("build.opened")
        settings.dbt_target_dir.mkdir(parents=True, exist_ok=True)
        (settings.dbt_target_dir / "run_results.json").unlink(missing_ok=True)
        with child_process_environment(settings):
            invocation = dbt.cli(
                dbt_build_arguments(), context=context, target_path=settings.dbt_target_dir, raise_on_error=False
            )
        result = DbtResult(False, 0, 0, (("dbt", "interrupted"),))
        try:
            for event in quietly(invocation.stream()) if HEADLESS_TAG in context.run.tags else invocation.stream():
                failpoint("build.streaming")
                yield event
            errors = [("dbt", message) for message in getattr(invocation, "_error_messages", [])]
            result = read_result(invocation.process.wait(), settings.dbt_target_dir / "run_results.json", errors)
            result = name_columns(settings, result)
            failpoint("build.built")
        except KeyError as error:
            if str(error.args[0]).split(".")[0] not in {"model", "test", "seed", "snapshot", "source"}:
                raise
            raise ConfigError(
                f"The dbt project changed while it was built: {error.args[0]} is new.",
                where=str(settings.dbt_project_dir),
                todo="reload the definitions (in the UI: Deployment, Reload), then run the job again",
            ) from error
        finally:
            # also when Dagster cancels the run in mid-stream: no dbt outlives the lock, no build stays "running"
            _stop(invocation)
            report = close_build(settings, opened, result, stage="partial" if is_partial else stage)
    context.log.info(f"Build {report.build_id}: {report.n_models} models, {report.n_tests} tests, {report.status}.")
    if not result.success:
        raise DataError(
            f"The build of schema '{settings.schema}' failed: {len(result.failures)} node(s).\n{result.explain()}",
            where=str(settings.dbt_target_dir / "dbt.log"),
            todo="mend the data or the model that is named first; nothing was synced; then run the job again",
        )
    with connect(settings, read_only=True, purpose="rules") as con:
        rules = report_built_rules(con, settings)
    if rules.warning:
        context.log.warning(rules.warning)


def _half(settings: Settings, manifest: Mapping[str, Any], stage: DbtStage) -> Any:
    selection = dbt_selection(stage)

    @dbt_assets(
        manifest=manifest,
        name=f"dbt_{stage}",
        dagster_dbt_translator=Translator(tests_sources=stage == "before_ml"),
        pool=WRITER_POOL,
        required_resource_keys={"dbt", "lease", "turn"},
        select=selection.select,
        exclude=selection.exclude,
    )
    def half(context: dg.AssetExecutionContext) -> Iterator[Any]:
        with translated_errors(context.retry_number):
            events = build_stage(context, context.resources.dbt, settings, stage)
            yield from context.resources.lease.closing(events)

    return half


def dbt_definitions(settings: Settings, manifest: Mapping[str, Any]) -> list[dg.AssetsDefinition]:
    """Both halves."""
    return [_half(settings, manifest, "before_ml"), _half(settings, manifest, "after_ml")]

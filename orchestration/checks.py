"""Great Expectations at the two borders, as blocking asset checks: what fails here goes no further.

And a warning of stages whose share of the profiles moved suddenly.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg

from orchestration.failures import translated_errors
from orchestration.names import EXPECTATIONS_CHECK, SIZES_KEY, STAGE_SHIFTS_CHECK, WRITER_POOL
from warehouse.connection import connect
from warehouse.settings import Settings

if TYPE_CHECKING:
    from expectations.report import CheckReport, CheckResult


def lines_by_table(results: "Sequence[CheckResult]") -> dict[str, list[str]]:
    """Table → one line per result: column, expectation, count, sample row keys (hashed, so no person's data)."""
    from expectations.report import describe

    lines: dict[str, list[str]] = {}
    for result in results:
        line = describe(
            result.table_name,
            result.expectation,
            result.column_name,
            result.unexpected_count,
            result.sample_row_keys,
        )
        lines.setdefault(result.table_name, []).append(line)
    return lines


def check_results(report: "CheckReport", keys: Mapping[str, Sequence[str]]) -> Iterator[dg.AssetCheckResult]:
    """One result per table of `keys`; a table of which nothing new was checked passes, and says so."""
    failed = lines_by_table([result for result in report.results if not result.success])
    warned = lines_by_table([result for result in report.results if result.success and not result.is_met])
    for table, key in keys.items():
        runs = [run for run in report.runs if run.table_name == table]
        metadata: dict[str, Any] = {
            "subjects": ", ".join(run.subject_id for run in runs) or "nothing new",
            "expectations": sum(run.n_expectations for run in runs),
            "failed": len(failed.get(table, [])),
            "warnings": len(warned.get(table, [])),
        }
        for name, lines in (("failures", failed.get(table)), ("what_is_unusual", warned.get(table))):
            if lines:
                metadata[name] = dg.MetadataValue.md("\n".join(f"- {line}" for line in lines))
        docs = [run.docs_path for run in runs if run.docs_path]
        if docs:
            metadata["data_docs"] = dg.MetadataValue.path(docs[-1])
        yield dg.AssetCheckResult(
            asset_key=dg.AssetKey(key),
            check_name=EXPECTATIONS_CHECK,
            passed=all(run.success for run in runs) and table not in failed,
            description="; ".join(failed.get(table, [])[:3]) or None,
            metadata=metadata,
        )


def _border(
    settings: Settings,
    name: str,
    description: str,
    keys: Mapping[str, Sequence[str]],
    run: Callable[[], "CheckReport"],
    resources: set[str],
) -> dg.AssetChecksDefinition:
    @dg.multi_asset_check(
        name=name,
        specs=[
            dg.AssetCheckSpec(EXPECTATIONS_CHECK, asset=dg.AssetKey(key), blocking=True, description=description)
            for key in keys.values()
        ],
        pool=WRITER_POOL,
        required_resource_keys=resources,
    )
    def border(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        with translated_errors(context.op_execution_context.retry_number):
            report = run()
        yield from check_results(report, keys)

    return border


def check_definitions(
    settings: Settings, raw_keys: Mapping[str, Sequence[str]], activation_keys: Mapping[str, Sequence[str]]
) -> list[dg.AssetChecksDefinition]:
    """The checks on raw tables (each new load) and on the activation models (each build)."""

    def loads() -> "CheckReport":
        from expectations.runner import check_loads

        return check_loads(settings)

    def activation() -> "CheckReport":
        from expectations.runner import check_activation

        return check_activation(settings)

    return [
        _border(settings, "expect_raw", "Great Expectations on each new load.", raw_keys, loads, {"lease"}),
        _border(
            settings,
            "expect_activation",
            "Great Expectations on what would leave.",
            activation_keys,
            activation,
            {"lease", "turn"},
        ),
    ]


def newest_shifts(settings: Settings) -> list[dict[str, Any]]:
    """Rows of `lifecycle_shifts` on the newest recorded day, largest move first; none while there is one day alone."""
    with connect(settings, read_only=True, purpose="check stage shifts") as con:
        cursor = con.execute(
            "select as_of_on, earlier_on, vocabulary, stage, share_before, share_after, is_sudden "
            f'from "{settings.schema}".lifecycle_shifts '
            f'where as_of_on = (select max(as_of_on) from "{settings.schema}".lifecycle_sizes) '
            "order by abs(share_change) desc, vocabulary, stage"
        )
        names = [column[0] for column in cursor.description or []]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def shifts_result(shifts: Sequence[Mapping[str, Any]]) -> dg.AssetCheckResult:
    """A warning that names each sudden move with its shares before and after; passed where there is none."""
    sudden = [
        f"{row['vocabulary']} {row['stage']}: {row['share_before']:.1%} → {row['share_after']:.1%}"
        for row in shifts
        if row["is_sudden"]
    ]
    days = f"{shifts[0]['as_of_on']} with {shifts[0]['earlier_on']}" if shifts else "nothing: one day is recorded"
    metadata: dict[str, Any] = {"compared": days, "stages": len(shifts), "sudden": len(sudden)}
    if sudden:
        metadata["shifts"] = dg.MetadataValue.md("\n".join(f"- {line}" for line in sudden))
    return dg.AssetCheckResult(
        asset_key=dg.AssetKey(SIZES_KEY),
        check_name=STAGE_SHIFTS_CHECK,
        passed=not sudden,
        severity=dg.AssetCheckSeverity.WARN,
        description="; ".join(sudden[:3]) or None,
        metadata=metadata,
    )


def shifts_check(settings: Settings) -> dg.AssetChecksDefinition:
    """The check on `lifecycle_sizes`; what is sudden says var stage_shift_max_share of the dbt project."""

    @dg.asset_check(
        name=STAGE_SHIFTS_CHECK,
        asset=dg.AssetKey(SIZES_KEY),
        description="No stage's share moved since the day before by more than var stage_shift_max_share.",
        pool=WRITER_POOL,
        required_resource_keys={"lease"},
    )
    def stage_shifts(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        with translated_errors(context.op_execution_context.retry_number):
            return shifts_result(newest_shifts(settings))

    return stage_shifts

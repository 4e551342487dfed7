"""Great Expectations at the two borders, as blocking asset checks: what fails here goes no further."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg

from orchestration.failures import translated_errors
from orchestration.names import EXPECTATIONS_CHECK, WRITER_POOL
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

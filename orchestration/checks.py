"""Great Expectations at the two borders, as blocking asset checks: what fails here goes no further."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg

from orchestration.failures import translated_errors
from orchestration.names import EXPECTATIONS_CHECK, WRITER_POOL
from warehouse.settings import Settings

if TYPE_CHECKING:
    from expectations.runner import CheckReport


def failures_by_table(results: Sequence[Any]) -> dict[str, list[str]]:
    """Table → one line per failed expectation (never a person's data: row keys are hashed)."""
    failures: dict[str, list[str]] = {}
    for result in results:
        if not result.success:
            failures.setdefault(result.table_name, []).append(describe(result))
    return failures


def describe(result: Any) -> str:
    """Expectation, column, count and sample row keys of one failed result."""
    column = f" of {result.column_name}" if result.column_name else ""
    count = f": {result.unexpected_count} rows" if result.unexpected_count is not None else ""
    return f"{result.expectation}{column}{count}" + (f" ({result.message})" if result.message else "")


def check_results(report: "CheckReport", keys: Mapping[str, Sequence[str]]) -> Iterator[dg.AssetCheckResult]:
    """One result per table of `keys`; a table without a failed expectation passes."""
    failures = failures_by_table(report.results)
    counts: dict[str, int] = {}
    for result in report.results:
        counts[result.table_name] = counts.get(result.table_name, 0) + 1
    for table, key in keys.items():
        failed = failures.get(table, [])
        yield dg.AssetCheckResult(
            asset_key=dg.AssetKey(key),
            check_name=EXPECTATIONS_CHECK,
            passed=not failed,
            description="; ".join(failed[:3]) or None,
            metadata={
                "expectations": counts.get(table, 0),
                "failed": len(failed),
                **({"failures": dg.MetadataValue.md("\n".join(f"- {line}" for line in failed))} if failed else {}),
            },
        )


def _border(
    settings: Settings,
    name: str,
    description: str,
    keys: Mapping[str, Sequence[str]],
    run: Callable[[], "CheckReport"],
) -> dg.AssetChecksDefinition:
    @dg.multi_asset_check(
        name=name,
        specs=[
            dg.AssetCheckSpec(EXPECTATIONS_CHECK, asset=dg.AssetKey(key), blocking=True, description=description)
            for key in keys.values()
        ],
        pool=WRITER_POOL,
        required_resource_keys={"lease"},
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
        _border(settings, "expect_raw", "Great Expectations on each new load.", raw_keys, loads),
        _border(settings, "expect_activation", "Great Expectations on what would leave.", activation_keys, activation),
    ]

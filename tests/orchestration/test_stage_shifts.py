"""The check on sudden shifts: which stage, from where, to where."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import dagster as dg
import pytest

from orchestration.checks import newest_shifts, shifts_check, shifts_result
from warehouse.connection import connect
from warehouse.settings import Settings

SHIFTS = [
    # (day, earlier day, vocabulary, stage, share before, share after, sudden)
    ("2025-06-01", "2025-05-31", "customer_stage", "visitor", 0.9, 0.1, True),
    ("2025-06-02", "2025-06-01", "customer_stage", "visitor", 0.1, 0.05, False),
    ("2025-06-02", "2025-06-01", "customer_stage", "lapsed_customer", 0.12, 0.251, True),
    ("2025-06-02", "2025-06-01", "rfm_cell", "champions", 0.5, 0.2, True),
]


def written(settings: Settings, shifts: Sequence[tuple[object, ...]], newest: str) -> Settings:
    """The two relations that the check reads."""
    with connect(settings, purpose="test") as con:
        con.execute("create schema analytics")
        con.execute(f"create table analytics.lifecycle_sizes as select date '{newest}' as as_of_on")
        con.execute(
            "create table analytics.lifecycle_shifts (as_of_on date, earlier_on date, vocabulary text, stage text, "
            "share_before double, share_after double, is_sudden boolean, "
            "share_change double as (share_after - share_before))"
        )
        for row in shifts:
            con.execute("insert into analytics.lifecycle_shifts values (?, ?, ?, ?, ?, ?, ?)", row)
    return settings


def test_a_sudden_shift_warns_with_stage_before_and_after(settings: Settings) -> None:
    rows = newest_shifts(written(settings, SHIFTS, "2025-06-02"))
    assert {row["as_of_on"] for row in rows} == {date(2025, 6, 2)}, "the sudden shift of the day before is told no more"
    result = shifts_result(rows)
    assert (result.passed, result.severity) == (False, dg.AssetCheckSeverity.WARN)
    lines = ["rfm_cell champions: 50.0% → 20.0%", "customer_stage lapsed_customer: 12.0% → 25.1%"]
    assert result.description == "; ".join(lines)
    assert result.metadata is not None
    assert result.metadata["shifts"].value == "\n".join(f"- {line}" for line in lines)
    assert result.metadata["compared"].value == "2025-06-02 with 2025-06-01"
    assert (result.metadata["stages"].value, result.metadata["sudden"].value) == (3, 2)


@pytest.mark.parametrize(
    ("newest", "compared"),
    [("2025-06-02", "2025-06-02 with 2025-06-01"), ("2025-06-03", "nothing: one day is recorded")],
)
def test_what_is_not_sudden_passes_and_so_does_the_first_day(settings: Settings, newest: str, compared: str) -> None:
    result = shifts_result(newest_shifts(written(settings, SHIFTS[1:2], newest)))
    assert result.passed
    assert result.description is None
    assert result.metadata is not None
    assert result.metadata["compared"].value == compared
    assert "shifts" not in result.metadata


def test_dagster_shows_the_warning_and_goes_on(settings: Settings) -> None:
    written(settings, SHIFTS, "2025-06-02")

    @dg.asset
    def lifecycle_sizes() -> None:
        """Stands for the dbt model."""

    @dg.asset(deps=[lifecycle_sizes])
    def what_follows() -> None:
        """Must run all the same."""

    lease = dg.ResourceDefinition.none_resource()
    run = dg.materialize(
        [lifecycle_sizes, what_follows, shifts_check(settings)],
        resources={"lease": lease},
        instance=dg.DagsterInstance.ephemeral(),
    )
    assert run.success
    (evaluation,) = run.get_asset_check_evaluations()
    assert (evaluation.passed, evaluation.blocking, evaluation.check_name) == (False, False, "stage_shifts")
    assert evaluation.severity == dg.AssetCheckSeverity.WARN
    assert "lapsed_customer: 12.0% → 25.1%" in str(evaluation.metadata["shifts"].value)
    assert run.asset_materializations_for_node("what_follows")

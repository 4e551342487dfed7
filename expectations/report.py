"""What checks report."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

SubjectKind = Literal["load", "build"]
Severity = Literal["blocking", "warning"]


@dataclass(frozen=True)
class CheckResult:
    """One expectation on one table of one load or build."""

    check_run_id: str
    subject_kind: SubjectKind
    subject_id: str
    table_name: str
    suite: str
    expectation: str
    column_name: str | None
    severity: Severity
    is_met: bool
    unexpected_count: int | None
    sample_row_keys: tuple[str, ...]
    """Hashed keys (sha256, 12 hex) of some rows at fault."""
    message: str | None

    @property
    def success(self) -> bool:
        """False where this result blocks; a warning that is not met succeeds, and its message says so."""
        return self.is_met or self.severity == "warning"


@dataclass(frozen=True)
class CheckRun:
    """One suite over one table of one load or build."""

    check_run_id: str
    subject_kind: SubjectKind
    subject_id: str
    table_name: str
    suite: str
    success: bool
    n_expectations: int
    n_failed: int
    n_warnings: int
    seconds: float
    docs_path: str | None


@dataclass(frozen=True)
class CheckReport:
    """All suites of one call."""

    runs: tuple[CheckRun, ...]
    results: tuple[CheckResult, ...]

    @property
    def success(self) -> bool:
        return all(run.success for run in self.runs)

    @property
    def passed(self) -> int:
        """Expectations that do not block."""
        return sum(result.success for result in self.results)

    @property
    def failed(self) -> int:
        """Expectations that block."""
        return sum(not result.success for result in self.results)

    @property
    def warnings(self) -> int:
        """Expectations that are not met and do not block; counted in `passed`."""
        return sum(result.success and not result.is_met for result in self.results)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form: all runs, and the results that are not met."""
        return {
            "success": self.success,
            "passed": self.passed,
            "failed": self.failed,
            "warnings": self.warnings,
            "runs": [asdict(run) for run in self.runs],
            "unmet": [asdict(result) | {"success": result.success} for result in self.results if not result.is_met],
        }


def describe(table: str, expectation: str, column: str | None, count: int | None, keys: tuple[str, ...]) -> str:
    """Table, column, expectation, count and sample row keys of a failed expectation, in one line."""
    place = f"{table}.{column}" if column else table
    rows = f", {count:,} row{'s' if count != 1 else ''}" if count is not None else ""
    samples = f", such as the rows with key {', '.join(keys)} (hashed)" if keys else ""
    return f"{place}: {expectation}{rows}{samples}"

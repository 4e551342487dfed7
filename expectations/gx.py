"""The one module that knows Great Expectations: frames and suites in, outcomes and Data Docs out.

GX 1.x reads DataFrames only (its SQLAlchemy path does not work with DuckDB, GX issue 11579), and importing it takes
seconds: so it is imported inside. Its telemetry is off.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from expectations.frames import Measured
from expectations.suite import Metric, Rule

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Outcome:
    """What became of one expectation."""

    is_met: bool
    unexpected_count: int | None
    observed: str | None
    """The value or share that was found."""


class Validator:
    """A GX context for one call: validations are added, then the docs of all of them are written once."""

    def __init__(self) -> None:
        os.environ["GX_ANALYTICS_ENABLED"] = "false"
        import great_expectations as gx
        from great_expectations.data_context.types.base import (
            DataContextConfig,
            InMemoryStoreBackendDefaults,
            ProgressBarsConfig,
        )

        config = DataContextConfig(
            store_backend_defaults=InMemoryStoreBackendDefaults(init_temp_docs_sites=False),
            analytics_enabled=False,
            progress_bars=ProgressBarsConfig(globally=False),
        )
        self._gx: Any = gx  # its lazily built namespaces are opaque to the type checker
        self._context: Any = gx.get_context(mode="ephemeral", project_config=config)
        self._sources: dict[str, Any] = {}
        self._n_validations = 0

    def check_rules(
        self, border: str, name: str, batch: str, frame: pd.DataFrame, rules: Sequence[Rule]
    ) -> list[Outcome]:
        """Validate the rules of a suite on its frame; outcomes in the rules' order."""
        expectations = [self._expectation(index, rule) for index, rule in enumerate(rules)]
        return self._run(border, name, batch, frame, expectations)

    def check_metrics(
        self, border: str, name: str, batch: str, metrics: Sequence[Metric], measured: Mapping[int, Measured]
    ) -> list[Outcome]:
        """Validate metric rows: a frame of one row, a column per metric."""
        import pandas as pd

        names = [metric.name for metric in metrics]
        frame = pd.DataFrame([[measured[index].value for index in range(len(names))]], columns=names, dtype="float64")
        gxe = self._gx.expectations
        expectations = [
            gxe.ExpectColumnValuesToBeBetween(
                column=metric.name,
                min_value=metric.min,
                max_value=metric.max,
                severity=_severity(metric.severity),
                meta={"index": index},
            )
            for index, metric in enumerate(metrics)
        ]
        outcomes = self._run(border, f"{name}.metrics", batch, frame, expectations)
        return [
            Outcome(
                outcome.is_met and measured[index].fault is None,
                measured[index].unexpected_count,
                _number(measured[index].value),
            )
            for index, outcome in enumerate(outcomes)
        ]

    def _expectation(self, index: int, rule: Rule) -> Any:
        gxe = self._gx.expectations
        common: dict[str, Any] = {
            "column": rule.column,
            "mostly": rule.mostly,
            "severity": _severity(rule.severity),
            "meta": {"index": index},
        }
        if rule.expect == "not_null":
            return gxe.ExpectColumnValuesToNotBeNull(**common)
        if rule.expect == "in_set":
            return gxe.ExpectColumnValuesToBeInSet(value_set=list(rule.values), **common)
        return gxe.ExpectColumnValuesToBeBetween(min_value=rule.min, max_value=rule.max, **common)

    def _run(self, border: str, name: str, batch: str, frame: pd.DataFrame, expectations: list[Any]) -> list[Outcome]:
        if not expectations:
            return []
        gx, context = self._gx, self._context
        if border not in self._sources:
            self._sources[border] = context.data_sources.add_pandas(border)
        asset = self._sources[border].add_dataframe_asset(f"{name} of {batch}")
        definition = asset.add_batch_definition_whole_dataframe(batch)
        suite = context.suites.add_or_update(gx.ExpectationSuite(name=name, expectations=expectations))
        self._n_validations += 1
        validation = context.validation_definitions.add(
            gx.ValidationDefinition(name=f"{name} of {batch} {self._n_validations}", data=definition, suite=suite)
        )
        result = validation.run(
            batch_parameters={"dataframe": frame},
            result_format={"result_format": "BASIC", "partial_unexpected_count": 5},
        )
        outcomes: dict[int, Outcome] = {}
        for one in result.results:
            index = one.expectation_config.meta["index"]
            share = one.result.get("unexpected_percent")
            outcomes[index] = Outcome(
                is_met=bool(one.success),
                unexpected_count=one.result.get("unexpected_count"),
                observed=None if share is None else f"{share:.4g}% of rows",
            )
        return [outcomes[index] for index in range(len(expectations))]

    def write_docs(self, folder: Path) -> Path | None:
        """Write the Data Docs of all validations; returns the index page."""
        if not self._n_validations:
            return None
        folder.mkdir(parents=True, exist_ok=True)
        self._context.add_data_docs_site(
            site_name="mailwright",
            site_config={
                "class_name": "SiteBuilder",
                "show_how_to_buttons": False,
                "store_backend": {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(folder)},
                "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
            },
        )
        self._context.build_data_docs()
        return folder / "index.html"


def _severity(severity: str) -> str:
    return "critical" if severity == "blocking" else "warning"


def _number(value: float | None) -> str | None:
    return None if value is None else f"{value:.6g}"

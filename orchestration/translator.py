"""How a dbt node looks in Dagster."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dagster as dg
from dagster_dbt import DagsterDbtTranslator, DagsterDbtTranslatorSettings, DbtProject

from orchestration.freshness import freshness_of
from orchestration.names import dbt_group, dbt_key, one_line


class Translator(DagsterDbtTranslator):
    """Keys, groups and descriptions by the pure functions of `orchestration.names`; the rest is dagster-dbt's."""

    def __init__(self, *, tests_sources: bool) -> None:
        """`tests_sources`: whether the tests on sources are checks of this half; each check has one op."""
        self._tests_sources = tests_sources
        super().__init__(
            DagsterDbtTranslatorSettings(enable_duplicate_source_asset_keys=True, enable_source_tests_as_checks=True)
        )
        self._specs: dict[tuple[int, str], dg.AssetSpec] = {}

    def get_asset_spec(self, manifest: Mapping[str, Any], unique_id: str, project: DbtProject | None) -> dg.AssetSpec:
        known = (id(manifest), unique_id)
        if known not in self._specs:
            props = self.get_resource_props(manifest, unique_id)
            spec = super().get_asset_spec(manifest, unique_id, project)
            kinds = {"dbt", str(manifest.get("metadata", {}).get("adapter_type", "duckdb"))}
            self._specs[known] = spec.replace_attributes(
                key=dg.AssetKey(dbt_key(props)),
                group_name=dbt_group(props),
                description=one_line(props.get("description"), f"dbt {props['resource_type']} {props['name']}."),
                kinds=kinds | {str(props.get("config", {}).get("materialized") or props["resource_type"])},
                freshness_policy=freshness_of(dbt_group(props)),
            )
        return self._specs[known]

    def get_asset_check_spec(
        self, asset_spec: dg.AssetSpec, manifest: Mapping[str, Any], unique_id: str, project: DbtProject | None
    ) -> dg.AssetCheckSpec | None:
        spec = super().get_asset_check_spec(asset_spec, manifest, unique_id, project)
        props = self.get_resource_props(manifest, asset_spec.metadata["dagster_dbt/unique_id"])
        if spec is None or props["resource_type"] != "source":
            return spec
        # they run with the models that read the source, so they cannot hold back the op that they are part of
        return spec._replace(blocking=False) if self._tests_sources else None

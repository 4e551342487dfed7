"""What dbt reads as a source but no asset of the graph makes as its product: clocks, load and model records.

Declared, so that nothing in the graph hangs in the air: who owns it, and what it comes from.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import dagster as dg

from orchestration.names import (
    CONTROL_GROUP,
    KEY_OF_JOB,
    ML_GROUP,
    RAW_GROUP,
    RULE_KEYS,
    TEAM_OF_GROUP,
    dbt_key,
    one_line,
)


def sources_in_use(manifest: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The dbt sources that some model reads, ordered by id."""
    used = {parent for node in manifest["nodes"].values() for parent in node.get("depends_on", {}).get("nodes", [])}
    return [props for unique_id, props in sorted(manifest["sources"].items()) if unique_id in used]


def upstream_of(key: tuple[str, ...], raw_tables: Iterable[str]) -> list[tuple[str, ...]]:
    """Which assets leave this record as a by-product."""
    if key in RULE_KEYS:
        return []
    if key[0] == "ml":
        return list(KEY_OF_JOB.values())
    if key[0] in {"ops", "raw"} and key[-1] in {"loads", "quarantine"}:
        return [("raw", table) for table in raw_tables]
    return []


def external_specs(
    manifest: Mapping[str, Any], made: set[tuple[str, ...]], raw_tables: Iterable[str]
) -> list[dg.AssetSpec]:
    """A spec for each source in use that is not in `made`, the keys of the graph's own assets."""
    specs: dict[tuple[str, ...], dg.AssetSpec] = {}
    for props in sources_in_use(manifest):
        key = dbt_key(props)
        if key in made or key in specs:
            continue
        group = {"raw": RAW_GROUP, "ml": ML_GROUP}.get(key[0], CONTROL_GROUP)
        specs[key] = dg.AssetSpec(
            key,
            deps=[dg.AssetKey(upstream) for upstream in upstream_of(key, raw_tables)],
            description=one_line(props.get("description"), f"{'.'.join(key)}: a permanent record of the warehouse."),
            group_name=group,
            owners=[TEAM_OF_GROUP[group]],
            kinds={"table", "duckdb"},
        )
    return list(specs.values())

"""What must hold for the shape of the graph, over dbt's manifest."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.dbt.features_support import OWN_MODELS, Built
from warehouse.backup import HISTORIES
from warehouse.settings import PROJECT_DIR

MODELS = PROJECT_DIR / "dbt_project" / "models"


@pytest.fixture(scope="module")
def manifest(built: Built) -> dict[str, Any]:
    return json.loads((built.target / "manifest.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def models(manifest: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {key: node for key, node in manifest["nodes"].items() if node["resource_type"] == "model"}


def ancestors(manifest: dict[str, Any], key: str) -> set[str]:
    """Every node and source that a node depends on, at any distance."""
    found: set[str] = set()
    todo = [key]
    while todo:
        for parent in manifest["parent_map"].get(todo.pop(), []):
            if parent not in found:
                found.add(parent)
                todo.append(parent)
    return found


def test_every_activation_model_joins_the_consent_gate(models: dict[str, dict[str, Any]]) -> None:
    syncs = [node for node in models.values() if node["name"].startswith("sync_")]
    assert syncs
    for node in syncs:
        assert "model.mailwright.dim_consent" in node["depends_on"]["nodes"], node["name"]


def test_what_needs_predictions_is_built_after_them(
    manifest: dict[str, Any], models: dict[str, dict[str, Any]]
) -> None:
    for key, node in models.items():
        needs_ml = any(parent.startswith("source.mailwright.ml.") for parent in ancestors(manifest, key))
        if needs_ml:
            assert "after_ml" in node["tags"], f"{node['name']} reads predictions but lacks the tag after_ml"
        else:
            late = [p for p in manifest["child_map"][key] if p in models and "after_ml" not in models[p]["tags"]]
            assert "after_ml" not in node["tags"] or not late, f"{node['name']} is built after {late}, which read it"


def test_memberships_hold_every_segment(models: dict[str, dict[str, Any]]) -> None:
    files = {path.stem for path in (MODELS / "segments").glob("seg_*.sql")}
    parents = models["model.mailwright.segment_memberships"]["depends_on"]["nodes"]
    assert {parent.split(".")[-1] for parent in parents if ".seg_" in parent} == files
    assert len(files) >= 12


@pytest.mark.parametrize("folder", [folder for folder in OWN_MODELS if (MODELS / folder).is_dir()])
def test_every_model_has_contract_grain_and_yml(folder: str, models: dict[str, dict[str, Any]]) -> None:
    nodes = [node for node in models.values() if node["path"].startswith(f"{folder}/")]
    assert nodes
    for node in nodes:
        # a segment is a view of a shape that the contract of segment_memberships holds
        assert node["config"]["contract"]["enforced"] or node["name"].startswith("seg_"), node["name"]
        assert node["description"].startswith("Grain: one row per "), node["name"]
        assert node["group"], node["name"]
        assert node["patch_path"].endswith(f"{folder}/{node['name']}.yml"), node["name"]
        assert all(column["description"] and column["data_type"] for column in node["columns"].values())


def test_what_no_full_refresh_rebuilds_is_in_the_backup(models: dict[str, dict[str, Any]]) -> None:
    kept = {node["name"] for node in models.values() if node["config"]["full_refresh"] is False}
    assert kept | {"clock"} == set(HISTORIES)

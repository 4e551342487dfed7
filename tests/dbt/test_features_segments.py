"""A new segment is one SQL file; one that is not in the list stops the run instead of being left out."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from tests.dbt import features_support as support
from warehouse.dbt import dbt_environment
from warehouse.settings import PROJECT_DIR, Settings

SEGMENT = "{{ segment(all_of=[prop('orders_lifetime', '>=', 5)], none_of=[did('Email Opened', within='30 days')]) }}\n"


def test_a_segment_is_one_file(settings: Settings, tmp_path: Path) -> None:
    project = tmp_path / "project"
    shutil.copytree(PROJECT_DIR / "dbt_project", project, ignore=shutil.ignore_patterns("target", "logs"))
    (project / "models" / "segments" / "seg_silent_regulars.sql").write_text(SEGMENT, encoding="utf-8")
    support.write(settings, {})
    shipped = dbt_environment(settings)["MAILWRIGHT_SEGMENTS"]
    assert "seg_lapsed" in shipped.split()

    listed = {"MAILWRIGHT_SEGMENTS": f"{shipped} seg_silent_regulars"}
    support.dbt(settings, "compile", "--select", "segment_memberships", project=project, environment=listed)
    manifest = json.loads((support.target_of(settings) / "manifest.json").read_text(encoding="utf-8"))
    parents = manifest["parent_map"]["model.mailwright.segment_memberships"]
    assert "model.mailwright.seg_silent_regulars" in parents
    assert "'silent_regulars' as segment_name" in next(
        node["compiled_code"] for node in manifest["nodes"].values() if node["name"] == "segment_memberships"
    )

    output = support.dbt(settings, "compile", "--select", "segment_memberships", project=project, fails=True)
    assert "seg_silent_regulars" in output
    assert "export MAILWRIGHT_SEGMENTS=" in output

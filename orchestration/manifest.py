"""The dbt manifest that the asset graph is made of: parsed on demand, kept per schema, replaced by rename.

A fresh clone has none, and a manifest of yesterday's SQL would show yesterday's graph; so it is looked up by a
fingerprint of the project's files. Parsing touches no warehouse and waits for no writer.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from filelock import FileLock

from warehouse.dbt import run_dbt
from warehouse.errors import ConfigError
from warehouse.settings import Settings

SUFFIXES = frozenset({".sql", ".yml", ".yaml", ".csv", ".md", ".py"})
FOLDERS = ("models", "macros", "seeds", "snapshots", "tests", "analyses")


def project_files(project_dir: Path) -> list[Path]:
    """Every file that a manifest depends on, in a stable order."""
    found: list[Path] = [path for path in project_dir.glob("*.yml") if path.is_file()]
    for folder in FOLDERS:
        found += [path for path in (project_dir / folder).rglob("*") if path.suffix in SUFFIXES and path.is_file()]
    return sorted(found)


def fingerprint(project_dir: Path, extra: Iterable[str] = ()) -> str:
    """SHA-256 over names and contents of the project's files and over `extra` (target, versions)."""
    digest = hashlib.sha256()
    for path in project_files(project_dir):
        digest.update(path.relative_to(project_dir).as_posix().encode() + b"\0")
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    for text in extra:
        digest.update(b"\0" + text.encode())
    return digest.hexdigest()


def manifest_path(settings: Settings) -> Path:
    """Where the manifest of the project as it is now lies, or will lie."""
    extra = (settings.target, settings.schema, version("dbt-core"), version("dbt-duckdb"))
    name = f"manifest-{fingerprint(settings.dbt_project_dir, extra)[:16]}.json"
    return settings.dbt_target_dir / "graph" / name


def load_manifest(settings: Settings) -> dict[str, Any]:
    """The manifest of the project as it is now, parsed if it was not yet.

    Raises:
        ConfigError: dbt cannot parse the project; the message is dbt's.
    """
    path = manifest_path(settings)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.parent / "parse.lock"):
            if not path.exists():
                _parse(settings, path)
    return with_attached_tests(json.loads(path.read_text(encoding="utf-8")))


def with_attached_tests(manifest: dict[str, Any]) -> dict[str, Any]:
    """The manifest with a node for every test to be shown on, so that each test is an asset check.

    dbt names one for tests on a model alone. A test on a source belongs to that source; one in a file of its own, to
    the most downstream of the models that it reads.
    """
    depths: dict[str, int] = {}

    def depth(unique_id: str) -> int:
        if unique_id not in depths:
            parents = manifest["nodes"].get(unique_id, {}).get("depends_on", {}).get("nodes", [])
            depths[unique_id] = 1 + max((depth(parent) for parent in parents), default=0)
        return depths[unique_id]

    for node in manifest["nodes"].values():
        if node["resource_type"] == "test" and not node.get("attached_node"):
            read = [name for name in node["depends_on"]["nodes"] if name.startswith(("model.", "source.", "seed."))]
            sources = [name for name in read if name.split(".")[0] == "source" and name.split(".")[2] != "control"]
            candidates = sources if node.get("test_metadata") and sources else read
            node["attached_node"] = max(candidates, key=lambda name: (depth(name), name), default=None)
    return manifest


def _parse(settings: Settings, path: Path) -> None:
    # a home of its own: a build that runs now keeps its target folder and the writer's lock
    apart = settings.model_copy(update={"home": path.parent / "parse", "warehouse": None})
    result = run_dbt(apart, ["parse"])
    if not result.success:
        raise ConfigError(
            f"dbt cannot parse the project: {result.explain() or 'see its log'}",
            where=str(settings.dbt_project_dir),
            todo="mend what it names, then reload",
        )
    temporary = path.with_suffix(".tmp")
    shutil.copyfile(apart.dbt_target_dir / "manifest.json", temporary)
    temporary.replace(path)
    for stale in path.parent.glob("manifest-*.json"):
        if stale != path:
            stale.unlink(missing_ok=True)

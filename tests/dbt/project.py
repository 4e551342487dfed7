"""The dbt project as data: its manifest (parsed once per test run), and its conventions as pure functions.

Each check takes the manifest's models and returns the violations as texts, so that a failing test names them all.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from warehouse.dbt import dbt_executable
from warehouse.settings import PROJECT_DIR

DBT_PROJECT = PROJECT_DIR / "dbt_project"

PORTABLE_TYPES = {"text", "string", "bigint", "integer", "timestamp", "date", "boolean", "double precision"}
SOURCE_READERS = {"staging"}
"""Folders whose models read raw sources. Everybody may read the clock; `ml` is read where `MAY_READ` says so."""
MAY_READ = {
    "clock": None,
    "identity": {"identity"},
    "segments": {"segments"},
    "ml": {"recommendations", "propensity", "feedback", "activation", "segments"},
}

UNIQUE_ORDER = {"lifecycle_transitions": "one transition per profile, vocabulary and instant"}
"""Models whose `row_number` needs no tie-break, and why the order is unique."""

_COMMENT = re.compile(r"\{#.*?#\}|--[^\n]*", re.DOTALL)
_WINDOW = re.compile(r"row_number\(\)\s*over\s*\(((?:[^()]|\([^()]*\))*)\)", re.IGNORECASE)

ENGINE_SPECIFIC = {
    "::": "cast(x as type)",
    r"\bqualify\b": "row_number in a CTE, filtered in the next",
    r"\bcurrent_timestamp\b|\bnow\(\)|\bcurrent_date\b|\bget_current_timestamp\b|\btoday\(\)": "the clock: as_of()",
    r"\bstruct_pack\b|\blist_\w+\(|\bunnest\(|\barray_agg\(|\bstring_to_array\(": "a macro of cross_db",
    r"\bjson_extract\w*\(|->>|#>>": "json_text()",
    r"\bdate_diff\(|\bdatediff\(|\bdate_part\(|\bextract\(|\bdate_trunc\(|\bstrftime\(|\bto_char\(": "cross_db/time",
    r"\binterval\s+'": "add_hours() and the like",
    r"\btry_cast\(|\bregexp_\w+\(|\bilike\b": "a macro of cross_db",
    r"\bat\s+time\s+zone\b": "local_date() or local_midnight()",
    r"\barg_max\(|\barg_min\(|\bany_value\(|\bfirst\(|\blast\(|\bmode\(": "row_number with a tie-break",
    r"\bselect\s+\*\s+(exclude|replace)\b|\bgroup\s+by\s+all\b|\border\s+by\s+all\b": "the columns by name",
    r"\bunion\b(?!\s+(all|distinct)\b)": "union all",
    r"\brandom\(|(?<!dbt\.)\bhash\(": "dbt.hash",
}


@dataclass(frozen=True)
class Model:
    """One model of the manifest with what the checks look at."""

    name: str
    folder: str
    path: Path
    raw_code: str
    description: str
    columns: dict[str, dict[str, Any]]
    is_contracted: bool
    materialized: str
    group: str | None
    access: str
    sources: tuple[str, ...]
    refs: tuple[str, ...]
    tags: tuple[str, ...]

    @property
    def sql(self) -> str:
        """Its text without comments."""
        return _COMMENT.sub(" ", self.raw_code)


def parse_manifest(target_path: Path) -> dict[str, Any]:
    """`dbt parse` in a subprocess (about ten seconds), and what it wrote."""
    environment = {
        **os.environ,
        "DBT_TARGET_PATH": str(target_path),
        "DBT_LOG_PATH": str(target_path / "logs"),
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        "MAILWRIGHT_WAREHOUSE": str(target_path / "none.duckdb"),
        "MAILWRIGHT_HOME": str(target_path),
    }
    done = subprocess.run(
        [dbt_executable(), "parse", "--project-dir", str(DBT_PROJECT), "--profiles-dir", str(DBT_PROJECT)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        cwd=PROJECT_DIR,
        check=False,
    )
    if done.returncode != 0:
        raise AssertionError(f"dbt parse failed:\n{done.stdout[-4000:]}\n{done.stderr[-2000:]}")
    manifest = json.loads((target_path / "manifest.json").read_text(encoding="utf-8"))
    manifest["stdout"] = done.stdout
    return manifest


def models_of(manifest: dict[str, Any]) -> list[Model]:
    """The project's models, sorted by name."""
    found = []
    for node in manifest["nodes"].values():
        if node["resource_type"] != "model":
            continue
        path = DBT_PROJECT / node["original_file_path"]
        parents = node["depends_on"]["nodes"]
        found.append(
            Model(
                name=node["name"],
                folder=path.parent.name,
                path=path,
                raw_code=node["raw_code"],
                description=node["description"],
                columns=node["columns"],
                is_contracted=bool(node["contract"]["enforced"]),
                materialized=node["config"]["materialized"],
                group=node["config"].get("group"),
                access=str(node.get("access") or node["config"].get("access")),
                sources=tuple(p.removeprefix("source.mailwright.") for p in parents if p.startswith("source.")),
                refs=tuple(p.split(".")[-1] for p in parents if not p.startswith("source.")),
                tags=tuple(node["config"].get("tags") or ()),
            )
        )
    return sorted(found, key=lambda model: model.name)


def columns_of_tests(manifest: dict[str, Any], test: str) -> set[tuple[str, str]]:
    """(node, column) of every column that one of our tests over several columns looks at."""
    return {
        (node["attached_node"], column)
        for node in manifest["nodes"].values()
        if node["resource_type"] == "test" and (node.get("test_metadata") or {}).get("name") == test
        for argument in ("columns", "instants", "dates")
        for column in node["test_metadata"]["kwargs"].get(argument, [])
    }


def without_yaml(models: Iterable[Model]) -> list[str]:
    """Models without a YAML of the same stem beside them (a segment may be one SQL file)."""
    return [m.name for m in models if m.folder != "segments" and not m.path.with_suffix(".yml").exists()]


def without_contract(models: Iterable[Model]) -> list[str]:
    """Models whose contract is not enforced, or that leave a column without type or description."""
    found = []
    for model in models:
        if model.folder == "segments" and model.name.startswith("seg_"):
            continue  # their shape is held by the contract of segment_memberships
        if not model.is_contracted:
            found.append(f"{model.name}: no contract")
        for name, column in model.columns.items():
            kind = str(column.get("data_type") or "")
            if kind not in PORTABLE_TYPES and not re.fullmatch(r"numeric\(\d+, ?\d+\)", kind):
                found.append(f"{model.name}.{name}: type {kind!r} is not one that every engine reads")
            if not column.get("description"):
                found.append(f"{model.name}.{name}: no description")
    return found


def without_grain(models: Iterable[Model]) -> list[str]:
    """Models whose description does not say what one row is."""
    return [
        m.name
        for m in models
        if not re.search(r"\bgrain\b|\bone row\b", m.description, re.IGNORECASE)
        and not (m.folder == "segments" and m.name.startswith("seg_"))
    ]


def wrong_readers(models: Iterable[Model]) -> list[str]:
    """Models that read a source which their layer may not, and staging that reads more than its one raw table."""
    found = []
    for model in models:
        kinds = [source.split(".") for source in model.sources]
        for schema, table in kinds:
            allowed = MAY_READ.get("clock" if schema == "control" else schema, set())
            if schema in {"raw", "ops", "ledger"}:
                allowed = SOURCE_READERS
            if allowed is not None and model.folder not in allowed:
                found.append(f"{model.name} ({model.folder}) reads source {schema}.{table}")
        if model.folder == "staging":
            tables = {table for schema, table in kinds if schema in {"raw", "ledger"}} - {"identifier_normalized"}
            if len(tables) != 1:
                found.append(f"{model.name} reads {len(tables)} tables: {sorted(tables)}")
            if model.refs:
                found.append(f"{model.name} reads models: {sorted(model.refs)}")
    return found


def without_tie_break(models: Iterable[Model]) -> list[str]:
    """`row_number()` ordered by a single column that its model does not declare as a key or position."""
    found = []
    for model in (m for m in models if m.name not in UNIQUE_ORDER):
        for window in _WINDOW.findall(model.sql):
            order = re.split(r"order\s+by", window, flags=re.IGNORECASE)
            if len(order) < 2:
                found.append(f"{model.name}: row_number without order by")
            elif order[1].count(",") == 0 and not re.search(r"(_id|_key|position|value)\b", order[1]):
                found.append(f"{model.name}: row_number ordered by {order[1].strip()!r} alone")
    return found


def engine_specific(models: Iterable[Model]) -> list[str]:
    """SQL that one engine alone understands, or that reads the wall clock, outside macros/cross_db."""
    texts = {f"model {m.name}": m.sql for m in models}
    for path in sorted((DBT_PROJECT / "macros").rglob("*.sql")):
        if path.parent.name != "cross_db":
            texts[f"macro file {path.name}"] = _COMMENT.sub(" ", path.read_text(encoding="utf-8"))
    return [
        f"{where}: {match.group(0)!r}; use {instead}"
        for where, text in texts.items()
        for pattern, instead in ENGINE_SPECIFIC.items()
        for match in [re.search(pattern, text, re.IGNORECASE)]
        if match
    ]


def without_final(models: Iterable[Model]) -> list[str]:
    """Models that do not end in `select * from` their last step (or are one macro call from there)."""
    return [
        m.name
        for m in models
        if m.folder != "segments"
        and not re.search(r"select\s+\*\s+from\s+(\w+|\{\{.*\}\})\s*$|\}\}\s*$", m.sql.strip(), re.IGNORECASE)
    ]

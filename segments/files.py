"""Segment files: their names, and a new one."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from warehouse.errors import ConfigError, RefusedError
from warehouse.settings import Settings

_NAME = re.compile(r"[a-z][a-z0-9_]{0,50}")
_SQL = """{{{{ segment(
    all_of=[
        did('Product Viewed', within='7 days'),
        did_not('Order Placed', within='30 days'),
    ],
) }}}}
"""
_YML = """version: 2

models:
  - name: seg_{name}
    description: >-
      Grain: one row per member. Who viewed a product in the last 7 days and bought nothing in the last 30.
    columns:
      - name: profile_id
        data_type: string
        description: Member.
      - name: as_of
        data_type: timestamp
        description: The clock (UTC).
"""


def segments_dir(settings: Settings) -> Path:
    """Where segment files lie."""
    return settings.dbt_project_dir / "models" / "segments"


def segment_names(settings: Settings) -> list[str]:
    """Names of all segments that have a file, without `seg_`, sorted."""
    return sorted(path.stem.removeprefix("seg_") for path in segments_dir(settings).glob("seg_*.sql"))


def meant_to_overlap(settings: Settings) -> dict[str, list[str]]:
    """By segment, those that its description says it shares people with (`config: {meta: {overlaps: [other]}}`)."""
    found: dict[str, list[str]] = {}
    for path in sorted(segments_dir(settings).glob("seg_*.yml")):
        try:
            described = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        except yaml.YAMLError as error:
            raise ConfigError("The description of a segment is not YAML.", where=str(path), todo="mend it") from error
        for model in described.get("models") or []:
            others = ((model.get("config") or {}).get("meta") or {}).get("overlaps") or []
            if others:
                found[model["name"].removeprefix("seg_")] = [str(other).removeprefix("seg_") for other in others]
    return found


def checked_new_name(name: str) -> str:
    """The name without `seg_`, if it is one that a segment can have.

    Raises:
        ConfigError: it is not.
    """
    name = name.removeprefix("seg_")
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"'{name}' is no name of a segment.", todo="small letters, digits and _, beginning with a letter"
        )
    return name


def new_segment(settings: Settings, name: str) -> list[Path]:
    """Write a segment to start from, and its description; the paths of both.

    Raises:
        ConfigError: not a name. RefusedError: there is one already.
    """
    name = checked_new_name(name)
    files = [segments_dir(settings) / f"seg_{name}.{kind}" for kind in ("sql", "yml")]
    for file in files:
        if file.exists():
            raise RefusedError(
                f"There is a segment '{name}' already.", where=str(file), todo="edit it, or choose a name"
            )
    for file, text in zip(files, (_SQL, _YML), strict=True):
        file.write_text(text.format(name=name), encoding="utf-8")
    return files

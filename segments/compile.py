"""The questions about segments as SQL: dbt compiles them by the macros of the models: one definition."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

from segments.files import segment_names, segments_dir
from warehouse.dbt import run_dbt
from warehouse.errors import ConfigError, DataError
from warehouse.lock import writer_lock
from warehouse.settings import Settings


def inline_text(dbt_project: Path, expression: str) -> str:
    """A model's text that is the value of a Jinja expression, which may read whatever the project makes.

    While dbt parses it cannot know yet what the expression reads, so everything is named.
    """
    models = sorted(path.stem for path in (dbt_project / "models").rglob("*.sql"))
    seeds = sorted(path.stem for path in (dbt_project / "seeds").rglob("*.csv"))
    return (
        f"{{%- for relation in {models + seeds} -%}}{{%- do ref(relation) -%}}{{%- endfor -%}}"
        "{%- do source('control', 'clock') -%}{%- do source('segments', 'static_members') -%}"
        f"{{%- if execute -%}}{{{{ {expression} }}}}{{%- endif -%}}"
    )


def checked_name(settings: Settings, name: str) -> str:
    """The segment's name without `seg_`.

    Raises:
        ConfigError: there is no such segment; says which there are, or which is near.
    """
    from difflib import get_close_matches

    wanted = name.removeprefix("seg_")
    names = segment_names(settings)
    if wanted not in names:
        near = get_close_matches(wanted, names, n=1)
        raise ConfigError(
            f"There is no segment '{wanted}'.",
            where=str(segments_dir(settings)),
            todo=f"did you mean '{near[0]}'?" if near else f"there are: {', '.join(names) or 'none'}",
        )
    return wanted


def compile_queries(settings: Settings, queries: Mapping[str, str], *, of: str) -> dict[str, str | None]:
    """Compile named Jinja expressions about a segment in one start of dbt; null where an expression is null.

    Raises:
        ConfigError: a segment file is wrong; the message says which, where and what.
    """
    expressions = ", ".join(f"'{name}': {expression}" for name, expression in queries.items())
    text = inline_text(settings.dbt_project_dir, f"tojson({{{expressions}}})")
    with writer_lock(settings, f"segment {of}"):  # the text lies in a file of one name, whoever asks
        for old in _inline_files(settings):
            old.unlink()
        # neither the manifest nor what there is in the warehouse is asked for: a second and a half of waiting
        result = run_dbt(settings, ["compile", "--no-write-json", "--no-populate-cache", "--inline", text])
        compiled = [file.read_text(encoding="utf-8") for file in _inline_files(settings)]
    if not result.success:
        # its own model knows its file and line
        alone = run_dbt(settings, ["compile", "--select", f"seg_{of}"])
        raise ConfigError(
            _first_cause((result if alone.success else alone).explain()),
            where=str(segments_dir(settings)),
            todo="mend the file; docs/segments.md has the vocabulary",
        )
    if len(compiled) != 1:
        raise DataError("dbt compiled nothing.", where=str(settings.dbt_target_dir), todo="run `mailwright doctor`")
    return json.loads(compiled[0])


def _inline_files(settings: Settings) -> list[Path]:
    """What dbt compiled of a text that is no file of the project."""
    return list((settings.dbt_target_dir / "compiled").rglob("inline_query"))


def _first_cause(text: str) -> str:
    """dbt's message without its stack of macros and its frame."""
    text = re.sub(r"\s*> (in|called by) .*", "", text, flags=re.DOTALL)
    found = re.search(r"(models/segments/\S+: .*)", text, flags=re.DOTALL)
    return " ".join((found.group(1) if found else text).split())

"""What dbt provides to a model, for sqlfluff's jinja templater: linting needs no dbt start-up and no warehouse.

Every macro of `dbt_project/macros` is rendered by its real text. Standing in for dbt: `ref`, `source`, `var` (the
defaults of dbt_project.yml), `adapter.dispatch` (always the default engine, DuckDB), `dbt.hash`, `return`, `config`.
What sqlfluff sees is therefore the SQL that DuckDB gets, schemas aside. sqlfluff puts every public name of this module
into the templates' context.
"""

from __future__ import annotations

import re as _re
from collections.abc import Callable as _Callable
from pathlib import Path as _Path
from typing import Any as _Any

import yaml as _yaml
from jinja2 import Environment as _Environment

_PROJECT = _Path(__file__).parent.parent
_MACRO = _re.compile(r"\{%-?\s*macro\s+(\w+)\s*\(.*?\{%-?\s*endmacro\s*-?%\}", _re.DOTALL)
_VARS: dict[str, _Any] = _yaml.safe_load((_PROJECT / "dbt_project.yml").read_text(encoding="utf-8")).get("vars", {})


class _Return(Exception):
    """How dbt's `return` leaves a macro with a value that need not be text."""

    def __init__(self, value: _Any) -> None:
        super().__init__()
        self.value = value


def _return(value: _Any) -> None:
    raise _Return(value)


def ref(*names: str) -> str:
    """The relation of a model."""
    return names[-1]


def source(source_name: str, table: str) -> str:
    """The relation of a source."""
    return f"{source_name}.{table}"


def var(name: str, default: _Any = None) -> _Any:
    """A variable's default."""
    return _VARS.get(name, default)


def env_var(name: str, default: str = "") -> str:
    """An environment variable's default: linting does not depend on the environment."""
    return default


def config(**settings: _Any) -> str:
    """A model's own settings print nothing."""
    return ""


def run_query(sql: str) -> None:
    """No warehouse, no rows."""


def load_relation(relation: str) -> None:
    """No warehouse, no relation."""


class _Dbt:
    """dbt's own macros, as far as the project uses them."""

    @staticmethod
    def hash(field: str) -> str:
        return f"md5(cast({field} as text))"

    @staticmethod
    def type_string() -> str:
        return "text"

    @staticmethod
    def type_timestamp() -> str:
        return "timestamp"


class _Adapter:
    @staticmethod
    def dispatch(name: str, package: str = "") -> _Callable[..., _Any]:
        return _macros[f"default__{name}"]


class _Exceptions:
    @staticmethod
    def raise_compiler_error(message: str) -> str:
        raise ValueError(message)


class _Target:
    schema = "analytics"
    name = "prod"
    type = "duckdb"


def is_incremental() -> bool:
    """A full refresh is what is linted."""
    return False


class _Modules:
    re = _re


dbt = _Dbt()
adapter = _Adapter()
exceptions = _Exceptions()
target = _Target()
modules = _Modules()
project_name = "mailwright"
# a segment is rendered as in its own model
model = {"name": "seg_linted", "raw_code": "", "original_file_path": ""}
graph: dict[str, _Any] = {}
this = "this_relation"
execute = False

_macros: dict[str, _Callable[..., _Any]] = {}


def _load() -> None:
    environment = _Environment(extensions=["jinja2.ext.do"])  # noqa: S701 (it renders SQL, not HTML)
    public = {name: value for name, value in globals().items() if not name.startswith("_")}
    environment.globals.update(public)
    environment.globals["return"] = _return
    for path in sorted((_PROJECT / "macros").rglob("*.sql")):
        for match in _MACRO.finditer(path.read_text(encoding="utf-8")):
            _macros[match.group(1)] = _callable(environment, match.group(1), match.group(0))
    environment.globals.update(_macros)


def _callable(environment: _Environment, name: str, text: str) -> _Callable[..., _Any]:
    """The macro as a function. Its template is compiled at the first call: a model needs few of them."""
    template = environment.from_string(text)

    def call(*args: _Any, **kwargs: _Any) -> _Any:
        try:
            return getattr(template.module, name)(*args, **kwargs)
        except _Return as returned:
            return returned.value

    return call


_load()
globals().update(_macros)

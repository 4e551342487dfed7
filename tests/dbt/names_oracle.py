"""What a first name is, said again in Python over Unicode's own tables, and the SQL of both engines that decides it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from itertools import groupby, product
from typing import Any

import duckdb
import pytest

from dbt_project import sqlfluff_library as library

KINDS = {
    **dict.fromkeys(" \u3000", "b"),
    **dict.fromkeys("-\u2010\u2011\u2013·・", "h"),
    **dict.fromkeys("'’‘`´\u055a׳\u200c\u200d", "a"),
    ".": ".",
}
SHAPE = re.compile(r"(a?L(aL)*a?\.?)((b+|b?hb?)a?L(aL)*a?\.?)*")


def _kind(sign: str) -> str:
    letter = unicodedata.category(sign)[0] in "LM"
    return KINDS.get(sign, "L" if letter else "?")


def greets(text: str | None) -> bool:
    """Whether one can greet with a text without outer blanks."""
    kinds = [_kind(sign) for sign in text or ""]
    runs = "".join(kind if kind == "L" else kind * len(list(run)) for kind, run in groupby(kinds))
    if not text or not SHAPE.fullmatch(runs):
        return False
    words = "".join(sign if kind == "L" else " " for sign, kind in zip(text, kinds, strict=True)).split()
    if all(word.lower() in library._VARS["placeholder_names"] for word in words):
        return False
    if text.rstrip(".").lower() in library._VARS["placeholder_names"]:
        return False
    plain = ["".join(sign for sign in word if not _is_accent(sign)) for word in words]
    return any(len(word) > 1 or any(sign.lower() == sign.upper() for sign in word) for word in plain)


def _is_accent(sign: str) -> bool:
    return unicodedata.name(sign, "").startswith(("COMBINING", "VARIATION SELECTOR"))


def name_sql(column: str = "name") -> str:
    """The expression of the project's macro, for DuckDB."""
    return library._macros["usable_first_name"](column)


def clean_sql(column: str = "name") -> str:
    """The same of `clean_text`."""
    return library._macros["clean_text"](column)


def fold_sql(column: str = "name") -> str:
    """The same of `folded_name`."""
    return library._macros["folded_name"](column)


def small_sql(column: str = "name") -> str:
    """The same of `fold_case`."""
    return library._macros["fold_case"](column)


def composed_sql(column: str = "name") -> str:
    """The same of `composed`."""
    return library._macros["composed"](column)


def for_postgres(patch: pytest.MonkeyPatch) -> None:
    """From here on the macros give what PostgreSQL gets."""

    def dispatch(name: str, package: str = "") -> Any:
        return library._macros.get(f"postgres__{name}") or library._macros[f"default__{name}"]

    patch.setattr(library._Adapter, "dispatch", staticmethod(dispatch))


def in_duckdb(sql: str, texts: Sequence[str]) -> list[str | None]:
    """An expression over `name`, of each text."""
    with duckdb.connect() as con:
        con.execute("create table given as select unnest($1::text[]) as name, unnest(range(len($1))) as place", [texts])
        return [row[0] for row in con.execute(f"select {sql} from given order by place").fetchall()]


def stable_signs() -> list[str]:
    """Every sign on which Unicode 3.2 and this Python's Unicode agree: the same with every version of Python."""
    old = unicodedata.ucd_3_2_0
    return [
        sign
        for sign in map(chr, range(1, 0x110000))
        if old.category(sign) not in {"Cn", "Cs", "Co"}
        and (old.category(sign)[0] in "LM") == (unicodedata.category(sign)[0] in "LM")
    ]


def battery() -> list[str]:
    """Texts on which the engines are compared: every sign of the first two planes, and names of all kinds."""
    signs = [chr(code) for code in range(1, 0x20000) if not 0xD800 <= code < 0xE000]
    first = ["Anna", "J", "伟", "test", "É", "E\u0301", "Я.", "'t"]
    between = ["", *KINDS, "  ", " - ", "--", ". ", "' ", "\u3000 ", "_", "@"]
    second = ["Lena", "K", "", "user", "2"]
    names = ["".join(parts) for parts in product(first, between, second)]
    return [*signs, *(f"An{sign}na" for sign in signs), *names]

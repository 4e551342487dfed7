"""What decides over single signs gives the same on both engines, whatever Unicode version and collation each has."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence

import psycopg
import pytest

from tests.dbt import names_oracle as names
from tests.postgres.conftest import Server

pytestmark = pytest.mark.postgres


def in_postgres(server: Server, sql: str, texts: Sequence[str]) -> list[str | None]:
    """An expression over `name`, of each text."""
    with psycopg.connect(server.dsn) as pg:
        pg.execute("set jit = off")
        pg.execute("create temporary table given (place bigint, name text)")
        with pg.cursor() as cursor, cursor.copy("copy given from stdin") as copy:
            for row in enumerate(texts):
                copy.write_row(row)
        return [row[0] for row in pg.execute(f"select {sql} from given order by place").fetchall()]  # pyright: ignore


@pytest.mark.parametrize("sql", [names.name_sql, names.clean_sql])
def test_every_sign_is_treated_alike(postgres: Server, monkeypatch: pytest.MonkeyPatch, sql: Callable[[], str]) -> None:
    texts = names.battery()
    ours = names.in_duckdb(sql(), texts)
    names.for_postgres(monkeypatch)
    theirs = in_postgres(postgres, sql(), texts)
    different = [(text, our, their) for text, our, their in zip(texts, ours, theirs, strict=True) if our != their]
    assert different == []
    assert None in ours
    assert len(set(ours)) > 100_000


def test_capitals_become_small_alike(postgres: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    signs = names.stable_signs()
    texts = [*signs, *(f"AΣ{sign}" for sign in signs), "İPEK", "ΟΔΥΣΣΕΥΣ", "Οδυσσεύς Σ", "I\u0307"]
    ours = names.in_duckdb(names.small_sql(), texts)
    names.for_postgres(monkeypatch)
    theirs = in_postgres(postgres, names.small_sql(), texts)
    assert [(text, our, their) for text, our, their in zip(texts, ours, theirs, strict=True) if our != their] == []
    assert ours[-4:] == ["ipek", "οδυσσευσ", "οδυσσεύσ σ", "i"]


def test_accents_are_composed_as_python_composes_them(postgres: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rules of recommendation are composed by Python, the catalogue by the warehouse."""
    texts = [unicodedata.normalize("NFD", sign) for sign in names.stable_signs()]
    expected = [unicodedata.normalize("NFC", text) for text in texts]
    assert sum(text != one for text, one in zip(texts, expected, strict=True)) > 10_000
    assert names.in_duckdb(names.composed_sql(), texts) == expected
    names.for_postgres(monkeypatch)
    assert in_postgres(postgres, names.composed_sql(), texts) == expected


def test_blanks_of_any_width_are_trimmed(postgres: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    names.for_postgres(monkeypatch)
    wide = "\u00a0\u1680\u2000\u2003\u200a\u202f\u205f\u3000"
    texts = [f"{wide}Anna{wide}", f"\t{wide}\r\n", "太\u3000郎", "An\u00a0na"]
    assert in_postgres(postgres, names.clean_sql(), texts) == ["Anna", None, "太\u3000郎", "An na"]

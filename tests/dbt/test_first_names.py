"""A first name greets or is null: every sign of Unicode, every placeholder, and names put together at random."""

from __future__ import annotations

import unicodedata
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dbt_project import sqlfluff_library as library
from tests.dbt.names_oracle import KINDS, greets, in_duckdb, name_sql, stable_signs

SIGNS = st.sampled_from(
    [*"AnÉéßJЯжΩ", *"伟アאمप", "\u0301", "\u0308", *KINDS, *" -'.", *"2@/:_<{&,", "\t", "\u200b", "🌸", "٣"]
)


def test_inside_a_name_are_letters_their_marks_and_what_joins_them() -> None:
    signs = stable_signs()
    assert len(signs) > 90_000
    found = in_duckdb(name_sql(), [f"An{sign}na" for sign in signs])
    expected = [(sign in KINDS and sign != ".") or unicodedata.category(sign)[0] in "LM" for sign in signs]
    wrong = [hex(ord(s)) for s, name, ok in zip(signs, found, expected, strict=True) if (name is not None) != ok]
    assert wrong == []


def test_one_letter_is_a_name_where_letters_have_no_case() -> None:
    letters = [sign for sign in stable_signs() if unicodedata.category(sign) in {"Lu", "Ll", "Lt", "Lo"}]
    found = dict(zip(letters, in_duckdb(name_sql(), letters), strict=True))
    assert [sign for sign in letters if sign.lower() != sign.upper() and found[sign]] == []
    caseless = [sign for sign in letters if unicodedata.category(sign) == "Lo"]
    lost = [sign for sign in caseless if found[sign] is None]
    assert len(caseless) > 80_000
    # Latin, Coptic and such without a second form, the feminine ordinal, the alef of mathematics
    assert {unicodedata.name(sign).split()[0] for sign in lost} <= {
        "LATIN",
        "FEMININE",
        "MASCULINE",
        "GEORGIAN",
        "ALEF",
        "BET",
        "GIMEL",
        "DALET",
    }


@settings(max_examples=60, deadline=None, derandomize=True)
@given(texts=st.lists(st.text(SIGNS, max_size=12), min_size=1, max_size=100))
def test_names_put_together_at_random(texts: list[str]) -> None:
    texts = [text.strip() for text in texts]
    expected = [text if greets(text) else None for text in texts]
    assert in_duckdb(name_sql(), texts) == expected


def test_every_declared_placeholder_is_none_in_any_case_and_beside_another() -> None:
    words: list[str] = library._VARS["placeholder_names"]
    assert {"null", "test", "undefined", "nil", "none", "xxx", "asdf", "unknown"} <= set(words)
    assert len(words) == len(set(words))
    forms = [
        form
        for word in words
        for form in (word, word.upper(), word.title(), f"{word}.", f"Test {word}", f"{word}-{word}")
    ]
    assert set(in_duckdb(name_sql(), forms)) == {None}
    names = [form for word in words for form in (f"{word}a", f"B{word}", f"Anna {word}", f"{word} Anna")]
    assert in_duckdb(name_sql(), names) == names


@pytest.mark.parametrize(
    ("declared", "complaint"),
    [
        ("test", "a list of words is expected"),
        ([], "a list of words is expected"),
        ({"test": 1}, "a list of words is expected"),
        ([None], "'None' is no text; put it in quotation marks"),
        ([True], "'True' is no text"),
        (["n/a"], "'n/a' holds more than letters and blanks"),
        (["it's"], "it's' holds more than letters"),
        ([" "], "' ' holds more"),
    ],
)
def test_a_wrong_list_is_refused(monkeypatch: pytest.MonkeyPatch, declared: Any, complaint: str) -> None:
    monkeypatch.setitem(library._VARS, "placeholder_names", declared)
    with pytest.raises(ValueError, match="vars, placeholder_names: ") as refused:
        name_sql()
    assert complaint in str(refused.value)


def test_a_word_of_any_script_can_be_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(library._VARS, "placeholder_names", ["гость", "名無し"])
    assert in_duckdb(name_sql(), ["ГОСТЬ", "Гость", "名無し", "test"]) == [None, None, None, "test"]

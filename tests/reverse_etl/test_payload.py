"""Values as the destination takes them: types, null policies, and lengths in bytes and characters."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reverse_etl.declaration import FieldMapping, SyncDeclaration
from reverse_etl.payload import cut, fields_of, format_value, formats_of
from tests.reverse_etl.world import Person, World, small_declaration

FAMILY = "👨‍👩‍👧‍👦"  # four people and three joiners: 25 bytes, one sign
FLAGS = "🇩🇪🇫🇷"
THUMB = "👍🏽"


def _mapping(**values: Any) -> FieldMapping:
    return FieldMapping(**{"column": "city", "field": "X", "name": "X", **values})


@pytest.mark.parametrize(
    ("text", "most", "unit", "expected"),
    [
        ("abc", 3, "bytes", "abc"),
        ("abcd", 3, "bytes", "abc"),
        ("äöü", 4, "bytes", "äö"),
        ("äöü", 5, "bytes", "äö"),
        ("äöü", 2, "characters", "äö"),
        ("𝔘𝔫𝔦", 9, "bytes", "𝔘𝔫"),
        (f"a{FAMILY}b", 20, "bytes", "a"),
        (f"a{FAMILY}b", 26, "bytes", f"a{FAMILY}"),
        (FLAGS, 12, "bytes", "🇩🇪"),
        (FLAGS, 3, "characters", "🇩🇪"),
        (f"x{THUMB}", 6, "bytes", "x"),
        ("e\u0301e\u0301", 3, "characters", "e\u0301"),
        ("שלום עולם", 9, "bytes", "שלום"),
        ("anything", 0, "bytes", ""),
    ],
)
def test_cut(text: str, most: int, unit: str, expected: str) -> None:
    assert cut(text, most, unit) == expected


@given(st.text(max_size=40), st.integers(0, 60))
def test_cut_is_a_prefix_that_fits(text: str, most: int) -> None:
    shorter = cut(text, most)
    assert text.startswith(shorter)
    assert len(shorter.encode(errors="surrogatepass")) <= most or shorter == text


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("text", None, None),
        ("text", "", None),
        ("text", "  a\x00b\n c ", "a b c"),
        ("text", "lone \ud800 half", "lone half"),
        ("text", Decimal("12.50"), "12.50"),
        ("text", Decimal("1E+3"), "1000"),
        ("text", "مرحبا", "مرحبا"),
        ("number", Decimal("12.50"), 12.5),
        ("number", 7, 7),
        ("number", math.nan, None),
        ("number", -math.inf, None),
        ("number", Decimal("NaN"), None),
        ("text", math.nan, None),
        ("date", date(2011, 12, 9), "2011-12-09"),
        ("date", datetime(2011, 12, 9, 23, 59), "2011-12-09"),
        ("date", "2011-12-09 10:00:00", "2011-12-09"),
        ("url", "https://shop.test/p?a=1", "https://shop.test/p?a=1"),
    ],
)
def test_values(kind: str, value: Any, expected: Any) -> None:
    assert format_value(_mapping(type=kind, max_length=100), value) == expected


def test_half_a_link_is_none() -> None:
    assert format_value(_mapping(type="url", max_length=20), "https://shop.test/a/long/path") is None


def _declared(policy: str, fallback: str | None = None) -> SyncDeclaration:
    return SyncDeclaration(
        name="s", destination="mailchimp", model="m", fields=(_mapping(on_null=policy, fallback=fallback),)
    )


@pytest.mark.parametrize(
    ("policy", "fallback", "value", "there", "created", "updated", "cleared"),
    [
        ("overwrite", None, "A", "T", {"X": "A"}, {"X": "A"}, {"X": ""}),
        ("overwrite", None, None, "T", {}, {"X": ""}, {"X": ""}),
        ("overwrite", "F", None, "T", {"X": "F"}, {"X": "F"}, {"X": ""}),
        ("keep", None, "A", "T", {"X": "A"}, {"X": "A"}, {}),
        ("keep", "F", None, "T", {"X": "F"}, {}, {}),
        ("clear", "F", None, "T", {}, {"X": ""}, {"X": ""}),
        ("fill_if_empty", None, "A", "T", {"X": "A"}, {}, {}),
        ("fill_if_empty", None, "A", "", {"X": "A"}, {"X": "A"}, {}),
        ("fill_if_empty", "F", None, None, {"X": "F"}, {"X": "F"}, {}),
    ],
)
def test_null_policies(
    policy: str,
    fallback: str | None,
    value: str | None,
    there: str | None,
    created: dict[str, str],
    updated: dict[str, str],
    cleared: dict[str, str],
) -> None:
    formats, row = formats_of(_declared(policy, fallback)), {"city": value}
    assert fields_of(formats, row, "create") == created
    assert fields_of(formats, row, "update", {"X": there}) == updated
    assert fields_of(formats, {}, "clear") == cleared
    assert fields_of(formats, row, "update", {"X": there}) == updated


def test_values_that_are_equal_in_python_are_told_apart() -> None:
    """What a value became is remembered: by its type too, and without a sign of nothing."""
    formats = formats_of(_declared("overwrite", None))
    values = [1, True, 1.0, 0.0, -0.0]
    shown = [fields_of(formats, {"city": value}, "update")["X"] for value in values]
    assert shown == ["1", "True", "1.0", "0.0", "0.0"]
    zones = [time(10, tzinfo=UTC), time(11, tzinfo=timezone(timedelta(hours=1)))]
    shown = [fields_of(formats, {"city": value}, "update")["X"] for value in (*zones, ["a"])]
    assert shown == ["10:00:00+00:00", "11:00:00+01:00", "['a']"]
    assert fields_of(formats_of(_declared("overwrite", None)), {"city": -0.0}, "update") == {"X": "0.0"}


def test_policies_and_hard_names_arrive(world: World) -> None:
    """Every policy, over HTTP, twice: emoji, right-to-left and four-byte names arrive whole, and fit the limit."""
    small_declaration(
        world.settings,
        fields=[
            {"column": "first_name", "field": "FNAME", "name": "First", "max_length": 30},
            {"column": "city", "field": "LNAME", "name": "Last", "on_null": "fill_if_empty"},
            {"column": "rfm_cell", "field": "MW_KEEP", "name": "Keep", "on_null": "keep"},
            {"column": "churn_band", "field": "MW_CLEAR", "name": "Clear", "on_null": "clear"},
        ],
    )
    world.sync_name = "small"
    world.twin.put("typed@shop.test", LNAME="Typed by herself")
    names = {f"n{n}@shop.test": name for n, name in enumerate(["שרה", "🧑‍🚀 Zoë", "𠮷野", FAMILY * 3, 'O\'Neil "x"'])}
    columns = {"city": "Ours", "rfm_cell": "kept", "churn_band": "low"}
    people = [Person(e, "subscribe", ("vip",), {**columns, "first_name": n}) for e, n in names.items()]
    typed = Person("typed@shop.test", "update_only", (), columns)
    world.desire(*people, typed)
    assert world.sync().created == 5
    found = {email: world.twin.member(email) for email in names}
    assert [m.merge_fields["FNAME"] for m in found.values() if m] == ["שרה", "🧑‍🚀 Zoë", "𠮷野", FAMILY, 'O\'Neil "x"']
    kept = world.twin.member("typed@shop.test")
    assert kept is not None
    assert kept.merge_fields == {"LNAME": "Typed by herself", "MW_KEEP": "kept", "MW_CLEAR": "low"}
    world.desire(*people, Person("typed@shop.test", "update_only", (), {"city": "Other"}))
    assert world.sync().updated == 1
    kept = world.twin.member("typed@shop.test")
    assert kept is not None
    assert kept.merge_fields == {"LNAME": "Typed by herself", "MW_KEEP": "kept"}
    assert world.sync().writes == 0

"""Hand-worked examples for the reference evaluator, at the boundaries of every condition."""

from __future__ import annotations

import hashlib
import random
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from tests.segments.oracle import (
    CONDITIONS,
    Call,
    Row,
    World,
    beginning_of,
    holds,
    last_day,
    length,
    local_day,
    members,
)
from tests.segments.worlds import KINDS, POSITIONAL, PROPERTIES, as_jinja, condition, definition, literal, quoted, world

NOON = datetime(2026, 6, 15, 12)  # 14:00 in Vienna
US = timedelta(microseconds=1)
HOUR = timedelta(hours=1)
VIENNA = "Europe/Vienna"


def a_world(as_of: datetime = NOON, zone: str = VIENNA, **columns: Any) -> World:
    return World(as_of=as_of, known_at=as_of, time_zone=zone, people={"p": columns})


def web(at: datetime, name: str = "page", **columns: Any) -> Row:
    empty = dict.fromkeys(["product_id", "category", "order_id", "page_url", "campaign_name", "session_id"])
    row: Row = {"profile_id": "p", "event_name": name, "occurred_at": at, "known_at": at}
    return empty | row | {"linked_at": datetime(2000, 1, 1)} | columns


def mail(at: datetime, kind: str, **columns: Any) -> Row:
    empty = dict.fromkeys(["message_id", "campaign_id", "link_url", "bounce_type"])
    row: Row = {"profile_id": "p", "event_type": kind, "occurred_at": at, "known_at": at, "is_machine": False}
    return empty | row | {"linked_at": datetime(2000, 1, 1)} | columns


def order(at: datetime, quantity: int | None = 1, revenue: str | None = "10.00", **columns: Any) -> Row:
    row: Row = {"profile_id": "p", "ordered_at": at, "known_at": at, "linked_at": datetime(2000, 1, 1)}
    row |= dict.fromkeys(["order_id", "channel", "country", "currency", "product_id", "category"])
    return row | {"net_quantity": quantity, "net_revenue": None if revenue is None else Decimal(revenue)} | columns


def with_web(*rows: Row, as_of: datetime = NOON, zone: str = VIENNA) -> World:
    made = a_world(as_of, zone)
    made.web_events = list(rows)
    return made


def it_holds(name: str, made: World, /, **args: Any) -> bool:
    return holds(Call(name, args), "p", made)


def where(name: str, test: str, value: Any = None) -> list[Call]:
    return [Call("prop", {"name": name, "test": test, "value": value})]


def did_page(at: datetime, as_of: datetime = NOON, zone: str = VIENNA, **args: Any) -> bool:
    return it_holds("did", with_web(web(at), as_of=as_of, zone=zone), event="page", **args)


# --- the clocks -------------------------------------------------------------------------------------------------------


def test_an_instant_equal_to_as_of_is_the_future() -> None:
    assert did_page(NOON - US)
    assert not did_page(NOON)
    assert not did_page(NOON + US)


def test_an_event_is_known_by_known_at() -> None:
    made = with_web(web(NOON - HOUR, known_at=NOON - HOUR))
    made.known_at = NOON - HOUR
    assert it_holds("did", made, event="page")
    made.known_at = NOON - HOUR - US
    assert not it_holds("did", made, event="page")


def test_an_identifier_is_linked_before_as_of() -> None:
    assert it_holds("did", with_web(web(NOON - HOUR, linked_at=NOON - US)), event="page")
    assert not it_holds("did", with_web(web(NOON - HOUR, linked_at=NOON)), event="page")
    assert not it_holds("did", with_web(web(NOON - HOUR, linked_at=None)), event="page")


def test_events_are_those_of_one_person() -> None:
    assert not it_holds("did", with_web(web(NOON - HOUR, profile_id=None)), event="page")
    assert not it_holds("did", with_web(web(NOON - HOUR, profile_id="q")), event="page")
    assert not it_holds("did", with_web(web(NOON - HOUR, "Page")), event="page")
    assert not holds(Call("did", {"event": "page"}), "who is this", with_web(web(NOON - HOUR)))


# --- windows ----------------------------------------------------------------------------------------------------------


def test_hours_are_exact() -> None:
    for window in ("48 hours", "48 hour", "2880 minutes"):
        assert did_page(datetime(2026, 6, 13, 12, 0, 0), within=window)
        assert not did_page(datetime(2026, 6, 13, 11, 59, 59), within=window)
        assert not did_page(datetime(2026, 6, 13, 12) - US, within=window)


def test_hours_do_not_care_about_the_clocks_that_go_forward() -> None:
    as_of = datetime(2026, 3, 29, 12)
    assert did_page(datetime(2026, 3, 28, 12), as_of, within="24 hours")
    assert not did_page(datetime(2026, 3, 28, 12) - US, as_of, within="24 hours")


def test_days_are_local_days_in_summer() -> None:
    # 30 days: 17 May to 15 June. 17 May begins in Vienna at 22:00 UTC on the 16th.
    assert did_page(datetime(2026, 5, 16, 22), within="30 days")
    assert not did_page(datetime(2026, 5, 16, 22) - US, within="30 days")
    assert did_page(datetime(2026, 5, 17, 0), zone="UTC", within="30 days")
    assert not did_page(datetime(2026, 5, 17, 0) - US, zone="UTC", within="30 days")
    assert did_page(NOON - US, within="1 day")
    assert not did_page(datetime(2026, 6, 14, 22) - US, within="1 day")
    assert did_page(datetime(2026, 6, 14, 22), within="1 day")


def test_weeks_are_seven_days() -> None:
    # 9 to 15 June
    for window in ("1 week", "1 weeks", "7 days"):
        assert did_page(datetime(2026, 6, 8, 22), within=window)
        assert not did_page(datetime(2026, 6, 8, 22) - US, within=window)


def test_days_when_the_clocks_go_forward() -> None:
    # 29 March 2026 has 23 hours in Vienna: from 23:00 UTC on the 28th to 22:00 UTC on the 29th.
    as_of = datetime(2026, 3, 30, 10)
    assert did_page(datetime(2026, 3, 28, 23), as_of, within="2 days")
    assert not did_page(datetime(2026, 3, 28, 23) - US, as_of, within="2 days")
    assert did_page(datetime(2026, 3, 29, 22), as_of, within="1 day")
    assert not did_page(datetime(2026, 3, 29, 22) - US, as_of, within="1 day")


def test_days_when_the_clocks_go_back() -> None:
    # 26 October 2025 has 25 hours in Vienna: from 22:00 UTC on the 25th to 23:00 UTC on the 26th.
    as_of = datetime(2025, 10, 27, 10)
    assert did_page(datetime(2025, 10, 25, 22), as_of, within="2 days")
    assert not did_page(datetime(2025, 10, 25, 22) - US, as_of, within="2 days")
    assert did_page(datetime(2025, 10, 26, 23), as_of, within="1 day")
    assert not did_page(datetime(2025, 10, 26, 23) - US, as_of, within="1 day")


def test_as_of_on_is_the_day_of_the_last_instant_before() -> None:
    assert last_day(a_world(datetime(2026, 3, 30, 22))) == date(2026, 3, 30)
    assert last_day(a_world(datetime(2026, 3, 30, 22) + US)) == date(2026, 3, 31)
    assert last_day(a_world(datetime(2025, 10, 27, 23))) == date(2025, 10, 27)
    assert last_day(a_world(datetime(2025, 10, 26, 22, 30))) == date(2025, 10, 26)
    midnight = datetime(2026, 3, 30, 22)
    assert did_page(datetime(2026, 3, 29, 22), midnight, within="1 day")
    assert not did_page(datetime(2026, 3, 29, 22) - US, midnight, within="1 day")


def test_a_local_day_begins_at_its_first_instant() -> None:
    assert beginning_of(date(2026, 3, 29), VIENNA) == datetime(2026, 3, 28, 23)
    assert beginning_of(date(2026, 3, 30), VIENNA) == datetime(2026, 3, 29, 22)
    assert beginning_of(date(2025, 10, 26), VIENNA) == datetime(2025, 10, 25, 22)
    assert beginning_of(date(2025, 10, 27), VIENNA) == datetime(2025, 10, 26, 23)
    # A day without a midnight: the clocks of São Paulo went from 0:00 to 1:00.
    assert beginning_of(date(2018, 11, 4), "America/Sao_Paulo") == datetime(2018, 11, 4, 3)
    assert local_day(datetime(2018, 11, 4, 3), "America/Sao_Paulo") == date(2018, 11, 4)
    assert local_day(datetime(2018, 11, 4, 3) - US, "America/Sao_Paulo") == date(2018, 11, 3)


def test_between_days() -> None:
    # as_of_on - 90 = 17 March, as_of_on - 30 = 16 May: 18 March (CET, 23:00 UTC) to 16 May (CEST, 22:00 UTC).
    offsets = ("90 days", "30 days")
    assert did_page(datetime(2026, 3, 17, 23), between=offsets)
    assert not did_page(datetime(2026, 3, 17, 23) - US, between=offsets)
    assert did_page(datetime(2026, 5, 16, 22) - US, between=offsets)
    assert not did_page(datetime(2026, 5, 16, 22), between=offsets)
    assert did_page(datetime(2000, 1, 1), between=(None, "30 days"))
    assert did_page(datetime(2026, 5, 16, 22) - US, between=[None, "30 days"])
    assert not did_page(datetime(2026, 5, 16, 22), between=(None, "30 days"))


def test_between_hours() -> None:
    offsets = ("48 hours", "30 minutes")
    assert did_page(NOON - 48 * HOUR, between=offsets)
    assert not did_page(NOON - 48 * HOUR - US, between=offsets)
    assert did_page(NOON - HOUR / 2 - US, between=offsets)
    assert not did_page(NOON - HOUR / 2, between=offsets)
    assert did_page(datetime(2000, 1, 1), between=(None, "24 hours"))
    assert not did_page(NOON - 24 * HOUR, between=(None, "24 hours"))


def test_since_and_until_are_local_days() -> None:
    assert did_page(datetime(2025, 12, 31, 23), since="2026-01-01")
    assert not did_page(datetime(2025, 12, 31, 23) - US, since="2026-01-01")
    assert did_page(datetime(2026, 3, 31, 22) - US, until="2026-03-31")
    assert not did_page(datetime(2026, 3, 31, 22), until="2026-03-31")
    assert did_page(datetime(2026, 2, 1), since="2026-01-01", until="2026-03-31")
    assert not did_page(datetime(2026, 4, 2), since="2026-01-01", until="2026-03-31")
    assert did_page(datetime(1999, 1, 1))
    assert not did_page(NOON, since="2026-01-01")


@pytest.mark.parametrize(
    "window",
    [
        {"within": "2 days", "since": "2026-01-01"},
        {"within": "2 days", "between": ("3 days", "1 day")},
        {"between": ("3 days", "1 day"), "until": "2026-01-01"},
        {"between": ("48 hours", "1 day")},
        {"between": ("1 day", "3 days")},
        {"between": ("1 day", None)},
        {"within": "2 months"},
        {"within": "1.5 days"},
    ],
)
def test_windows_that_are_none(window: Row) -> None:
    with pytest.raises(ValueError, match=r"window|other|within|unit|offset"):
        did_page(NOON - HOUR, **window)


def test_lengths() -> None:
    assert length("2 weeks").time == timedelta(days=14)
    assert length("2 weeks").whole_days
    assert length("90 minutes").time == timedelta(hours=1.5)
    assert not length("24 hours").whole_days


# --- prop -------------------------------------------------------------------------------------------------------------


def prop(value: Any, test: str, given: Any = None, as_of: datetime = NOON, **columns: Any) -> bool:
    return it_holds("prop", a_world(as_of, x=value, **columns), name="x", test=test, value=given)


@pytest.mark.parametrize("value", [None, ""])
def test_unknown_is_false_also_for_negations(value: Any) -> None:
    for test, given in [
        ("=", "Graz"),
        ("!=", "Graz"),
        ("in", ["Graz"]),
        ("not in", ["Graz"]),
        ("is", "Graz"),
        ("is not", "Graz"),
        ("contains", "G"),
        ("starts with", "G"),
        ("ends with", "G"),
        ("matches", ".*"),
        ("is not empty", None),
        ("= column", "y"),
        ("!= column", "y"),
    ]:
        assert not prop(value, test, given, y="Graz")
        assert not prop(value, test, given, y=value)
    assert prop(value, "is empty")
    assert not it_holds("prop", a_world(), name="nothing", test="is not empty")
    assert it_holds("prop", a_world(), name="nothing", test="is empty")
    assert it_holds("none_of", a_world(x=value), conditions=where("x", "is", "Graz"))


def test_unknown_numbers_days_and_booleans() -> None:
    for test, given in [("=", 0), ("!=", 0), ("<", 1), ("not in", [1]), ("between", [0, 1]), ("is false", None)]:
        assert not prop(None, test, given)
    for test, given in [("before", "2026-01-01"), ("within last", "7 days"), ("older than", "7 days")]:
        assert not prop(None, test, given)
    assert not prop(3, "=", None)
    assert not prop(3, "!=", None)
    assert not prop(3, "not in", [1, None])
    assert prop(3, "in", [3, None])
    assert not prop(3, "between", [1, None])


def test_text_is_compared_exactly() -> None:
    assert prop("Graz", "=", "Graz")
    assert not prop("graz", "=", "Graz")
    assert prop("graz", "!=", "Graz")
    assert prop(" Graz", "!=", "Graz")
    assert prop("Graz", "in", ["Wien", "Graz"])
    assert not prop("Graz ", "in", ["Wien", "Graz"])
    assert prop("Graz ", "not in", ["Wien", "Graz"])
    assert not prop("Graz", "not in", ["Wien", "Graz"])
    assert prop('O\'Hara \\ "x"', "=", 'O\'Hara \\ "x"')


def test_text_is_trimmed_and_folded() -> None:
    assert prop("  GRAZ ", "is", "graz")
    assert prop("graz", "is", " Graz ")
    assert prop("ÖSTERREICH", "is", "österreich")
    assert not prop("Graz am See", "is", "graz")
    assert prop("Graz am See", "is not", "graz")
    assert not prop("  GRAZ ", "is not", "graz")
    assert prop("   ", "is not", "graz")
    assert prop("   ", "is not empty")


def test_parts_of_text() -> None:
    assert prop("Bad GRAZ", "contains", "graz")
    assert not prop("axb", "contains", "a_b")
    assert not prop("100 percent", "contains", "100%")
    assert prop("is 100% so", "contains", "100%")
    assert prop("Graz", "starts with", "GR")
    assert not prop(" Graz", "starts with", "GR")
    assert prop("Graz", "ends with", "AZ")
    assert not prop("Graz ", "ends with", "AZ")


def test_regular_expressions_find_something() -> None:
    assert prop("Graz", "matches", "ra")
    assert not prop("Graz", "matches", "^ra")
    assert not prop("Graz", "matches", "g")
    assert prop("Graz", "matches", "[a-z]+z$")
    assert prop("Graz", "matches", "^Gx?r")
    assert prop("back\\slash", "matches", "k\\\\s")


def test_numbers() -> None:
    assert prop(3, "=", 3)
    assert prop(3, "<", 3.5)
    assert prop(Decimal("0.10"), "=", 0.1)
    assert prop(Decimal("0.30"), "<=", 0.3)
    assert not prop(Decimal("0.30"), "<", 0.3)
    assert prop(Decimal("0.1"), "in", [0.1, 7])
    assert not prop(Decimal("0.1"), "not in", [0.1, 7])
    assert prop(0.1, "=", 0.1)
    assert prop(0.1, "=", Decimal("0.1"))
    assert not prop(0.1 + 0.2, "=", 0.3)  # double precision is what it is
    assert prop(3, "between", [3, 5])
    assert prop(5, "between", (3, 5))
    assert not prop(6, "between", [3, 5])
    assert not prop(4, "between", [5, 3])
    assert prop(-1, "<", 0)


def test_dates() -> None:
    day = date(2026, 5, 17)
    assert prop(day, "=", "2026-05-17")
    assert prop(day, "<", "2026-05-18")
    assert not prop(day, "!=", "2026-05-17")
    assert prop(day, "between", ["2026-05-17", "2026-05-17"])
    assert prop(day, "on", "2026-05-17")
    assert not prop(day, "before", "2026-05-17")
    assert prop(day, "before", "2026-05-18")
    assert not prop(day, "after", "2026-05-17")
    assert prop(day, "after", "2026-05-16")
    # as_of_on is 15 June
    assert prop(day, "within last", "30 days")
    assert not prop(date(2026, 5, 16), "within last", "30 days")
    assert prop(date(2026, 5, 16), "older than", "30 days")
    assert not prop(day, "older than", "30 days")
    assert prop(date(2026, 6, 15), "within last", "1 day")
    assert not prop(date(2026, 6, 16), "within last", "1 day")
    assert not prop(date(2026, 6, 15), "within next", "30 days")
    assert prop(date(2026, 6, 16), "within next", "30 days")
    assert prop(date(2026, 7, 15), "within next", "30 days")
    assert not prop(date(2026, 7, 16), "within next", "30 days")


def test_instants() -> None:
    at = datetime(2026, 3, 28, 23)  # the first instant of 29 March
    assert prop(at, "=", "2026-03-28T23:00:00")
    assert prop(at, "=", "2026-03-29T00:00:00+01:00")
    assert prop(at, "<", "2026-03-28T23:00:00.000001Z")
    assert prop(at, "between", ["2026-03-28T23:00:00", "2026-03-28T23:00:00"])
    assert prop(at, "on", "2026-03-29")
    assert prop(at - US, "before", "2026-03-29")
    assert not prop(at, "before", "2026-03-29")
    assert not prop(datetime(2026, 3, 29, 22) - US, "after", "2026-03-29")
    assert prop(datetime(2026, 3, 29, 22), "after", "2026-03-29")
    assert prop(NOON - 48 * HOUR, "within last", "48 hours")
    assert not prop(NOON - 48 * HOUR - US, "within last", "48 hours")
    assert not prop(NOON - 48 * HOUR, "older than", "48 hours")
    assert prop(NOON - 48 * HOUR - US, "older than", "48 hours")
    assert prop(datetime(2026, 5, 16, 22), "within last", "30 days")
    assert prop(datetime(2026, 5, 16, 22) - US, "older than", "30 days")
    assert not prop(datetime(2026, 5, 16, 22), "older than", "30 days")
    assert not prop(NOON, "within last", "48 hours")
    assert not prop(NOON, "within last", "2 days")


def test_booleans() -> None:
    assert prop(True, "is true")
    assert not prop(False, "is true")
    assert prop(False, "is false")
    assert not prop(None, "is false")
    assert prop(False, "is not empty")


def test_columns_are_compared_with_columns() -> None:
    assert prop(3, "< column", "y", y=Decimal("3.5"))
    assert prop(Decimal("0.1"), "= column", "y", y=0.1)
    assert prop("a", "!= column", "y", y="b")
    assert not prop("a", "!= column", "y", y=None)
    assert not prop("a", "!= column", "y")
    assert prop(NOON, ">= column", "y", y=NOON)
    assert prop(date(2026, 1, 1), "<= column", "y", y=date(2026, 1, 1))
    assert prop(True, "> column", "y", y=False)


def test_what_cannot_be_compared_is_an_error() -> None:
    with pytest.raises(TypeError):
        prop("3", "=", 3)
    with pytest.raises(TypeError):
        prop(NOON, "within next", "3 days")
    with pytest.raises(ValueError, match="whole days"):
        prop(date(2026, 1, 1), "within last", "48 hours")
    with pytest.raises(ValueError, match="no such test"):
        prop("x", "like", "x")


# --- the other conditions on the person -------------------------------------------------------------------------------


def test_interests() -> None:
    made = a_world()
    made.interests = [
        {"profile_id": "p", "interest": " Garden"},
        {"profile_id": "p", "interest": "BÜCHER"},
        {"profile_id": "p", "interest": None},
        {"profile_id": "q", "interest": "kitchen"},
    ]
    assert it_holds("interested_in", made, topics="garden ")
    assert it_holds("interested_in", made, topics=["kitchen", "bücher"])
    assert not it_holds("interested_in", made, topics=["kitchen", "bücher"], match="all")
    assert it_holds("interested_in", made, topics=["GARDEN", "bücher"], match="all")
    assert not it_holds("interested_in", made, topics=["kitchen", "bücher"], match="none")
    assert it_holds("interested_in", made, topics="kitchen", match="none")
    assert it_holds("interested_in", a_world(), topics="kitchen", match="none")
    assert not it_holds("interested_in", a_world(), topics="kitchen")


def returns(at: Any, as_of: datetime = NOON, time_zone: Any = None, **args: Any) -> bool:
    made = a_world(as_of, signed_up_at=at, time_zone=time_zone)
    return it_holds("anniversary", made, column="signed_up_at", **args)


def test_anniversaries() -> None:
    # Today is 15 June; the seven days are 15 to 21 June.
    assert returns(datetime(2024, 6, 15, 12))
    assert not returns(datetime(2024, 6, 14, 12))
    assert returns(datetime(2024, 6, 21, 12))
    assert not returns(datetime(2024, 6, 22, 12))
    assert not returns(datetime(2026, 6, 15, 11))  # the day itself
    assert not returns(datetime(2026, 6, 20, 11))
    assert returns(datetime(2025, 6, 15, 11))
    assert not returns(None)
    assert returns(datetime(2024, 6, 15, 12), within_next="1 day")
    assert not returns(datetime(2024, 6, 16, 12), within_next="1 day")
    assert returns(datetime(2026, 6, 15, 11), within_next="366 days")
    assert not returns(datetime(2026, 6, 15, 11), within_next="365 days")
    assert returns(datetime(2020, 1, 3), as_of=datetime(2026, 12, 30, 12))


def test_anniversaries_are_hers() -> None:
    at = datetime(2024, 6, 14, 23)  # 15 June in Vienna, 14 June in New York
    for zone in (VIENNA, None, "", "Mars/Olympus", "Europe", "../etc"):
        assert returns(at, time_zone=zone)
    assert not returns(at, time_zone="America/New_York")
    # At 03:00 UTC it is still 14 June in New York.
    assert returns(at, as_of=datetime(2026, 6, 15, 3), time_zone="America/New_York", within_next="1 day")
    assert returns(at, as_of=datetime(2026, 6, 15, 4), time_zone="America/New_York", within_next="1 day")
    assert not returns(at, as_of=datetime(2026, 6, 15, 4) + US, time_zone="America/New_York", within_next="1 day")


def test_29_february() -> None:
    leap = datetime(2024, 2, 29, 12)
    assert returns(leap, as_of=datetime(2026, 2, 28, 12), within_next="1 day")
    assert not returns(leap, as_of=datetime(2026, 3, 1, 12), within_next="1 day")
    assert not returns(leap, as_of=datetime(2026, 2, 27, 12), within_next="1 day")
    assert returns(leap, as_of=datetime(2028, 2, 29, 12), within_next="1 day")
    assert not returns(leap, as_of=datetime(2028, 2, 28, 12), within_next="1 day")
    assert not returns(leap, as_of=leap + HOUR, within_next="1 day")
    assert returns(datetime(2023, 2, 28, 12), as_of=datetime(2024, 2, 28, 12), within_next="1 day")
    assert not returns(datetime(2023, 2, 28, 12), as_of=datetime(2024, 2, 29, 12), within_next="1 day")
    # 23:30 UTC on 28 February is the 29th in Vienna.
    assert returns(datetime(2024, 2, 28, 23, 30), as_of=datetime(2028, 2, 29, 12), within_next="1 day")


def test_random_shares() -> None:
    bucket = int(hashlib.md5(b"salt|p", usedforsecurity=False).hexdigest()[:8], 16) % 10_000
    low = Decimal(bucket) / 100
    made = a_world()
    assert it_holds("random_share", made, salt="salt", percent=0.01, start=float(low))
    assert not it_holds("random_share", made, salt="salt", percent=float(low))
    assert it_holds("random_share", made, salt="salt", percent=float(low + Decimal("0.01")))
    assert it_holds("random_share", made, salt="salt", percent=100)
    assert not it_holds("random_share", made, salt="salt", percent=0)
    made.people = {f"p{number}": {} for number in range(2000)}
    shares = [{"percent": 30}, {"percent": 30, "start": 30}, {"percent": 40, "start": 60}]
    parts = [members({"all_of": [Call("random_share", {"salt": "s"} | share)]}, made) for share in shares]
    assert sum(len(part) for part in parts) == 2000
    assert set.union(*parts) == set(made.people)
    assert 500 < len(parts[0]) < 700


def test_consent() -> None:
    made = a_world()
    made.consent = [
        {"profile_id": "p", "channel": "email", "purpose": "marketing", "is_mailable": True},
        {"profile_id": "p", "channel": "sms", "purpose": "marketing", "is_mailable": False},
        {"profile_id": "p", "channel": "email", "purpose": "newsletter", "is_mailable": None},
    ]
    assert it_holds("can_receive", made)
    assert not it_holds("can_receive", made, channel="sms")
    assert not it_holds("can_receive", made, purpose="newsletter")
    assert not it_holds("can_receive", made, channel="post")
    assert not holds(Call("can_receive"), "q", made)


# --- events -----------------------------------------------------------------------------------------------------------


def test_mail_by_its_kind_and_by_humans() -> None:
    kinds = {
        "Email Sent": "sent",
        "Email Delivered": "delivered",
        "Email Opened": "open",
        "Email Clicked": "click",
        "Email Bounced": "bounce",
        "Email Complained": "complaint",
        "Email Unsubscribed": "unsubscribe",
    }
    for event in kinds:
        made = a_world()
        made.email_events = [mail(NOON - HOUR, kind) for kind in kinds.values()]
        assert it_holds("did", made, event=event, at_most=1)
        made.email_events = [mail(NOON - HOUR, kinds[event], is_machine=True)]
        assert it_holds("did", made, event=event) == (event not in ("Email Opened", "Email Clicked"))
        assert it_holds("did", made, event=event, human=False)
    made = a_world()
    made.email_events = [mail(NOON - HOUR, "bounce", bounce_type="hard")]
    assert it_holds("did", made, event="Email Bounced", where=where("bounce_type", "=", "hard"))


def test_of_an_order_something_is_kept() -> None:
    made = a_world()
    made.orders = [order(NOON - HOUR, 0, "0.00"), order(NOON - HOUR, None), order(NOON, 1)]
    made.order_lines = [order(NOON - HOUR, 0, "0.00")]
    assert it_holds("did_not", made, event="Order Placed")
    assert it_holds("did_not", made, event="Product Bought")
    made.orders.append(order(NOON - US, 2, country="AT"))
    made.order_lines.append(order(NOON - US, 2, category="garden"))
    assert it_holds("did", made, event="Order Placed", at_most=1, where=where("country", "is", "at"))
    assert it_holds("did", made, event="Product Bought", where=where("category", "is", "Garden"))
    assert it_holds("did", made, event="Product Bought", where=where("net_quantity", ">", 1))
    assert not it_holds("did", made, event="Product Bought", where=where("net_quantity", ">", 2))


def test_where_is_all_of_its_tests() -> None:
    made = with_web(web(NOON - HOUR, category="garden"), web(NOON - HOUR, product_id="P1"))
    both = where("category", "is", "garden") + where("product_id", "=", "P1")
    assert not it_holds("did", made, event="page", where=both)
    made.web_events.append(web(NOON - HOUR, category="garden", product_id="P1"))
    assert it_holds("did", made, event="page", where=both)
    assert it_holds("did", made, event="page", where=where("category", "is empty"), at_most=1)
    assert not it_holds("did", made, event="page", where=where("category", "!=", "garden"))
    compared = where("order_id", "= column", "session_id")
    assert not it_holds("did", made, event="page", where=compared)
    assert it_holds("did", with_web(web(NOON - US, order_id="1", session_id="1")), event="page", where=compared)


def test_did_counts() -> None:
    made = with_web(web(NOON - HOUR), web(NOON - HOUR), web(NOON - 50 * HOUR))
    assert it_holds("did", made, event="page", at_least=3)
    assert not it_holds("did", made, event="page", at_least=4)
    assert it_holds("did", made, event="page", at_least=2, at_most=2, within="48 hours")
    assert not it_holds("did", made, event="page", at_most=2)
    assert it_holds("did", made, event="other", at_least=0)
    assert it_holds("did", made, event="other", at_least=0, at_most=0)
    assert not it_holds("did", made, event="page", at_least=0, at_most=0)


def test_did_counts_in_one() -> None:
    made = with_web(
        web(NOON - HOUR, product_id="P1"),
        web(NOON - HOUR, product_id="P2"),
        web(NOON - HOUR, product_id=None),
        web(NOON - HOUR, product_id=None),
        web(NOON - HOUR, product_id=""),
        web(NOON - HOUR, product_id=""),
    )
    assert not it_holds("did", made, event="page", at_least=2, in_one="product_id")
    assert it_holds("did", made, event="page", in_one="product_id")
    made.web_events += [web(NOON - HOUR, product_id="P2")] * 2
    assert it_holds("did", made, event="page", at_least=3, in_one="product_id")
    assert it_holds("did", made, event="page", at_most=1, in_one="product_id")
    assert not it_holds("did", made, event="page", at_least=2, at_most=2, in_one="product_id")
    assert not it_holds("did", made, event="other", at_least=0, in_one="product_id")


def test_did_not() -> None:
    made = with_web(web(NOON - 48 * HOUR - US))
    assert it_holds("did_not", made, event="page", within="48 hours")
    assert not it_holds("did_not", made, event="page")
    assert it_holds("did_not", made, event="page", where=where("category", "is", "x"))
    assert it_holds("did_not", a_world(), event="page")


def bought(*revenues: str | None) -> World:
    made = a_world()
    made.orders = [
        order(NOON - HOUR, number + 1, revenue, order_id=str(number)) for number, revenue in enumerate(revenues)
    ]
    return made


def total(made: World, aggregate: str, test: str, value: Any, column: str = "net_revenue", **args: Any) -> bool:
    given = {"event": "Order Placed", "aggregate": aggregate, "column": column, "test": test, "value": value}
    return it_holds("total", made, **given, **args)


def test_totals() -> None:
    made = bought("0.10", "0.20", None)
    assert total(made, "sum", "=", 0.3)
    assert not total(made, "sum", "!=", 0.3)
    assert not total(made, "sum", ">", 0.3)
    assert total(made, "sum", "between", [0.3, 0.3])
    assert total(made, "average", "between", [0.1499, 0.1501])  # of two, not of three
    assert total(made, "min", "=", 0.1)
    assert total(made, "max", "=", 0.2)
    assert total(made, "distinct", "=", 2)
    assert total(made, "sum", "=", 6, "net_quantity")
    assert total(made, "average", "=", 2, "net_quantity")
    assert total(made, "average", "<", 2.5, "net_quantity", where=where("net_quantity", "<", 3))
    assert total(bought("10.00", "20.00"), "average", "=", 15)
    assert total(bought("1.0", "1.00"), "distinct", "=", 1)


def test_totals_of_nothing() -> None:
    for made in (a_world(), bought(None)):
        assert total(made, "sum", "=", 0)
        assert total(made, "sum", "<", 1)
        assert total(made, "distinct", "=", 0)
        for aggregate in ("average", "min", "max"):
            for test, value in [("=", 0), ("!=", 0), ("<", 1), (">=", 0), ("between", [0, 9])]:
                assert not total(made, aggregate, test, value)
    assert total(bought("5"), "sum", "=", 0, between=(None, "48 hours"))


def test_first_and_last_time() -> None:
    made = with_web(web(NOON - 48 * HOUR), web(NOON - 48 * HOUR), web(NOON - HOUR, category="a"))
    assert it_holds("first_time", made, event="page", within="48 hours")
    assert not it_holds("first_time", made, event="page", within="24 hours")
    assert it_holds("first_time", made, event="page", within="24 hours", where=where("category", "is", "a"))
    assert it_holds("last_time", made, event="page", within="60 minutes")
    assert not it_holds("last_time", made, event="page", between=(None, "60 minutes"))
    assert it_holds("last_time", made, event="page", between=(None, "48 hours"), where=where("category", "=", "b")) is (
        False
    )
    made.web_events.append(web(NOON - 48 * HOUR - US))
    assert not it_holds("first_time", made, event="page", within="48 hours")
    assert it_holds("first_time", made, event="page")
    assert not it_holds("first_time", a_world(), event="page")
    assert not it_holds("last_time", a_world(), event="page", since="2000-01-01")


def test_first_and_last_was_with_ties() -> None:
    made = with_web(
        web(NOON - 3 * HOUR, category="a"),
        web(NOON - 3 * HOUR, category="b"),
        web(NOON - 2 * HOUR, category="c"),
        web(NOON - HOUR, category=None),
        web(NOON - HOUR, category="d"),
        web(NOON, category="e"),
    )
    for category, first, last in [("a", 1, 0), ("b", 1, 0), ("c", 0, 0), ("d", 0, 1), ("e", 0, 0)]:
        assert it_holds("first_was", made, event="page", where=where("category", "is", category)) == bool(first)
        assert it_holds("last_was", made, event="page", where=where("category", "is", category)) == bool(last)
    assert it_holds("last_was", made, event="page", where=where("category", "is empty"))
    assert not it_holds("first_was", a_world(), event="page", where=where("category", "is empty"))
    both = where("category", "is", "a") + where("category", "is", "b")
    assert not it_holds("first_was", made, event="page", where=both)


def pair(first: datetime, second: datetime, **columns: Any) -> World:
    return with_web(web(first, "A", **columns), web(second, "B", **columns))


def test_then() -> None:
    at = NOON - 72 * HOUR
    names = {"first": "A", "second": "B"}
    assert it_holds("then", pair(at, at + US), **names)
    assert not it_holds("then", pair(at, at), **names)
    assert not it_holds("then", pair(at, at - US), **names)
    assert it_holds("then", pair(at, at + 48 * HOUR), **names, within="48 hours")
    assert not it_holds("then", pair(at, at + 48 * HOUR + US), **names, within="48 hours")
    assert it_holds("then", pair(at, at + 48 * HOUR), **names, within="2 days")
    assert not it_holds("then", pair(at, at + 48 * HOUR + US), **names, within="2 days")
    assert not it_holds("then", pair(at, NOON), **names)
    assert it_holds("then", pair(at, NOON - US), **names)
    assert it_holds("then", pair(at, at + HOUR), **names, started_within="72 hours")
    assert not it_holds("then", pair(at - US, at + HOUR), **names, started_within="72 hours")
    assert it_holds("then", pair(at - US, at + HOUR), **names, started_between=(None, "72 hours"))
    # A day is 24 hours here, also when the clocks change.
    forward = datetime(2026, 3, 28, 12)
    assert it_holds("then", pair(forward, forward + 24 * HOUR), **names, within="1 day")
    assert not it_holds("then", pair(forward, forward + 24 * HOUR + US), **names, within="1 day")


def test_then_of_one_event_needs_two_instants() -> None:
    assert not it_holds("then", with_web(web(NOON - HOUR), web(NOON - HOUR)), first="page", second="page")
    assert it_holds("then", with_web(web(NOON - HOUR), web(NOON - HOUR - US)), first="page", second="page")


def test_then_with_where_and_same() -> None:
    at = NOON - 5 * HOUR
    names = {"first": "A", "second": "B"}
    made = with_web(web(at, "A", product_id="P1", category="x"), web(at + HOUR, "B", product_id="P2"))
    assert it_holds("then", made, **names)
    assert not it_holds("then", made, **names, same="product_id")
    assert it_holds("then", made, **names, where_first=where("category", "is", "x"))
    assert not it_holds("then", made, **names, where_second=where("category", "is", "x"))
    made.web_events.append(web(at + 2 * HOUR, "B", product_id="P1"))
    assert it_holds("then", made, **names, same="product_id")
    assert not it_holds("then", made, **names, same="product_id", within="1 hour")
    assert not it_holds("then", pair(at, at + HOUR), **names, same="product_id")
    assert not it_holds("then", pair(at, at + HOUR, product_id=""), **names, same="product_id")


def test_then_not() -> None:
    at = NOON - 48 * HOUR
    names = {"first": "A", "second": "B"}
    alone = with_web(web(at, "A"))
    assert it_holds("then_not", alone, **names)
    assert it_holds("then_not", alone, **names, within="48 hours")  # over at as_of
    assert it_holds("then_not", alone, **names, within="2 days")
    assert not it_holds("then_not", with_web(web(at + US, "A")), **names, within="48 hours")  # not over yet
    assert not it_holds("then_not", alone, **names, within="3 days")
    assert not it_holds("then_not", pair(at, at), **names, within="1 hour")  # at its instant
    assert it_holds("then_not", pair(at, at - US), **names, within="1 hour")
    assert not it_holds("then_not", pair(at, at + HOUR), **names, within="1 hour")
    assert it_holds("then_not", pair(at, at + HOUR + US), **names, within="1 hour")
    assert not it_holds("then_not", pair(at, NOON - US), **names)
    assert it_holds("then_not", pair(at, NOON), **names)
    assert not it_holds("then_not", a_world(), **names)
    assert not it_holds("then_not", with_web(web(at, "B")), **names)
    assert it_holds("then_not", alone, **names, started_within="48 hours")
    assert not it_holds("then_not", alone, **names, started_between=(None, "48 hours"))


def test_then_not_of_one_of_several_firsts() -> None:
    made = with_web(web(NOON - 9 * HOUR, "A"), web(NOON - 8 * HOUR, "B"), web(NOON - 7 * HOUR, "A"))
    assert it_holds("then_not", made, first="A", second="B")
    made.web_events.append(web(NOON - HOUR, "B"))
    assert not it_holds("then_not", made, first="A", second="B")
    assert it_holds("then_not", made, first="A", second="B", within="2 hours")


def test_then_not_with_where_and_same() -> None:
    at = NOON - 5 * HOUR
    names = {"first": "A", "second": "B", "same": "product_id"}
    made = with_web(web(at, "A", product_id="P1"), web(at + HOUR, "B", product_id="P2"), web(at + HOUR, "B"))
    assert it_holds("then_not", made, **names)
    assert not it_holds("then_not", made, **names, where_first=where("product_id", "=", "P2"))
    made.web_events.append(web(at + HOUR, "B", product_id="P1", category="x"))
    assert not it_holds("then_not", made, **names)
    assert it_holds("then_not", made, **names, where_second=where("category", "is", "y"))
    assert not it_holds("then_not", with_web(web(at, "A", product_id=None)), **names)
    assert not it_holds("then_not", with_web(web(at, "A", product_id="")), **names)


def test_sequences() -> None:
    at = NOON - 10 * HOUR
    made = with_web(web(at, "A"), web(at + HOUR, "B"), web(at + 2 * HOUR, "C", category="x"))
    assert it_holds("sequence", made, steps=["A", "B", "C"])
    assert it_holds("sequence", made, steps=["A"])
    assert not it_holds("sequence", made, steps=["B", "A"])
    assert it_holds("sequence", made, steps=["A", "B", "C"], within="1 hour")  # from step to step
    assert not it_holds("sequence", made, steps=["A", "C"], within="1 hour")
    assert not it_holds("sequence", made, steps=["A", "A"])
    step = Call("step", {"event": "C", "where": where("category", "is", "x")})
    assert it_holds("sequence", made, steps=["A", step])
    other = Call("step", {"event": "C", "where": where("category", "is", "y")})
    assert not it_holds("sequence", made, steps=["A", other])
    assert it_holds("sequence", made, steps=["A", "C"], started_within="10 hours")
    assert not it_holds("sequence", made, steps=["A", "C"], started_within="9 hours")
    assert not it_holds("sequence", made, steps=["A", "C"], same="category")
    assert not it_holds("sequence", made, steps=["A"], same="category")
    assert it_holds("sequence", made, steps=["C"], same="category")
    tied = with_web(web(at, "A"), web(at, "B"), web(at + US, "C"))
    assert not it_holds("sequence", tied, steps=["A", "B", "C"])
    assert it_holds("sequence", tied, steps=["A", "C"])


def test_a_sequence_may_need_the_second_candidate() -> None:
    at = NOON - 10 * HOUR
    # The first B is soon enough after A, but C only after the second B.
    made = with_web(web(at, "A"), web(at + HOUR, "B"), web(at + 2 * HOUR, "B"), web(at + 4 * HOUR, "C"))
    assert it_holds("sequence", made, steps=["A", "B", "C"], within="2 hours")
    made = with_web(
        web(at, "A", product_id="P1"),
        web(at + HOUR, "B", product_id="P2"),
        web(at + HOUR, "B", product_id="P1"),
        web(at + 2 * HOUR, "C", product_id="P2"),
    )
    assert not it_holds("sequence", made, steps=["A", "B", "C"], same="product_id")
    made.web_events.append(web(at + 2 * HOUR, "C", product_id="P1"))
    assert it_holds("sequence", made, steps=["A", "B", "C"], same="product_id")


def test_machines_in_sequences() -> None:
    made = a_world()
    made.email_events = [mail(NOON - 2 * HOUR, "open", is_machine=True), mail(NOON - HOUR, "click")]
    assert not it_holds("sequence", made, steps=["Email Opened", "Email Clicked"])
    assert it_holds("sequence", made, steps=["Email Opened", "Email Clicked"], human=False)
    assert not it_holds("then", made, first="Email Opened", second="Email Clicked")
    assert it_holds("then", made, first="Email Opened", second="Email Clicked", human=False)


def test_regularly() -> None:
    # Weeks in Vienna: 9 to 15 June, 2 to 8 June, 26 May to 1 June.
    made = with_web(web(datetime(2026, 6, 8, 22)), web(datetime(2026, 6, 8, 22) - US), web(datetime(2026, 5, 25, 22)))
    assert it_holds("regularly", made, event="page", at_least=3, of=3)
    assert it_holds("regularly", made, event="page", at_least=2, of=2)
    assert not it_holds("regularly", made, event="page", at_least=3, of=2)
    made.web_events[2] = web(datetime(2026, 5, 25, 22) - US)
    assert not it_holds("regularly", made, event="page", at_least=3, of=3)
    assert it_holds("regularly", made, event="page", at_least=2, of=3)
    assert it_holds("regularly", made, event="page", at_least=3, of=4)
    # Days: 15 June; 14 June; the others are long ago.
    made = with_web(web(NOON - HOUR), web(NOON - 2 * HOUR), web(NOON - 24 * HOUR))
    assert it_holds("regularly", made, event="page", at_least=2, of=2, period="1 day")
    assert not it_holds("regularly", made, event="page", at_least=3, of=3, period="1 day")


def test_stopped() -> None:
    # The silent days: 17 May to 15 June. The active ones: 16 February (as_of_on - 119) to 16 May.
    last_active, first_active = datetime(2026, 5, 16, 22) - US, datetime(2026, 2, 15, 23)
    assert it_holds("stopped", with_web(web(last_active)), event="page")
    assert not it_holds("stopped", with_web(web(last_active + US)), event="page")
    assert not it_holds("stopped", with_web(web(last_active), web(NOON - US)), event="page")
    assert it_holds("stopped", with_web(web(last_active), web(NOON)), event="page")
    assert it_holds("stopped", with_web(web(first_active)), event="page")
    assert not it_holds("stopped", with_web(web(first_active - US)), event="page")
    assert not it_holds("stopped", a_world(), event="page")
    assert it_holds("stopped", with_web(web(last_active)), event="page", active="1 day")
    assert it_holds("stopped", with_web(web(datetime(2026, 6, 8, 22) - US)), event="page", silent="1 week")


def test_restarted() -> None:
    # Recent: 9 to 15 June. Silent: 10 April (as_of_on - 66) to 8 June. Before: until 9 April.
    recent, silent = datetime(2026, 6, 8, 22), datetime(2026, 4, 9, 22)
    assert it_holds("restarted", with_web(web(recent), web(silent - US)), event="page")
    assert not it_holds("restarted", with_web(web(recent), web(silent)), event="page")
    assert not it_holds("restarted", with_web(web(recent - US), web(silent - US)), event="page")
    assert not it_holds("restarted", with_web(web(recent), web(recent - US), web(silent - US)), event="page")
    assert not it_holds("restarted", with_web(web(recent)), event="page")
    assert not it_holds("restarted", with_web(web(silent - US)), event="page")
    assert it_holds("restarted", with_web(web(NOON - US), web(datetime(2000, 1, 1))), event="page")


def test_trends() -> None:
    # 17 May to 15 June; 17 April to 16 May.
    now, before = datetime(2026, 5, 16, 22), datetime(2026, 4, 16, 22)
    made = with_web(web(now), web(NOON - US), web(NOON - US), web(now - US), web(before), web(before - US))
    assert it_holds("trend", made, event="page", test="=", value=1.5)
    assert it_holds("trend", made, event="page", test="between", value=[1.5, 2])
    assert not it_holds("trend", made, event="page", test=">", value=1.5)
    assert not it_holds("trend", with_web(web(now)), event="page", test="!=", value=1)
    assert it_holds("trend", with_web(web(before)), event="page", test="=", value=0)
    made = a_world()
    made.orders = [order(now, 1, "0.30"), order(before, 2, "0.10"), order(before, 1, None)]
    args = {"event": "Order Placed", "aggregate": "sum"}
    assert it_holds("trend", made, **args, column="net_revenue", test=">=", value=2.9)
    assert it_holds("trend", made, **args, column="net_quantity", test="<", value=0.34)
    assert it_holds("trend", made, event="Order Placed", test="=", value=0.5)
    made.orders = [order(now), order(before, 1, "0.00")]
    assert not it_holds("trend", made, **args, column="net_revenue", test="!=", value=7)
    days = with_web(web(datetime(2026, 6, 14, 22)), web(datetime(2026, 6, 14, 22) - US))
    assert it_holds("trend", days, event="page", test="=", value=1, period="1 day")


# --- everybody else ---------------------------------------------------------------------------------------------------


def people(**values: Any) -> World:
    made = a_world()
    made.people = {name: {"x": value} for name, value in values.items()}
    return made


def those(made: World, name: str, **args: Any) -> set[str]:
    return {profile_id for profile_id in made.people if holds(Call(name, args), profile_id, made)}


def by_md5(*names: str) -> list[str]:
    return sorted(names, key=lambda name: hashlib.md5(name.encode(), usedforsecurity=False).hexdigest())


def test_percents() -> None:
    made = people(a=1, b=2, c=3, d=4, e=5, f=6, g=7, h=8, i=9, j=10, k=None)
    assert those(made, "top_percent", property="x", percent=10) == {"j"}
    assert those(made, "top_percent", property="x", percent=10.1) == {"j", "i"}
    assert those(made, "top_percent", property="x", percent=1) == {"j"}
    assert those(made, "top_percent", property="x", percent=0) == set()
    assert those(made, "top_percent", property="x", percent=30) == {"j", "i", "h"}
    assert those(made, "bottom_percent", property="x", percent=30) == {"a", "b", "c"}
    assert those(made, "top_percent", property="x", percent=100) == set("abcdefghij")
    among = [Call("prop", {"name": "x", "test": "<=", "value": 4})]
    assert those(made, "top_percent", property="x", percent=25, among=among) == {"d"}
    assert those(made, "bottom_percent", property="x", percent=50, among=among) == {"a", "b"}


def test_percents_keep_equals_together() -> None:
    made = people(a=5, b=5, c=5, d=1, e=0.5)
    assert those(made, "top_percent", property="x", percent=1) == {"a", "b", "c"}
    assert those(made, "top_percent", property="x", percent=60) == {"a", "b", "c"}
    assert those(made, "top_percent", property="x", percent=61) == {"a", "b", "c", "d"}
    assert those(made, "bottom_percent", property="x", percent=40) == {"d", "e"}
    assert those(made, "bottom_percent", property="x", percent=41) == {"a", "b", "c", "d", "e"}


def test_first_n() -> None:
    made = people(a=1, b=2, c=2, d=2, e=3, f=None)
    tied = by_md5("b", "c", "d")
    assert those(made, "top_n", property="x", n=1) == {"e"}
    assert those(made, "top_n", property="x", n=2) == {"e", tied[0]}
    assert those(made, "top_n", property="x", n=3) == {"e", *tied[:2]}
    assert those(made, "bottom_n", property="x", n=2) == {"a", tied[0]}
    assert those(made, "bottom_n", property="x", n=99) == set("abcde")
    among = [Call("prop", {"name": "x", "test": "<", "value": 3})]
    assert those(made, "top_n", property="x", n=1, among=among) == {tied[0]}


def test_nesting() -> None:
    yes, no = where("x", "=", 1)[0], where("x", "!=", 1)[0]
    made = a_world(x=1)
    for conditions, every, some, none, two in [
        ([yes, yes], 1, 1, 0, 1),
        ([yes, no], 0, 1, 0, 0),
        ([no, no], 0, 0, 1, 0),
    ]:
        assert it_holds("all_of", made, conditions=conditions) == bool(every)
        assert it_holds("any_of", made, conditions=conditions) == bool(some)
        assert it_holds("none_of", made, conditions=conditions) == bool(none)
        assert it_holds("n_of", made, n=2, conditions=conditions) == bool(two)
        assert it_holds("n_of", made, n=1, conditions=conditions) == bool(some)
    nested = Call("none_of", {"conditions": [Call("all_of", {"conditions": [yes, no]})]})
    assert it_holds("any_of", made, conditions=[no, nested])


# --- membership and its history ---------------------------------------------------------------------------------------


def member(*stays: tuple[datetime, datetime | None], as_of: datetime = NOON, name: str = "seg") -> World:
    made = a_world(as_of, x=1)
    made.membership_history = [
        {"profile_id": "p", "segment_name": name, "entered_at": entered_at, "left_at": left_at}
        for entered_at, left_at in stays
    ]
    made.own_segment = "seg"
    return made


def test_in_segment() -> None:
    made = a_world()
    made.memberships = {"seg": {"p"}, "other": {"q"}}
    assert it_holds("in_segment", made, name="seg")
    assert not it_holds("in_segment", made, name="other")


def test_entered_and_left() -> None:
    at = NOON - 48 * HOUR
    assert it_holds("entered", member((at, None)), name="seg", within="48 hours")
    assert not it_holds("entered", member((at - US, None)), name="seg", within="48 hours")
    assert not it_holds("entered", member((NOON, None)), name="seg", within="48 hours")
    assert not it_holds("entered", member((at, None)), name="other", within="48 hours")
    assert it_holds("entered", member((at, at + HOUR)), name="seg", within="48 hours")
    assert it_holds("entered", member((datetime(2026, 6, 8, 22), None)), name="seg", within="7 days")
    assert not it_holds("entered", member((datetime(2026, 6, 8, 22) - US, None)), name="seg", within="7 days")
    assert it_holds("left", member((at - HOUR, at)), name="seg", within="48 hours")
    assert not it_holds("left", member((at - HOUR, at - US)), name="seg", within="48 hours")
    assert not it_holds("left", member((at, NOON)), name="seg", within="48 hours")
    assert not it_holds("left", member((at, None)), name="seg", within="48 hours")


def test_has_been_in() -> None:
    at = NOON - 48 * HOUR
    assert it_holds("has_been_in", member((at, None)), name="seg", at_least="48 hours")
    assert not it_holds("has_been_in", member((at + US, None)), name="seg", at_least="48 hours")
    assert it_holds("has_been_in", member((at, NOON)), name="seg", at_least="48 hours")
    assert not it_holds("has_been_in", member((at, NOON - US)), name="seg", at_least="48 hours")
    assert not it_holds("has_been_in", member((at, at + HOUR), (at + 2 * HOUR, None)), name="seg", at_least="47 hours")
    # as_of_on - 30 is 16 May.
    assert it_holds("has_been_in", member((datetime(2026, 5, 16, 22) - US, None)), name="seg", at_least="30 days")
    assert not it_holds("has_been_in", member((datetime(2026, 5, 16, 22), None)), name="seg", at_least="30 days")


def test_was_in() -> None:
    as_of = datetime(2026, 3, 30, 10)
    begins = datetime(2026, 3, 28, 23)  # 29 March in Vienna
    ends = datetime(2026, 3, 29, 22)
    made = member((begins, ends), as_of=as_of)
    assert it_holds("was_in", made, name="seg", on="2026-03-29")
    assert not it_holds("was_in", made, name="seg", on="2026-03-30")
    assert not it_holds("was_in", made, name="seg", on="2026-03-28")
    assert it_holds("was_in", member((begins, ends + US), as_of=as_of), name="seg", on="2026-03-30")
    assert not it_holds("was_in", member((begins + US, ends), as_of=as_of), name="seg", on="2026-03-29")
    assert it_holds("was_in", member((begins, as_of), as_of=as_of), name="seg", on="2026-03-30")
    assert not it_holds("was_in", member((begins, None), as_of=as_of), name="seg", on="2026-03-31")


def test_has_been_in_stage() -> None:
    at = NOON - 48 * HOUR
    made = a_world()

    def moved(when: datetime, stage: str, vocabulary: str = "customer_stage") -> Row:
        return {"profile_id": "p", "vocabulary": vocabulary, "to_stage": stage, "transitioned_at": when}

    args = {"vocabulary": "customer_stage", "stage": "lapsed"}
    made.transitions = [moved(at - HOUR, "active"), moved(at, "lapsed"), moved(NOON, "active")]
    assert it_holds("has_been_in_stage", made, **args, at_least="48 hours")
    assert not it_holds("has_been_in_stage", made, **args, at_least="49 hours")
    made.transitions.append(moved(NOON - US, "active", "journey_stage"))
    assert it_holds("has_been_in_stage", made, **args, at_least="48 hours")
    made.transitions.append(moved(NOON - US, "active"))
    assert not it_holds("has_been_in_stage", made, **args, at_least="48 hours")
    assert not it_holds("has_been_in_stage", a_world(), **args, at_least="1 hour")
    made.transitions = [moved(datetime(2026, 5, 16, 22) - US, "lapsed")]
    assert it_holds("has_been_in_stage", made, **args, at_least="30 days")
    assert not it_holds("has_been_in_stage", made, **args, at_least="31 days")


def test_hysteresis() -> None:
    yes, no = where("x", "=", 1)[0], where("x", "!=", 1)[0]
    inside, outside = member((NOON - HOUR, None)), member((NOON - 2 * HOUR, NOON - HOUR))
    assert it_holds("hysteresis", outside, enter=yes, leave=yes)
    assert not it_holds("hysteresis", outside, enter=no, leave=no)
    assert it_holds("hysteresis", inside, enter=no, leave=no)
    assert not it_holds("hysteresis", inside, enter=no, leave=yes)
    assert it_holds("hysteresis", member((NOON - HOUR, NOON)), enter=no, leave=no)
    assert not it_holds("hysteresis", member((NOON, None)), enter=no, leave=no)
    assert not it_holds("hysteresis", member((NOON - HOUR, None), name="other"), enter=no, leave=no)


# --- segments ---------------------------------------------------------------------------------------------------------


def test_members() -> None:
    made = people(a=1, b=2, c=2, d=2, e=3, f=None)

    def x(test: str, value: Any = None) -> Call:
        return Call("prop", {"name": "x", "test": test, "value": value})

    assert members({"all_of": [x(">=", 2)]}, made) == set("bcde")
    assert members({"all_of": [x(">=", 2), x("<", 3)]}, made) == set("bcd")
    assert members({"any_of": [x("=", 1), x("=", 3)]}, made) == set("ae")
    assert members({"none_of": [x("=", 2)]}, made) == set("aef")
    assert members({"all_of": [x("is not empty")], "any_of": [], "none_of": [x("=", 2)]}, made) == set("ae")
    everyone = {"none_of": [x(">", 99)], "by": "x"}
    tied = by_md5("b", "c", "d")
    assert members(everyone | {"capacity": 3}, made) == {"e", *tied[:2]}
    assert members(everyone | {"capacity": 2, "smallest_first": True}, made) == {"a", tied[0]}
    assert members(everyone | {"capacity": 5}, made) == set("abcde")  # unknown last
    assert members(everyone | {"capacity": 5, "smallest_first": True}, made) == set("abcde")
    assert members(everyone | {"capacity": 6}, made) == set("abcdef")
    assert members(everyone | {"capacity": 0}, made) == set()


def test_capacity_orders_the_unknown_too() -> None:
    made = people(a=None, b=None, c=None)
    assert members({"capacity": 1, "by": "x"}, made) == {by_md5("a", "b", "c")[0]}


# --- worlds and conditions --------------------------------------------------------------------------------------------


def test_every_kind_is_made() -> None:
    assert set(KINDS) == set(CONDITIONS)


def test_a_world_is_the_same_twice() -> None:
    assert world(7, 12) == world(7, 12)
    assert world(7, 12) != world(8, 12)
    one, two = random.Random(3), random.Random(3)
    assert [condition(one, PROPERTIES) for _ in range(50)] == [condition(two, PROPERTIES) for _ in range(50)]


def test_worlds_are_sound() -> None:
    for seed in range(30):
        made = world(seed, 12)
        for rows, key, at, on in [
            (made.web_events, "web_event_id", "occurred_at", "occurred_on"),
            (made.email_events, "email_event_id", "occurred_at", "occurred_on"),
            (made.orders, "order_id", "ordered_at", "ordered_on"),
            (made.order_lines, "order_line_id", "ordered_at", "ordered_on"),
        ]:
            assert len({row[key] for row in rows}) == len(rows)
            linked: dict[Any, set[Any]] = {}
            for row in rows:
                assert row[on] == local_day(row[at], made.time_zone)
                linked.setdefault(row["identifier_value"], set()).add((row["linked_at"], row["profile_id"]))
            assert all(len(found) == 1 for found in linked.values())
        for placed in made.orders:
            lines = [line for line in made.order_lines if line["order_id"] == placed["order_id"]]
            assert sum(line["net_quantity"] for line in lines) == placed["net_quantity"]
            assert sum(line["net_revenue"] for line in lines) == placed["net_revenue"]
            assert {line["known_at"] for line in lines} == {placed["known_at"]}


def test_conditions_agree_with_each_other() -> None:
    for seed in range(25):
        made = world(seed, 10)
        rng = random.Random(seed)
        for _ in range(40):
            one = condition(rng, PROPERTIES, at=made)
            found = [holds(one, profile_id, made) for profile_id in made.people]
            assert all(isinstance(value, bool) for value in found)
            if one.name == "did_not":
                assert found == [not holds(Call("did", one.args), profile_id, made) for profile_id in made.people]
            if one.name == "then" and not one.args.get("same"):
                steps = [
                    Call("step", {"event": one.args[key], "where": one.args.get(f"where_{key}")})
                    for key in ("first", "second")
                ]
                rest = {key: value for key, value in one.args.items() if not key.startswith(("first", "second", "whe"))}
                chain = Call("sequence", {"steps": steps} | rest)
                assert found == [holds(chain, profile_id, made) for profile_id in made.people]
            if one.name == "stopped" and any(found):
                lately = Call("did", {"within": "30 days"} | one.args | {"within": one.args.get("silent", "30 days")})
                assert not any(holds(lately, who, made) for who, true in zip(made.people, found, strict=True) if true)
        assert members(definition(rng, PROPERTIES, made), made) <= set(made.people)


# --- as text ----------------------------------------------------------------------------------------------------------


def test_jinja_by_hand() -> None:
    assert as_jinja(Call("did", {"event": "Product Viewed", "within": "48 hours"})) == (
        "did('Product Viewed', within='48 hours')"
    )
    assert as_jinja(
        Call(
            "did", {"event": "page", "between": (None, "30 days"), "where": where("category", "is", "x"), "at_most": 1}
        )
    ) == ("did('page', between=(none, '30 days'), where=[prop('category', 'is', 'x')], at_most=1)")
    assert as_jinja(Call("prop", {"name": "x", "test": "is empty"})) == "prop('x', 'is empty')"
    assert as_jinja(Call("sequence", {"steps": ["A", Call("step", {"event": "B"})], "human": False})) == (
        "sequence(['A', step('B')], human=false)"
    )
    assert as_jinja(Call("n_of", {"n": 1, "conditions": [Call("can_receive", {"channel": "sms"})]})) == (
        "n_of(1, [can_receive(channel='sms')])"
    )
    assert quoted('it\'s \\ "ü"\n') == "'it\\'s \\\\ \"ü\"\\n'"
    assert literal([True, False, None, 1, 1.5, 0.00001, 100.0, Decimal("0.30"), -1, ("x",)]) == (
        "[true, false, none, 1, 1.5, 0.00001, 100.0, 0.30, -1, ('x',)]"
    )


def test_jinja_reads_what_is_written() -> None:
    jinja2 = pytest.importorskip("jinja2")
    read: list[Any] = []
    environment = jinja2.Environment()
    environment.globals["keep"] = lambda value: read.append(value) or ""
    names = [*CONDITIONS, "step"]
    for name in names:
        environment.globals[name] = lambda *given, _name=name, **named: (_name, given, named)

    def flat(value: Any) -> Any:
        """What a call becomes when its macro returns its name and its arguments."""
        if isinstance(value, Call):
            _, given, named = evaluated(value)
            return (value.name, given, named)
        if isinstance(value, list):
            return [flat(one) for one in value]
        return value

    def evaluated(call: Call) -> tuple[str, tuple[Any, ...], Row]:
        values = {name: flat(value) for name, value in call.args.items()}
        first = []
        for name in POSITIONAL.get(call.name, ("event",)):
            if name not in values:
                break
            first.append(values.pop(name))
        return (call.name, tuple(first), values)

    rng = random.Random(1)
    for _ in range(600):
        one = condition(rng, PROPERTIES)
        read.clear()
        environment.from_string("{{ keep(" + as_jinja(one) + ") }}").render()
        assert read == [evaluated(one)]
    for text in ["it's", 'say "hi"', "a\\b", "\\n", "\n\t\r", "日本 🙂", "{{ x }}", "{% x %}", "#}", "\\'"]:
        read.clear()
        environment.from_string("{{ keep(" + quoted(text) + ") }}").render()
        assert read == [text]

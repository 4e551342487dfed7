"""No telephone is printed, and no other number is lost with it."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, timezone
from uuid import UUID

import phonenumbers
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from warehouse.telephones import without_telephones

FORMATS = phonenumbers.PhoneNumberFormat
EXAMPLES = [
    number
    for region in sorted(phonenumbers.SUPPORTED_REGIONS)
    for kind in (phonenumbers.PhoneNumberType.MOBILE, phonenumbers.PhoneNumberType.FIXED_LINE)
    for number in [phonenumbers.example_number_for_type(region, kind)]
    if number
]
"""A mobile and a fixed number of every numbering plan."""


@pytest.mark.parametrize("style", [FORMATS.E164, FORMATS.INTERNATIONAL, FORMATS.RFC3966])
def test_numbers_of_every_country_with_their_code(style: int) -> None:
    assert len(EXAMPLES) > 400
    left = [text for text in (phonenumbers.format_number(n, style) for n in EXAMPLES) if _digits(f"from {text}: {{}}")]
    assert left == []


def test_numbers_of_every_country_with_00_in_front() -> None:
    texts = [phonenumbers.format_number(n, FORMATS.INTERNATIONAL).replace("+", "00") for n in EXAMPLES]
    assert [text for text in texts if _digits(f"call {text}, please")] == []


@pytest.mark.parametrize("name", ["phone='{}'", "raw_phone: {}", "Tel. {}", '"mobile": "{}"', "Telefonnummer {}"])
def test_what_is_called_a_telephone_is_one(name: str) -> None:
    bare = [str(n.national_number) for n in EXAMPLES if len(str(n.national_number)) >= 7]
    assert [text for text in bare if _digits(name.format(text))] == []


@pytest.mark.parametrize(
    "text",
    [
        "0151 12345678", "0151/12345678", "0151-1234567", "(0151) 1234 5678", "01511234567", "(030) 901820",
        "030 901820", "020 7946 0958", "06 12 34 56 78", "06.12.34.56.78", "(212) 555-0123", "212-555-0123",
        "212.555.0123", "1-800-555-1212", "+49 (0)151 123-45678", "+49\u00a0151\u00a012345678",
        "+49\u2011151\u201112345678",
        "(+49) 151 1234567", "0049 151 12345678", "004915112345678", "+1 (212) 555-0123 x 12",
    ],
)  # fmt: skip
def test_as_people_type_them(text: str) -> None:
    for around in ("{}", "from {}.", "({})", "'{}', 12", "at 10:00 {}; 3 rows", "value={}"):
        said = without_telephones(around.format(text))
        assert said.count("[telephone]") == 1, said
        assert not re.search(r"\d{3}", said), said


def test_one_after_the_other_none_is_left() -> None:
    text = "0151 12345678 0151/12345678 +49 151 12345678 01511234567 (030) 901820 +4915112345678"
    assert not re.search(r"\d", without_telephones(text))


def test_what_follows_a_telephone_stays() -> None:
    assert without_telephones("+4915112345678 12 rows") == "[telephone] 12 rows"
    assert without_telephones("+1 415 555 0123 2026-11-22 10:00:00") == "[telephone] 2026-11-22 10:00:00"
    assert without_telephones("0151 12345678, 1,234 rows") == "[telephone], 1,234 rows"


def test_a_date_beside_the_word_is_no_telephone() -> None:
    text = "raw.crm_contacts.phone 2026-11-22 10:00:00; 12,345,678 of phone: 1,234,567 rows"
    assert without_telephones(text) == text


def _digits(text: str) -> bool:
    return re.search(r"\d{2}", without_telephones(text)) is not None


INSTANTS = st.datetimes(datetime(1990, 1, 1), datetime(2040, 1, 1))
ZONES = st.sampled_from([None, UTC, timezone(timedelta(hours=2)), timezone(timedelta(hours=-3, minutes=-30))])
WORDS = st.sampled_from(["raw.crm_contacts", "rows", "of", "in", "took", "id", "load", "→", "phones"])
NUMBERS = st.one_of(
    st.integers(0, 10**12).map("{:,}".format),
    st.integers(0, 10**12).map(lambda n: f"{n:,}".replace(",", ".")),
    st.integers(0, 10**18).map(str),
    st.decimals(0, 10**7, places=2).map("{:,}".format),
    st.floats(0, 1).map(str),
    st.builds(lambda at, zone: at.replace(tzinfo=zone).isoformat(), INSTANTS, ZONES),
    st.builds(lambda at, zone: at.replace(tzinfo=zone).isoformat(" ", "seconds"), INSTANTS, ZONES),
    INSTANTS.map(lambda at: at.strftime("%Y%m%dT%H%M%S")),
    INSTANTS.map(lambda at: at.strftime("%Y%m%d%H%M%S%f")),
    INSTANTS.map(lambda at: at.strftime("%d.%m.%Y %H:%M:%S")),
    INSTANTS.map(lambda at: at.strftime("%m/%d/%Y")),
    st.dates(date(1990, 1, 1), date(2040, 1, 1)).map(date.isoformat),
    st.builds("{}.{}.{}".format, st.integers(0, 99), st.integers(0, 99), st.integers(0, 9999)),
    st.timedeltas(timedelta(0), timedelta(days=300)).map(str),
    st.integers(0, 10**5).map("{} s".format),
    st.uuids().map(str),
    st.integers(0, 2**128 - 1).map(lambda n: str(UUID(int=n))),
    st.integers(0, 2**128 - 1).map("{:032x}".format),
    st.integers(0, 10**10).map("K{:010d}".format),
    st.builds("10.{}.{}.{}:{}".format, *[st.integers(0, 255)] * 3, st.integers(1, 65535)),
)


@settings(max_examples=500, deadline=None)
@given(
    parts=st.lists(st.tuples(WORDS, NUMBERS), min_size=1, max_size=6), comma=st.sampled_from([" ", ", ", ": ", " ("])
)
def test_other_numbers_stay(parts: list[tuple[str, str]], comma: str) -> None:
    text = comma.join(f"{word} {number}" for word, number in parts)
    assert without_telephones(text) == text

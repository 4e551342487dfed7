"""Telephone numbers: one form per number, valid by numbering plans, nothing guessed."""

from __future__ import annotations

import phonenumbers
import pytest

from ingest.phones import known_regions, normalize_phone


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        ("+44 (0)20 7946 0958", "+442079460958"),
        ("0044 20 7946 0958", "+442079460958"),
        ("020 7946 0958", "+442079460958"),
        ("020-7946-0958 ext. 12", "+442079460958"),
        ("+1 (212) 555-0199 ext. 12", "+12125550199"),
        ("tel:+1-212-555-0199", "+12125550199"),
        ("٠٢٠٧٩٤٦٠٩٥٨", "+442079460958"),
        ("＋４４ ２０ ７９４６ ０９５８", "+442079460958"),
        ("+39 06 6982 0458", "+390669820458"),  # in Italy the zero is dialled from abroad too
        ("+800 2468 1357", "+80024681357"),
    ],
)
def test_phones(raw: str, value: str) -> None:
    assert normalize_phone(raw, regions=["GB"]).value == value
    assert normalize_phone(value).value == value, "a normal form is its own, wherever it is read"


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (" ", "empty"),
        ("call me", "characters that no number has"),
        ("020 7946 0958 or 020 7946 0959", "characters that no number has"),
        ("0800 FLOWERS", "characters that no number has"),
        ("12", "wrong number of digits"),
        ("+", "wrong number of digits"),
        ("+1 212 555 0199 0199 0199", "wrong number of digits"),
        ("020 7946 0958 / 020 7946 0959", "wrong number of digits"),
        ("+44 0000000000", "placeholder"),
        ("1111111", "placeholder"),
        ("+1 (212) 123-4567", "placeholder"),
        ("+12345678901", "placeholder"),
        ("987 654 3210", "placeholder"),
        ("+999 5550 1234", "unknown country code"),
        ("+44 7700 900123", "not in the numbering plan"),  # Ofcom keeps it for films
        ("(212) 555-0199", "not in the numbering plan"),
    ],
)
def test_invalid_phones_say_why_in_fixed_words(raw: str, reason: str) -> None:
    found = normalize_phone(raw, regions=["GB"])
    assert (found.value, found.is_valid, found.reason) == (None, False, reason)


def test_a_national_number_without_a_region_stays_invalid() -> None:
    assert normalize_phone("020 7946 0958").reason == "no country code"


def test_several_regions_take_what_fits_one_and_guess_nothing() -> None:
    assert normalize_phone("020 7946 0958", regions=["US", "GB"]).value == "+442079460958"
    assert normalize_phone("(212) 555-0199", regions=["US", "GB"]).value == "+12125550199"
    assert normalize_phone("(212) 555-0199", regions=["US", "CA"]).value == "+12125550199", "one number of one plan"
    for region, value in (("DE", "+4930901820"), ("IT", "+39030901820")):
        assert normalize_phone("030 901820", regions=[region]).value == value
    assert normalize_phone("030 901820", regions=["DE", "IT"]).reason == "valid in several regions"
    assert normalize_phone("+49 30 901820", regions=["DE", "IT"]).value == "+4930901820"


def test_an_example_of_every_numbering_plan() -> None:
    """The library's own examples: abroad, at home, and typed with what people put between."""
    n_checked = 0
    for region in sorted(known_regions()):
        for kind in (phonenumbers.PhoneNumberType.FIXED_LINE, phonenumbers.PhoneNumberType.MOBILE):
            number = phonenumbers.example_number_for_type(region, kind)
            value = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164) if number else ""
            if not value or normalize_phone(value).reason == "placeholder":
                continue
            n_checked += 1
            assert normalize_phone(value).value == value
            for layout in (phonenumbers.PhoneNumberFormat.INTERNATIONAL, phonenumbers.PhoneNumberFormat.RFC3966):
                assert normalize_phone(phonenumbers.format_number(number, layout)).value == value
            national = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.NATIONAL)
            assert normalize_phone(national, regions=[region]).value == value, (region, national)
    assert n_checked > 250

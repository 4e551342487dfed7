"""What holds for any text: one form per identifier, reached in one step, and no kind taken for another."""

from __future__ import annotations

import unicodedata

from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from ingest.domains import mailbox, providers
from ingest.emails import normalize_email
from ingest.normalize import normalize_values
from ingest.options import NormalizeOptions
from ingest.phones import normalize_phone

ATEXT = "abcXYZ019!#$%&'*+-/=?^_`{|}~"
LETTERS = "abzABZ09äÖßñÉçøŁİıσςΣДжאبप田𠮷"
DOMAINS = ["example.com", "Gmail.com", "googlemail.com", "outlook.com", "proton.me", "yahoo.com", "bücher.example.org"]
COUNTRIES = {"US": "+1212555", "GB": "+4420794", "DE": "+493090", "IT": "+390612"}

atoms = st.text(ATEXT + LETTERS, min_size=1, max_size=10)
names = st.lists(atoms, min_size=1, max_size=3).map(".".join)
addresses = st.builds("{}@{}".format, names, st.sampled_from(DOMAINS) | st.sampled_from(sorted(providers())))
texts = st.text(max_size=40)
numbers = st.builds(
    "{}{}".format,
    st.sampled_from(sorted(COUNTRIES.values())) | st.just(""),
    st.text("0123456789", min_size=4, max_size=6),
)
blanks = st.text(" \t\r\n\u00a0\u200b\ufeff\u2060", max_size=3)
many = hypothesis_settings(max_examples=300, deadline=None, derandomize=True)


@many
@given(addresses | texts, st.booleans(), st.booleans())
@example("İ@example.com", False, True)
@example("ΑΣ@example.com", False, False)
@example("<'mailto:<ann@example.com>'>", False, False)
def test_a_normal_address_is_its_own(raw: str, provider_rules: bool, lower_local: bool) -> None:
    found = normalize_email(raw, provider_rules=provider_rules, lower_local=lower_local)
    if found.value is None or found.identity is None:
        assert found.reason
        return
    again = normalize_email(found.value, provider_rules=provider_rules, lower_local=lower_local)
    assert again == found
    assert mailbox(mailbox(found.value)) == mailbox(found.value)
    # what stands for a mailbox is an address at it
    deeper = normalize_email(found.identity, provider_rules=provider_rules, lower_local=lower_local)
    assert (deeper.value, deeper.identity) == (found.identity, found.identity)


@many
@given(addresses, blanks, blanks)
def test_what_stands_around_an_address_makes_no_other(address: str, before: str, after: str) -> None:
    plain = normalize_email(address)
    for dressed in (address, f"<{address}>", f'"{address}"', f"<{before}{address}{after}>"):
        assert normalize_email(f"{before}{dressed}{after}") == plain
    for form in ("NFC", "NFD"):
        assert normalize_email(unicodedata.normalize(form, address)) == plain
    # in a link, what would end the address is written in percent
    link = address.replace("%", "%25").replace("?", "%3F")
    for scheme in ("mailto:", "MailTo:", " mailto: "):
        assert normalize_email(f"{scheme}{link}{after}") == plain
        assert normalize_email(f"{scheme}{link}?subject=a@b.com") == plain


@many
@given(addresses)
def test_case_makes_no_other_address(address: str) -> None:
    plain = normalize_email(address)
    local, _, domain = address.rpartition("@")
    assert normalize_email(f"{local}@{domain.upper()}") == normalize_email(f"{local}@{domain.lower()}") == plain
    assert normalize_email(address.lower()) == plain
    # 'ß', 'ı', 'ς' and their like have a capital that is another letter's: a mailbox of its own
    if local.lower() == local.upper().lower():
        assert normalize_email(f"{local.upper()}@{domain}") == plain


@many
@given(numbers | texts, st.lists(st.sampled_from(sorted(COUNTRIES)), unique=True, max_size=3))
def test_a_normal_number_is_its_own(raw: str, regions: list[str]) -> None:
    found = normalize_phone(raw, regions=regions)
    if found.value is None:
        assert found.reason
        return
    for others in ([], regions, ["JP"]):
        assert normalize_phone(found.value, regions=others) == found


@many
@given(numbers, st.sampled_from([" ", "-", ".", " - "]), st.integers(3, 5), blanks)
def test_how_a_number_is_written_makes_no_other(number: str, sign: str, width: int, around: str) -> None:
    around = around.replace("\u200b", "").replace("\u2060", "").replace("\ufeff", "")
    plain = normalize_phone(number, regions=["GB"])
    spaced = sign.join(number[start : start + width] for start in range(0, len(number), width))
    for written in (number, spaced, f"tel:{number}", f"{number} ext. 7", number.replace("+", "00", 1)):
        assert normalize_phone(f"{around}{written}{around}", regions=["GB"]) == plain


@many
@given(addresses | numbers | texts | st.builds("{} <{}>".format, texts, addresses))
@example("+1@example.com")
@example("+12125550199")
def test_kinds_never_mix(raw: str) -> None:
    email, phone = normalize_email(raw, provider_rules=True), normalize_phone(raw, regions=["US", "GB"])
    assert email.value is None or phone.value is None
    for value in (email.value, email.identity):
        assert value is None or value.count("@") == 1
    assert phone.value is None or (phone.value[0] == "+" and phone.value[1:].isascii() and phone.value[1:].isdigit())


@many
@given(texts)
def test_any_text_has_an_answer_that_never_quotes_it(raw: str) -> None:
    for found in (normalize_email(raw), normalize_phone(raw, regions=["GB"])):
        assert found.is_valid == (found.value is not None) == (found.reason is None)
        assert found.reason is None or len(raw) < 4 or raw not in found.reason


@many
@given(st.lists(addresses | numbers | st.text(st.characters(exclude_categories=["Cs"]), max_size=20), max_size=8))
def test_rows_are_what_single_values_are(raw: list[str]) -> None:
    """In a table, each row is its own value's, whatever stands beside it."""
    options = NormalizeOptions(provider_rules=True, phone_regions=("GB",))
    for kind in ("email", "phone"):
        rows = normalize_values(kind, raw, options).to_pylist()
        assert [row["raw_value"] for row in rows] == raw
        for row in rows:
            assert normalize_values(kind, [row["raw_value"]], options).to_pylist() == [row]
            assert row["is_valid"] == (row["normalized_value"] is not None) == (row["identity_value"] is not None)

"""E-mail addresses: grammar, one form per address, providers' rules, domains to throw away."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from email_validator import SPECIAL_USE_DOMAIN_NAMES

from ingest.domains import is_disposable, mailbox, providers
from ingest.emails import normalize_email


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        ("Ann.Lee@Example.COM", "ann.lee@example.com"),
        ("  ann@example.com\n", "ann@example.com"),
        ("<Ann@example.com>", "ann@example.com"),
        ("'ann@example.com'", "ann@example.com"),
        ("mailto:ann@example.com", "ann@example.com"),
        ("MAILTO:ann%2Bshop@example.com?subject=hello", "ann+shop@example.com"),
        ("<mailto:ann@example.com>", "ann@example.com"),
        ("mailto:<ann@example.com>", "ann@example.com"),
        ("a\u200bnn@example.com", "ann@example.com"),
        ("an\u200b\u200dn@example.com", "ann@example.com"),
        ("ann＠example。com", "ann@example.com"),
        ("ann+shop@example.com", "ann+shop@example.com"),
        ("STRASSE@example.com", "strasse@example.com"),
        ("straße@example.com", "straße@example.com"),
        ("E\u0301mile@example.com", "émile@example.com"),
    ],
)
def test_emails(raw: str, value: str) -> None:
    found = normalize_email(raw)
    assert (found.value, found.identity, found.is_valid, found.reason) == (value, value, True, None)
    assert normalize_email(value).value == value, "a normal form is its own"


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("", "empty"),
        ("mailto:", "empty"),
        ("ann", "no @ sign"),
        ("ann@localhost", "not a full domain"),
        ("ann@mail.test", "reserved domain"),
        ("ann..lee@example.com", "misplaced period"),
        ("@example.com", "nothing before the @"),
        ("ann@", "nothing after the @"),
        ("Ann Lee <ann@example.com>", "display name around the address"),
        ("Ann Lee <ann@example.com> (home)", "text around the address"),
        ('"ann lee"@example.com', "quoted local part"),
        ("ann@-example.com", "misplaced hyphen"),
        ("ann@[192.0.2.1]", "domain that is not allowed"),
        ("ann\u2029lee@example.com", "characters that are not allowed"),
        ("a" * 70 + "@example.com", "too long"),
        ("ann@exa mple.com", "domain that is not allowed"),
        ("ann@xn--a.de", "domain that is not allowed"),
        ("ann@☃.net", "domain that is not allowed"),
        ("a\ud800nn@example.com", "characters that are not allowed"),
        ("a\x00nn@example.com", "characters before the @ that are not allowed"),
        ("mailto:ann%FF@example.com", "not an address"),
    ],
)
def test_invalid_emails_say_why_in_fixed_words(raw: str, reason: str) -> None:
    found = normalize_email(raw)
    assert (found.value, found.identity, found.is_valid, found.reason) == (None, None, False, reason)


@pytest.mark.parametrize(
    ("unicode", "ascii_only"),
    [
        ("bücher.example.com", "xn--bcher-kva.example.com"),
        ("BÜCHER.example.com", "XN--BCHER-KVA.Example.com"),
        ("bu\u0308cher.example.com", "xn--bcher-kva.example.com"),
        ("faß.de", "xn--fa-hia.de"),  # IDNA 2008: not fass.de
        ("παράδειγμα.gr", "xn--hxajbheg2az3al.gr"),
        ("例え。jp", "xn--r8jz45g.jp"),
    ],
)
def test_a_domain_is_one_in_both_of_its_spellings(unicode: str, ascii_only: str) -> None:
    value = normalize_email(f"ann@{unicode}").value
    assert value == normalize_email(f"ann@{ascii_only}").value == f"ann@{ascii_only.lower()}"


def test_a_joiner_that_counts_is_not_taken_out() -> None:
    """Without it the address would be somebody's at another domain; with it, the grammar's word holds for both."""
    with_joiner, in_ascii = "ann@نامه\u200cای.com", "ann@xn--mgba3gch31f060k.com"
    assert normalize_email(with_joiner) == normalize_email(in_ascii)
    assert normalize_email("ann@نامهای.com").is_valid


def test_options_of_emails() -> None:
    assert normalize_email("Ann@Example.com", lower_local=False).value == "Ann@example.com"
    assert normalize_email("No-Reply+1@example.com").is_role
    assert not normalize_email("noreply.ann@example.com").is_role


@pytest.mark.parametrize(
    ("raw", "identity"),
    [
        ("A.n.n+Shop@GoogleMail.com", "ann@gmail.com"),
        ("ann@gmail.com", "ann@gmail.com"),
        ("a.nn+x@outlook.com", "a.nn@outlook.com"),
        ("ann@hotmail.com", "ann@hotmail.com"),  # at outlook.com she may be somebody else
        ("ann-shop@yahoo.com", "ann@yahoo.com"),
        ("ann-shop@gmail.com", "ann-shop@gmail.com"),
        ("a_n-n.+x@proton.me", "ann@proton.me"),
        ("ann+x@fastmail.com", "ann@fastmail.com"),
        ("ann+x@example.com", "ann+x@example.com"),  # a provider that nobody knows may read it as a name
        ("a.n.n@shop.gmail.com", "a.n.n@shop.gmail.com"),
        ("+x@gmail.com", "+x@gmail.com"),
        ("a.+x@outlook.com", "a.+x@outlook.com"),
    ],
)
def test_provider_rules_change_the_identity_alone(raw: str, identity: str) -> None:
    found, plain = normalize_email(raw, provider_rules=True), normalize_email(raw)
    assert found.identity == identity
    assert found.value == plain.value == plain.identity == raw.lower(), "mail goes to the address that was given"
    assert mailbox(identity) == identity


def test_every_declared_provider_has_mailboxes() -> None:
    assert len(providers()) > 100
    for domain in providers():
        given = f"ann+x-x@{domain}"
        identity = normalize_email(given, provider_rules=True).identity
        assert identity is not None
        assert identity.startswith("ann"), domain
        assert len(identity) < len(given), domain
        assert not is_disposable(domain), domain


@pytest.mark.parametrize(
    ("domain", "expected"),
    [
        ("mailinator.com", True),
        ("any.thing.mailinator.com", True),
        ("mailinator.example.com", False),
        ("example.com", False),
        ("com", False),
    ],
)
def test_disposable_domains(domain: str, expected: bool) -> None:
    assert is_disposable(domain) is expected
    assert normalize_email(f"Ann@{domain.upper()}").is_disposable is expected
    assert not is_disposable(domain, never={"mailinator.com"})


def test_an_installation_may_know_a_domain_better() -> None:
    assert not normalize_email("ann@mailinator.com", never_disposable=["mailinator.com"]).is_disposable
    assert normalize_email("ann@mailinator.com", never_disposable=["a.mailinator.com"]).is_disposable


def test_coverage_of_a_disposable_list(shared_dir: Callable[[str], Path]) -> None:
    """Another keeper's list of the same kind, and domains where people have their only address."""
    folder = shared_dir("data/email_domains")
    listed = (folder / "disposable.txt").read_text(encoding="utf-8").split()
    missed = [domain for domain in listed if not is_disposable(domain)]
    free = set(json.loads((folder / "free.json").read_text(encoding="utf-8"))) - set(listed)
    taken = sorted(domain for domain in free if is_disposable(domain))
    print(f"disposable: {len(listed) - len(missed):,} of {len(listed):,} listed; missed: {missed[:10]}")
    print(f"free mail that nobody else lists as disposable: {len(taken):,} of {len(free):,} taken for it: {taken[:10]}")
    assert len(listed) > 5_000
    assert len(missed) < 0.02 * len(listed)
    usual = "gmail.com outlook.com hotmail.com yahoo.com icloud.com gmx.de web.de mail.ru qq.com proton.me duck.com"
    assert [domain for domain in usual.split() if is_disposable(domain)] == []


LINE_ENDS = dict.fromkeys(
    [99, 127, 128, 132, 141, 142, 143, 145, 146, 147, 150, 151, 152, 154, 155, 156],
    "line ends around an address are taken off, as blanks are: exports leave them there",
)
ACCEPTED_ERRORS = LINE_ENDS
REFUSED_VALID = {5: "a top-level domain alone is valid by grammar, and never a mailbox that one sells to"}
# neither error nor valid: what is accepted of quoted names, comments, literals and domains without a record
ACCEPTED_OTHERS = {
    **dict.fromkeys([12, 13, 27, 33, 37, 38, 167, 168], "a domain without a record: no DNS is asked"),
    **dict.fromkeys([88, 89, 144, 148, 149, 153, 157, 158], "blanks around an address are taken off"),
}


def test_isemail_cases(shared_dir: Callable[[str], Path]) -> None:
    cases = json.loads(shared_dir("data/isemail/isemail_v3.json").read_text(encoding="utf-8"))
    accepted: dict[str, dict[int, str]] = {}
    refused: dict[str, set[int]] = {}
    for case in cases:
        # control characters stand as their pictures (U+2400…) in the file
        address = "".join(chr(ord(c) - 0x2400) if "\u2400" <= c <= "\u241f" else c for c in case["address"] or "")
        kind = {"ISEMAIL_ERR": "error", "ISEMAIL_VALID_CATEGORY": "valid"}.get(case["category"], "other")
        found = normalize_email(address)
        if found.value is None:
            refused.setdefault(kind, set()).add(int(case["id"]))
        else:
            accepted.setdefault(kind, {})[int(case["id"])] = found.value
            assert found.value == address.strip(), "whatever is accepted is the address that was given"
    n_error, n_valid = (len(accepted[kind]) + len(refused[kind]) for kind in ("error", "valid"))
    assert (len(cases), n_error, n_valid) == (164, 66, 14)
    assert accepted["error"].keys() == ACCEPTED_ERRORS.keys()
    assert refused["valid"] == REFUSED_VALID.keys()
    assert accepted["other"].keys() == ACCEPTED_OTHERS.keys()


def test_reserved_domains_are_refused_but_for_examples() -> None:
    """No mail can reach them; example.com and its like stay, for documents and simulated stores."""
    assert "test" in SPECIAL_USE_DOMAIN_NAMES
    for domain in SPECIAL_USE_DOMAIN_NAMES:
        assert not normalize_email(f"ann@mail.{domain}").is_valid, domain
    assert normalize_email("ann@example.org").is_valid

"""An identifier as typed becomes the one that the graph has, or one message."""

from __future__ import annotations

import hashlib

import pytest

from identity.identifiers import masked, parse_identifier
from ingest.normalize import normalize_values, options_of_environment
from tests.dbt import names_oracle as names
from warehouse.errors import ConfigError


@pytest.mark.parametrize(
    ("typed", "value"),
    [
        ("email: Ann@Example.ORG ", "ann@example.org"),
        ("email:mailto:ann@bücher.example.org", "ann@xn--bcher-kva.example.org"),
        ("phone:+44 (0)20 7946 0958", "+442079460958"),
        ("customer_id: 7\u00a0", "7"),
        ("user_id:a:b", "a:b"),
        ("user_id:Ann@Example.org", "Ann@Example.org"),  # no e-mail column: as it is
        ("email:sha256:0123456789ab", "sha256:0123456789ab"),
        ("phone_and_name:sha256:0123456789ab", "sha256:0123456789ab"),
        ("phone_and_name:9337f63f2d9e60a3ac9b2ca2f7d8ad62", "9337f63f2d9e60a3ac9b2ca2f7d8ad62"),
    ],
)
def test_values_are_those_of_the_graph(typed: str, value: str) -> None:
    identifier = parse_identifier(typed)
    assert identifier.value == value
    if identifier.type in {"email", "phone"} and identifier.digest is None:
        raw = typed.partition(":")[2]
        loaded = normalize_values(identifier.type, [raw], options_of_environment()).to_pylist()[0]
        assert (loaded["is_valid"], loaded["normalized_value"]) == (True, value)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("ann@example.org", "needs its type"),
        ("mail:ann@example.org", "'mail' is no type"),
        ("ann@example.org:7", "needs its type"),
        ("Email:ann@example.org", "'Email' is no type"),
        ("customer_id:", "no value"),
        ("customer_id: \t\u00a0", "no value"),
        ("email:ann@", "not an e-mail address: nothing after the @"),
        ("email:sha256:0123", "not an e-mail address"),
        ("phone:12", "not a telephone number"),
        ("phone_and_name:12 anna meier", "not a telephone number"),
        ("phone_and_name:anna meier", "not a telephone number with a full name"),
        ("phone_and_name:+442079460958", "not a telephone number with a full name"),
        ("", "needs its type"),
    ],
)
def test_a_slip_is_one_message_without_the_address(typed: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_identifier(typed, "the second identifier")
    assert said in caught.value.what
    assert caught.value.where == "the second identifier"
    assert caught.value.todo
    assert "ann" not in str(caught.value)


def test_addresses_are_hashed_wherever_they_stand() -> None:
    digest = "sha256:" + hashlib.sha256(b"ann@example.org").hexdigest()[:12]
    assert masked("email", "ann@example.org") == digest
    assert masked("user_id", "ann@example.org") == digest
    assert masked("email", digest) == digest
    assert masked("phone", "+442079460958").startswith("sha256:")
    assert masked("customer_id", "7") == "7"
    assert masked("phone_and_name", "9337f63f2d9e60a3ac9b2ca2f7d8ad62").startswith("sha256:")


def test_any_spelling_names_a_mailbox() -> None:
    for typed in ("mailbox:A.nn+shop@googlemail.com", "mailbox: ann@gmail.com "):
        assert parse_identifier(typed).value == "ann@gmail.com"
    assert masked("mailbox", "ann@gmail.com").startswith("sha256:")


def test_a_telephone_with_a_name_is_hashed_as_by_the_models() -> None:
    in_graph = hashlib.md5("+442079460958 anna-lena o'neill öz".encode()).hexdigest()
    for typed in ("+44 (0)20 7946 0958 Anna-Lena O'Neill Öz", " +442079460958  anna-lena  O'NEILL ÖZ "):
        assert parse_identifier(f"phone_and_name:{typed}").value == in_graph


def test_names_are_folded_as_by_the_models() -> None:
    """Letters that become small in several ways: what is typed finds what the models made."""
    for typed in ("İpek IŞIK", "ΟΔΥΣΣΕΥΣ Ωραίος", "Οδυσσεύς ΩΡΑΙΟΣ", "Жанна Ёлкина", "ẞoß Straße"):
        (folded,) = names.in_duckdb(names.fold_sql(), [typed])
        in_graph = hashlib.md5(f"+442079460958 {folded}".encode()).hexdigest()
        assert parse_identifier(f"phone_and_name:+442079460958 {typed}").value == in_graph

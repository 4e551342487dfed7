"""Normalized identifiers: grammar, idempotence, speed of a set, silence about addresses."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from ingest.emails import normalize_email
from ingest.load import load
from ingest.normalize import NormalizeOptions, normalize_identifiers
from ingest.phones import normalize_phone
from tests.ingest.conftest import Query
from warehouse.settings import Settings


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        ("Ann.Lee@Example.COM", "ann.lee@example.com"),
        ("  ann@example.com\n", "ann@example.com"),
        ("<Ann@example.com>", "ann@example.com"),
        ("mailto:ann@example.com", "ann@example.com"),
        ("a\u200bnn@example.com", "ann@example.com"),
        ("ann+shop@example.com", "ann+shop@example.com"),
        ("ann@bücher.example.com", "ann@xn--bcher-kva.example.com"),
        ("STRASSE@example.com", "strasse@example.com"),
        ("straße@example.com", "straße@example.com"),
        ("E\u0301mile@example.com", "émile@example.com"),
    ],
)
def test_emails(raw: str, value: str) -> None:
    found = normalize_email(raw)
    assert (found.value, found.is_valid, found.reason) == (value, True, None)
    assert normalize_email(value).value == value, "a normal form is its own"


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("", "empty"),
        ("ann", "no @ sign"),
        ("ann@localhost", "not a full domain"),
        ("ann@mail.test", "reserved domain"),
        ("ann..lee@example.com", "misplaced period"),
        ("@example.com", "nothing before the @"),
        ("ann@", "nothing after the @"),
        ("Ann Lee <ann@example.com>", "display name around the address"),
        ("a" * 70 + "@example.com", "too long"),
        ("ann@exa mple.com", "domain that is not allowed"),
    ],
)
def test_invalid_emails_say_why_in_fixed_words(raw: str, reason: str) -> None:
    found = normalize_email(raw)
    assert (found.value, found.is_valid, found.reason) == (None, False, reason)


def test_options_of_emails() -> None:
    assert normalize_email("Ann+x@Example.com", strip_plus=True).value == "ann@example.com"
    assert normalize_email("Ann@Example.com", lower_local=False).value == "Ann@example.com"
    assert normalize_email("No-Reply+1@example.com").is_role
    assert not normalize_email("noreply.ann@example.com").is_role


@hypothesis_settings(max_examples=60, deadline=None)
@given(st.text(max_size=40))
def test_any_text_has_an_answer_that_never_quotes_it(raw: str) -> None:
    for found in (normalize_email(raw), normalize_phone(raw, country_code="44")):
        assert found.is_valid == (found.value is not None)
        assert found.is_valid == (found.reason is None)
        assert found.reason is None or len(raw) < 4 or raw not in found.reason


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        ("+44 (0)20 7946 0958", "+442079460958"),
        ("0044 20 7946 0958", "+442079460958"),
        ("020 7946 0958", "+442079460958"),
        ("+1 (212) 555-0199 ext. 12", "+12125550199"),
        ("tel:+1-212-555-0199", "+12125550199"),
        ("٠٢٠٧٩٤٦٠٩٥٨", "+442079460958"),
        ("call me", None),
        ("+44 0000000000", None),
        ("12", None),
        ("+1 234 567 890 123 456 7", None),
    ],
)
def test_phones(raw: str, value: str | None) -> None:
    assert normalize_phone(raw, country_code="44").value == value


def test_a_national_number_without_a_country_stays_invalid() -> None:
    assert normalize_phone("020 7946 0958").reason == "no country code"


def test_isemail_cases(shared_dir: Callable[[str], Path]) -> None:
    cases = json.loads(shared_dir("data/isemail/isemail_v3.json").read_text(encoding="utf-8"))
    wrong = []
    for case in cases:
        # control characters stand as their pictures (U+2400…) in the file
        address = "".join(chr(ord(c) - 0x2400) if "\u2400" <= c <= "\u241f" else c for c in case["address"] or "")
        is_valid = normalize_email(address).is_valid
        if case["category"] == "ISEMAIL_ERR" and is_valid and normalize_email(address.strip()).value != address.strip():
            wrong.append((case["id"], case["diagnosis"]))
        # 'test@io': a top-level domain alone is valid by grammar and never a mailbox that one sells to
        if case["category"] == "ISEMAIL_VALID_CATEGORY" and not is_valid and "." in address:
            wrong.append((case["id"], case["diagnosis"]))
    assert not wrong
    assert len(cases) == 164


def _raw(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "people.csv").write_text(
        "id,email,phone\n1,Ann@Example.com,+442079460958\n2,ann@example.com,\n3,,\n4,broken,12\n5,info@example.com,\n",
        encoding="utf-8",
    )
    (tmp_path / "others.csv").write_text("email\nann@example.com\nBob@Example.com\n", encoding="utf-8")
    load(settings, tmp_path / "people.csv")
    load(settings, tmp_path / "others.csv")


def test_each_distinct_raw_value_once(
    settings: Settings, tmp_path: Path, query: Query, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    _raw(settings, tmp_path)
    report = normalize_identifiers(settings)
    assert (report.n_emails, report.n_phones, report.n_invalid, report.n_role) == (5, 2, 2, 1)
    assert normalize_identifiers(settings).n_new == 0
    assert query(
        "select raw_value, normalized_value, is_valid, is_role from raw.identifier_normalized "
        "where identifier_type = 'email' order by raw_value"
    ) == [
        ("Ann@Example.com", "ann@example.com", True, False),
        ("Bob@Example.com", "bob@example.com", True, False),
        ("ann@example.com", "ann@example.com", True, False),
        ("broken", None, False, False),
        ("info@example.com", "info@example.com", True, True),
    ]
    (tmp_path / "others.csv").write_text("email\nnew@example.com\nBob@Example.com\n", encoding="utf-8")
    load(settings, tmp_path / "others.csv")
    assert normalize_identifiers(settings).n_new == 1
    assert "example.com" not in caplog.text.lower()


def test_a_loader_of_ones_own(settings: Settings, tmp_path: Path, query: Query) -> None:
    """`vars: raw_schema` names the schema that another loader fills; its tables are read there and left as they are."""
    project = tmp_path / "project"
    (project / "models" / "staging").mkdir(parents=True)
    (project / "dbt_project.yml").write_text("vars: {raw_schema: lake}\n", encoding="utf-8")
    columns = "columns: [{name: id, data_type: text}, {name: email, data_type: text}]"
    (project / "models" / "staging" / "sources.yml").write_text(
        f"sources: [{{name: raw, tables: [{{name: people, {columns}}}, {{name: others, {columns}}}]}}]\n",
        encoding="utf-8",
    )
    own = settings.model_copy(update={"dbt_project": project})
    query("create schema lake")
    query("create table lake.people as select '1' as id, 'Ann@Example.com' as email")
    for expected in (1, 0):
        assert normalize_identifiers(own).n_new == expected
    assert query("select raw_value, normalized_value from lake.identifier_normalized") == [
        ("Ann@Example.com", "ann@example.com")
    ]
    assert query("select * from lake.people") == [("1", "Ann@Example.com")]
    assert query("select count(*) from lake.others") == [(0,)]
    assert query("select count(*) from duckdb_tables() where schema_name = 'raw' and table_name = 'people'") == [(0,)]


def test_changed_options_apply_when_asked_again(settings: Settings, tmp_path: Path, query: Query) -> None:
    _raw(settings, tmp_path)
    normalize_identifiers(settings)
    again = normalize_identifiers(settings, NormalizeOptions(phone_country_code="44"), again=True)
    assert again.n_new == 7
    assert query("select count(*) from raw.identifier_normalized") == [(7,)]


def test_the_projects_identifier_columns(settings: Settings) -> None:
    from ingest.load import ensure_raw_tables
    from ingest.normalize import identifier_columns
    from warehouse.connection import connect

    ensure_raw_tables(settings)
    with connect(settings, purpose="test") as con:
        columns = identifier_columns(con, settings)
    assert {table for _, table, _ in columns["email"]} >= {
        "remote_suppressions",
        "crm_contacts",
        "newsletter_signups",
        "shop_customers",
        "shop_orders",
        "email_events",
        "consent_events",
    }
    assert ("raw", "crm_contacts", "phone") in columns["phone"]

"""Identifiers of all raw tables, once each, by the rules of today; silence about addresses."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path

import pytest

from ingest.load import load
from ingest.normalize import normalize_identifiers
from ingest.options import NormalizeOptions, options_of_environment
from ingest.withdraw import withdraw
from tests.ingest.conftest import Query
from warehouse.errors import ConfigError
from warehouse.settings import PROJECT_DIR, Settings


def _raw(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "people.csv").write_text(
        "id,email,phone\n1,Ann@Example.com,+442079460958\n2,ann@example.com,\n3,,\n4,broken,12\n5,info@example.com,\n"
        "6,Ann@Mailinator.com,\n",
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
    assert (report.n_emails, report.n_phones, report.n_invalid, report.n_role) == (6, 2, 2, 1)
    assert (report.n_new, report.n_disposable) == (8, 1)
    assert normalize_identifiers(settings).n_new == 0
    assert query(
        "select raw_value, normalized_value, reason, is_valid, is_role, is_disposable from raw.identifier_normalized "
        "order by identifier_type, raw_value"
    ) == [
        ("Ann@Example.com", "ann@example.com", None, True, False, False),
        ("Ann@Mailinator.com", "ann@mailinator.com", None, True, False, True),
        ("Bob@Example.com", "bob@example.com", None, True, False, False),
        ("ann@example.com", "ann@example.com", None, True, False, False),
        ("broken", None, "no @ sign", False, False, False),
        ("info@example.com", "info@example.com", None, True, True, False),
        ("+442079460958", "+442079460958", None, True, False, False),
        ("12", None, "no country code", False, False, False),
    ]
    assert query(
        "select count(*) from raw.identifier_normalized where identity_value is distinct from normalized_value"
    ) == [(0,)]
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


def test_changed_options_apply_by_themselves(
    settings: Settings, tmp_path: Path, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "people.csv").write_text(
        "id,email,phone\n1,A.nn+x@Gmail.com,020 7946 0958\n2,bob@mailinator.com,+442079460959\n", encoding="utf-8"
    )
    load(settings, tmp_path / "people.csv")
    found = (
        "select normalized_value, identity_value, is_disposable from raw.identifier_normalized "
        "order by identifier_type, raw_value"
    )
    assert normalize_identifiers(settings).n_new == 4
    plain = [
        ("a.nn+x@gmail.com", "a.nn+x@gmail.com", False),
        ("bob@mailinator.com", "bob@mailinator.com", True),
        ("+442079460959", "+442079460959", False),
        (None, None, False),
    ]
    assert query(found) == plain

    monkeypatch.setenv("MAILWRIGHT_NORMALIZE_PHONE_REGIONS", "us, gb")
    again = normalize_identifiers(settings)
    assert (again.n_emails, again.n_phones, again.n_invalid) == (0, 2, 0), "each kind has its own rules"
    assert query(found)[3] == ("+442079460958", "+442079460958", False)

    monkeypatch.setenv("MAILWRIGHT_NORMALIZE_PROVIDER_RULES", "true")
    monkeypatch.setenv("MAILWRIGHT_NORMALIZE_NEVER_DISPOSABLE", "Mailinator.com")
    again = normalize_identifiers(settings)
    assert (again.n_emails, again.n_phones) == (2, 0)
    assert query(found)[:2] == [
        ("a.nn+x@gmail.com", "ann@gmail.com", False),
        ("bob@mailinator.com", "bob@mailinator.com", False),
    ]
    assert normalize_identifiers(settings).n_new == 0

    for name in ("PHONE_REGIONS", "PROVIDER_RULES", "NEVER_DISPOSABLE"):
        monkeypatch.delenv(f"MAILWRIGHT_NORMALIZE_{name}")
    normalize_identifiers(settings)
    assert query(found) == plain


def test_a_newer_list_applies_by_itself(
    settings: Settings, tmp_path: Path, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an update of a library decides otherwise is not left as it was for the addresses of before."""
    _raw(settings, tmp_path)
    normalize_identifiers(settings)
    before = query("select distinct identifier_type, rules from raw.identifier_normalized order by 1")
    monkeypatch.setattr("ingest.options.version", lambda name: f"{name} of tomorrow")
    assert normalize_identifiers(settings).n_new == 8
    after = query("select distinct identifier_type, rules from raw.identifier_normalized order by 1")
    assert [kind for kind, _ in before] == [kind for kind, _ in after] == ["email", "phone"]
    assert not set(before) & set(after)


def test_a_warehouse_of_before_gets_the_new_columns(settings: Settings, tmp_path: Path, query: Query) -> None:
    query("create schema raw")
    query(
        "create table raw.identifier_normalized (identifier_type text not null, raw_value text not null, "
        "normalized_value text, is_valid boolean not null, reason text, is_role boolean not null, "
        "normalized_at timestamp not null, primary key (identifier_type, raw_value))"
    )
    query(
        "insert into raw.identifier_normalized values "
        "('email', 'bob@mailinator.com', 'bob@mailinator.com', true, null, false, '2026-01-01'), "
        "('email', 'nobody wrote this', null, false, 'no @ sign', false, '2026-01-01')"
    )
    (tmp_path / "people.csv").write_text("id,email\n1,bob@mailinator.com\n", encoding="utf-8")
    load(settings, tmp_path / "people.csv")
    assert normalize_identifiers(settings).n_new == 1
    assert query("select raw_value, identity_value, is_disposable from raw.identifier_normalized") == [
        ("bob@mailinator.com", "bob@mailinator.com", True)
    ]
    assert normalize_identifiers(settings).n_new == 0


def test_an_interrupted_change_of_rules_leaves_the_old_rows(settings: Settings, tmp_path: Path, query: Query) -> None:
    from tests.ingest.conftest import run_python

    _raw(settings, tmp_path)
    normalize_identifiers(settings)
    rows = "select * from raw.identifier_normalized order by identifier_type, raw_value"
    before = query(rows)
    code = f"""
from pathlib import Path
from ingest.normalize import NormalizeOptions, normalize_identifiers
from warehouse.settings import Settings
normalize_identifiers(Settings(home=Path({str(settings.home)!r}), target="prod"), NormalizeOptions(provider_rules=True))
"""
    killed = run_python(code, MAILWRIGHT_FAILPOINT="normalize.before_commit")
    assert killed.returncode == -9, killed.stderr
    assert query(rows) == before


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("PHONE_REGIONS", "UK", "'UK' is no region with a numbering plan (United Kingdom: GB)"),
        ("PHONE_REGIONS", "44", "'44' is no region with a numbering plan"),
        ("PROVIDER_RULES", "gmail", "MAILWRIGHT_NORMALIZE_PROVIDER_RULES: Input should be a valid boolean"),
        ("NEVER_DISPOSABLE", "ann@x.org", "MAILWRIGHT_NORMALIZE_NEVER_DISPOSABLE: names something that is no domain"),
        ("PHONE_COUNTRY_CODE", "44", "MAILWRIGHT_NORMALIZE_PHONE_COUNTRY_CODE is no setting"),
        ("STRIP_PLUS", "true", "use MAILWRIGHT_NORMALIZE_LOWER_LOCAL_PART, MAILWRIGHT_NORMALIZE_PROVIDER_RULES"),
    ],
)
def test_a_choice_that_cannot_be_is_one_message(
    name: str, value: str, said: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"MAILWRIGHT_NORMALIZE_{name}", value)
    with pytest.raises(ConfigError) as caught:
        normalize_identifiers(settings)
    assert said in str(caught.value)
    assert "@" not in str(caught.value)
    assert not settings.warehouse_path.exists(), "nothing was started"


def test_what_is_withdrawn_is_forgotten(settings: Settings, tmp_path: Path, query: Query) -> None:
    _raw(settings, tmp_path)
    normalize_identifiers(settings)
    listed = "select raw_value from raw.identifier_normalized order by 1"
    before = query(listed)
    load_id = query("select load_id from ops.loads where table_name = 'others'")[0][0]
    withdraw(settings, load_id)
    assert normalize_identifiers(settings).n_new == 0
    assert set(before) - set(query(listed)) == {("Bob@Example.com",)}, "ann's is in the other table too"
    query("delete from raw.people")
    assert normalize_identifiers(settings).n_new == 0
    assert query(listed) == []


def test_domains_of_a_choice_may_be_in_either_spelling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAILWRIGHT_NORMALIZE_NEVER_DISPOSABLE", "Bücher.example, 21CN.com")
    assert options_of_environment().never_disposable == ("xn--bcher-kva.example", "21cn.com")


def test_no_choice_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    assert options_of_environment() == NormalizeOptions() == NormalizeOptions(phone_regions=(), never_disposable=())
    monkeypatch.setenv("MAILWRIGHT_NORMALIZE_PHONE_REGIONS", "")
    assert options_of_environment().phone_regions == ()


def test_addresses_inside_identify_events(settings: Settings, tmp_path: Path, query: Query) -> None:
    """The staging model reads them out of the JSON: an address that occurs nowhere else would be nobody's."""
    event = {"type": "identify", "timestamp": "2026-01-01 00:00:00", "received_at": "2026-01-01 00:00:00"}
    events = [
        {**event, "properties": {"email": "One@Example.com"}},
        {**event, "properties": {"traits": {"email": "Two@Example.com"}}},
        {**event, "properties": {}, "context": {"traits": {"email": "Three@Example.com"}}},
        {**event, "type": "track", "properties": {"email": "Four@Example.com"}},
        {**event, "properties": {"email": None}, "context": {"traits": 1}},
    ]
    rows = [
        {
            **row,
            "message_id": str(at),
            "properties": json.dumps(row["properties"]),
            "context": json.dumps(row.get("context")),
        }
        for at, row in enumerate(events)
    ]
    (tmp_path / "web_events.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    load(settings, tmp_path / "web_events.jsonl")
    query("update raw.web_events set context = '{no json' where message_id = '0'")
    assert normalize_identifiers(settings).n_emails == 3
    assert query("select normalized_value from raw.identifier_normalized order by 1") == [
        ("one@example.com",),
        ("three@example.com",),
        ("two@example.com",),
    ]


def test_the_staging_model_reads_addresses_where_they_are_looked_for() -> None:
    from ingest.normalize import IDENTIFY_EMAILS

    model = (PROJECT_DIR / "dbt_project/models/staging/stg_web__events.sql").read_text(encoding="utf-8")
    calls = [
        (column, "$." + ".".join(part.strip(" '\"") for part in path.split(",")))
        for column, path in re.findall(r"json_text\('source\.(\w+)', \[([^]]*'email')\]\)", model)
    ]
    assert sorted(calls) == sorted((column, path) for column, paths in IDENTIFY_EMAILS.items() for path in paths)


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

"""A sync's YAML: what is accepted, and that a mistake is named."""

from __future__ import annotations

import json
import os
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from reverse_etl.declaration import BUILT_IN, json_schema, list_syncs, only_sync, parse_declaration, read_sync
from reverse_etl.limits import LIMITS_FILE, limit, limits_of
from tests.reverse_etl.world import COLUMNS, small_declaration
from warehouse.errors import ConfigError
from warehouse.settings import Settings

GOOD: dict[str, Any] = {
    "name": "mine",
    "destination": "mailchimp",
    "model": "m",
    "fields": [{"column": "city", "field": "MW_CITY", "name": "City"}],
}


TOLD: dict[str, Any] = {"model": "e", "include": [{"event": "entered_segment"}]}


@pytest.mark.parametrize(
    ("max_age", "oldest"),
    [(None, timedelta(days=1)), ("90 minutes", timedelta(minutes=90)), ("1 hour", timedelta(hours=1)),
     ("12 hours", timedelta(hours=12)), ("2 days", timedelta(days=2))],
)  # fmt: skip
def test_events(settings: Settings, max_age: str | None, oldest: timedelta) -> None:
    given = {**TOLD, "properties": [{"column": "segment_name", "name": "segment"}, {"column": "price"}]}
    made = small_declaration(settings, events={**given, **({"max_age": max_age} if max_age else {})}).events
    assert made is not None
    assert made.oldest == oldest
    assert made.names == {"entered_segment": "entered_segment"}
    assert made.named_columns == (("segment_name", "segment"), ("price", "price"))
    # who is sent, and what, is the same with and without events
    assert small_declaration(settings, events=given).fingerprint == small_declaration(settings).fingerprint


def _parse(tmp_path: Path, body: object) -> str:
    path = tmp_path / "mine.yml"
    path.write_text(body if isinstance(body, str) else yaml.safe_dump(body))
    with pytest.raises(ConfigError) as caught:
        parse_declaration(path)
    assert str(path) in str(caught.value)
    assert caught.value.exit_code == 2
    return str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gards": {}}, "gards: is not known here; did you mean 'guards'?"),
        ({"fields": []}, "fields: Tuple should have at least 1 item"),
        ({"fields": [{**GOOD["fields"][0], "on_nul": "keep"}]}, "fields.0.on_nul: is not known here; did you mean"),
        ({"fields": [{**GOOD["fields"][0], "on_null": "drop"}]}, "'overwrite', 'keep', 'clear' or 'fill_if_empty'"),
        ({"fields": [{**GOOD["fields"][0], "column": "a; drop"}]}, "must be a column name"),
        ({"fields": [{**GOOD["fields"][0], "significance": 3}]}, "significance is for fields of type number or date"),
        ({"fields": [{**GOOD["fields"][0], "type": "date", "significance": 0.5}]}, "in whole days; MW_CITY has 0.5"),
        (
            {"fields": [{**GOOD["fields"][0], "type": "number", "fallback": "none"}]},
            "fallback of a number has to be one",
        ),
        ({"fields": GOOD["fields"] * 2}, "field MW_CITY is written twice"),
        ({"guards": {"max_share_leaving": 3}}, "guards.max_share_leaving"),
        ({"segments": {"model": "s", "prefix": " "}}, "segments.prefix: must not be empty"),
        ({"model": "Robert'); drop"}, "must be the name of a model"),
        ({"events": {"model": "e"}}, "events.include: Field required"),
        ({"events": {**TOLD, "include": []}}, "events.include: Tuple should have at least 1 item"),
        ({"events": {**TOLD, "model": "a b"}}, "events.model: must be the name of a model"),
        ({"events": {**TOLD, "include": "all"}}, "events.include: Input should be a valid tuple"),
        ({"events": {**TOLD, "max_age": "1 week"}}, "events.max_age: String should match pattern"),
        ({"events": {**TOLD, "max_age": "0 days"}}, "events.max_age: String should match pattern"),
        ({"events": {**TOLD, "maxage": "1 day"}}, "events.maxage: is not known here; did you mean 'max_age'?"),
        ({"events": {**TOLD, "include": [{"event": "a"}, {"event": "a", "name": "b"}]}}, "event a is named twice"),
        ({"events": {**TOLD, "include": [{"event": "a"}, {"event": "b", "name": "a"}]}}, "event a is named twice"),
        ({"events": {**TOLD, "properties": [{"column": "a"}, {"column": "b", "name": "a"}]}}, "property a is named"),
        ({"events": {**TOLD, "properties": [{"column": "a; drop"}]}}, "must be a column name"),
        ({"name": "other"}, "calls itself 'other'"),
        ({"account": "mailchimp-uk"}, "account: must be the start of a name of a variable"),
        ({"account": "KLAVIYO_UK"}, "account KLAVIYO_UK is one of klaviyo, and the destination is mailchimp"),
        ({"name": "news-letter"}, "name: a sync's name has letters, digits and _ alone"),
        ({"schedule": "daily"}, "schedule: must be a cron expression of five fields"),
        (
            {"limits": {"connections": 3}},
            "limits.connections is none that a sync may set; those are: connections_used",
        ),
        ({"limits": {"connections_used": 11}}, "limits.connections_used must be from 1 to"),
        ({"limits": {"merge_tag_length": 5}}, "limits.merge_tag_length is none that a sync may set"),
        ({"checks": {"audit_samples": 3}}, "did you mean 'audit_sample'?"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    assert message in _parse(tmp_path, {**GOOD, **change})


def test_files_that_are_no_syncs(tmp_path: Path) -> None:
    assert "empty, or not a mapping" in _parse(tmp_path, "- a\n- b\n")
    assert "not YAML" in _parse(tmp_path, "a: [")


def test_own_syncs_take_the_place_of_built_in_ones(settings: Settings) -> None:
    assert list_syncs(settings) == ["mailchimp"]
    small_declaration(settings)
    assert list_syncs(settings) == ["mailchimp", "small"]
    own = yaml.safe_load((BUILT_IN / "mailchimp.yml").read_text())
    own["fields"] = own["fields"][:1]
    (settings.home / "syncs" / "mailchimp.yml").write_text(yaml.safe_dump(own))
    assert len(read_sync(settings, "mailchimp").fields) == 1
    with pytest.raises(ConfigError, match="Did you mean 'small'"):
        read_sync(settings, "smal")


def test_the_settings_say_which_built_in_syncs_run(settings: Settings) -> None:
    assert list_syncs(settings.model_copy(update={"syncs": "klaviyo, sendgrid"})) == ["klaviyo", "sendgrid"]
    none = settings.model_copy(update={"syncs": "none"})
    assert list_syncs(none) == []
    with pytest.raises(ConfigError, match="There is no sync 'mailchimb'"):
        list_syncs(settings.model_copy(update={"syncs": "mailchimb"}))
    with pytest.raises(ConfigError, match="No sync is declared"):
        only_sync(none)
    assert only_sync(settings) == "mailchimp"
    small_declaration(settings)
    assert only_sync(none) == "small"
    with pytest.raises(ConfigError, match="name one of: mailchimp, small"):
        only_sync(settings)


@pytest.mark.parametrize("name", ["hubspot", "klaviyo", "mailchimp", "sendgrid"])
def test_a_built_in_sync_sends_what_the_models_have(settings: Settings, name: str) -> None:
    declaration = read_sync(settings, name)
    assert declaration.destination == name
    assert set(declaration.columns) <= set(COLUMNS)
    assert set(declaration.columns) == set(read_sync(settings, "mailchimp").columns)
    assert (declaration.model, declaration.addresses) == ("sync_esp__members", "sync_esp__addresses")
    assert declaration.segments is not None
    assert declaration.segments.model == "sync_esp__segment_members"
    offers = {mapping.on_null for mapping in declaration.fields if mapping.column.startswith("rec_")}
    assert offers == {"clear"}, "an offer that has expired must not stay in anybody's mail"
    holds = next(mapping for mapping in declaration.fields if mapping.column == "recs_expire_at")
    assert (holds.type, holds.significance) == ("date", 3), "it moves each day, and everybody with it"


def test_the_built_in_sync_fits_vendor_and_model(settings: Settings) -> None:
    declaration = read_sync(settings, "mailchimp")
    assert set(declaration.columns) <= set(COLUMNS)
    assert len(declaration.fields) + 3 <= limit("mailchimp", "merge_fields")  # LNAME, ADDRESS and PHONE are there
    for mapping in declaration.fields:
        assert len(mapping.field) <= limit("mailchimp", "merge_tag_length")
        if mapping.type == "text":
            assert mapping.max_length is not None
            assert mapping.max_length <= limit("mailchimp", "text_bytes")


def test_the_schema_for_editors_says_what_the_code_does(settings: Settings) -> None:
    file = BUILT_IN / "sync.schema.json"
    if os.environ.get("UPDATE_SNAPSHOTS"):
        file.write_text(json_schema(), encoding="utf-8")
    assert file.read_text(encoding="utf-8") == json_schema()
    validator = Draft202012Validator(json.loads(json_schema()))
    own = yaml.safe_load((BUILT_IN / "mailchimp.yml").read_text())
    assert list(validator.iter_errors(own)) == []
    for wrong in (
        {"modle": "x"},
        {"fields": []},
        {"fields": [{"column": "a", "field": "A", "name": "A", "on_null": "?"}]},
    ):
        assert list(validator.iter_errors({**own, **wrong}))


def test_a_changed_mapping_changes_the_fingerprint(settings: Settings) -> None:
    before = small_declaration(settings).fingerprint
    assert small_declaration(settings).fingerprint == before
    assert small_declaration(settings, description="other").fingerprint == before
    fields = [{"column": "first_name", "field": "FNAME", "name": "First Name", "fallback": "friend"}]
    assert small_declaration(settings, fields=fields).fingerprint != before


def test_each_limit_has_a_source_and_a_date() -> None:
    for destination in yaml.safe_load(LIMITS_FILE.read_text()):
        for name, one in limits_of(destination).items():
            assert one.value > 0, name
            assert len(one.source) > 10, name
            assert isinstance(one.read_on, date), name


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: mine\ndescription: 2020-99-99\n", "not YAML: month must be"),
        ("a: " + "[" * 3000, "nested too deeply"),
        ("name: mine\nmodel: a\nmodel: b\n", r"'model' is there twice \(line 3\)"),
        ("name: mine\nmodel: {{model}}\n", r"not YAML: a key must be a word; put quotes around braces \(line 2\)"),
        ("fields:\n  - {column: a, column: b}\n", "'column' is there twice"),
    ],
)
def test_what_is_no_sync_is_told_in_words(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mine.yml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        parse_declaration(path)


def test_a_merge_may_be_overridden(tmp_path: Path) -> None:
    path = tmp_path / "mine.yml"
    fields = "fields:\n  - &a {column: city, field: MW_CITY, name: City}\n  - {<<: *a, field: MW_TOWN}\n"
    path.write_text(f"name: mine\ndestination: mailchimp\nmodel: m\n{fields}")
    assert [one.field for one in parse_declaration(path).fields] == ["MW_CITY", "MW_TOWN"]


@pytest.mark.parametrize("is_folder", [True, False])
def test_what_cannot_be_read(tmp_path: Path, is_folder: bool) -> None:
    path = tmp_path / "mine.yml"
    path.mkdir() if is_folder else path.symlink_to(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="cannot be read"):
        parse_declaration(path)

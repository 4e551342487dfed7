"""Webhooks on their way into the warehouse: as files for `mailwright load`, and what the models make of them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cli.pipeline import normalize
from ingest.contracts import declared_contracts, sources_path
from ingest.load import load
from reverse_etl.webhooks import ConsentEvent, EmailEvent, WebhookBatch, to_jsonl
from tests.dbt.features_support import dbt
from tests.reverse_etl.webhook_support import (
    HAPPENED,
    NOW,
    SAMPLES,
    VENDORS,
    delivery,
    klaviyo_event,
    mailchimp_form,
    sendgrid_event,
)
from warehouse.clock import Clock, set_clock
from warehouse.connection import connect
from warehouse.settings import Settings


def land(folder: Path, name: str, batch: WebhookBatch) -> None:
    """As docs/syncs.md says."""
    for table, rows in (("email_events", batch.email_events), ("consent_events", batch.consent_events)):
        if rows:
            (folder / table).mkdir(parents=True, exist_ok=True)
            (folder / table / f"{name}.jsonl").write_text(to_jsonl(rows), encoding="utf-8")


def query(settings: Settings, sql: str) -> list[tuple[Any, ...]]:
    with connect(settings, purpose="test") as con:
        return con.execute(sql).fetchall()


@pytest.mark.parametrize(("table", "row"), [("email_events", EmailEvent), ("consent_events", ConsentEvent)])
def test_rows_have_the_columns_of_the_contract(settings: Settings, table: str, row: Any) -> None:
    contract = declared_contracts(sources_path(settings))[table]
    assert {column.name for column in contract.columns if not column.is_optional} == set(row.__dataclass_fields__)


def _all(at: datetime) -> list[tuple[str, WebhookBatch]]:
    found = []
    for vendor in VENDORS:
        deliveries = [[item] for item in SAMPLES[vendor]] if vendor == "mailchimp" else [SAMPLES[vendor]]
        for n, items in enumerate(deliveries):
            found.append((f"{vendor}_{n}", delivery(vendor, items, at).read(at)))
    return found


def test_what_came_is_what_lies_in_the_raw_tables(settings: Settings, tmp_path: Path) -> None:
    batches = _all(NOW)
    odd = delivery("sendgrid", [sendgrid_event("click", "odd", url='x\n"\\\u2028\ud800\0é', email="näme@shop.test")])
    batches.append(("odd", odd.read()))
    for name, batch in batches:
        land(tmp_path / "in", name, batch)
        waiting = tuple(one.at("ann@shop.test") for one in batch.unaddressed)
        land(tmp_path / "in", name + "_looked_up", WebhookBatch(waiting, (), (), {}, ()))
    report = load(settings, tmp_path / "in")
    assert sum(one.rows_quarantined for one in report.loads) == 0
    columns = ", ".join(EmailEvent.__dataclass_fields__)
    expected = {tuple(vars(event).values()) for _, batch in batches for event in batch.email_events}
    expected |= {tuple(vars(one.at("ann@shop.test")).values()) for _, batch in batches for one in batch.unaddressed}
    assert set(query(settings, f"select {columns} from raw.email_events")) == expected
    assert len(expected) > 10
    columns = ", ".join(ConsentEvent.__dataclass_fields__)
    claims = {tuple(vars(event).values()) for _, batch in batches for event in batch.consent_events}
    assert set(query(settings, f"select {columns} from raw.consent_events")) == claims
    assert len(claims) == 2


ANN = "ann@shop.org"


def _story(received: datetime) -> list[tuple[str, WebhookBatch]]:
    """Several people, each with what a vendor says of her."""
    sendgrid = [
        sendgrid_event("open", "s1", email="open@shop.org"),
        sendgrid_event("bounce", "s2", email="hard@shop.org", type="bounce"),
        sendgrid_event("bounce", "s3", email="soft@shop.org", type="blocked"),
        sendgrid_event("group_unsubscribe", "s4", email="group@shop.org", asm_group_id=10),
        sendgrid_event("group_resubscribe", "s5", email="group@shop.org", asm_group_id=10),
        sendgrid_event("spamreport", "s6", email="spam@shop.org"),
    ]
    klaviyo = [klaviyo_event("subscribed_to_email_marketing", email_address="claim@shop.org")]
    return [
        ("sendgrid", delivery("sendgrid", sendgrid, received).read(received)),
        ("klaviyo", delivery("klaviyo", klaviyo, received).read(received)),
        ("mailchimp", delivery("mailchimp", [mailchimp_form("unsubscribe", email=ANN)], received).read(received)),
    ]


MODELS = (
    "stg_email__events", "int_email__events", "fct_email_events", "stg_consent__events", "stg_newsletter__signups",
    "stg_esp__suppressions", "consent_purposes", "machine_rules", "machine_signatures", "fct_consent",
)  # fmt: skip
FACTS = """select email_event_id, event_type, identifier_value, occurred_at, received_at
    from analytics.fct_email_events order by 1"""
CONSENT = """select identifier_value, purpose, state, scope, source, is_evidence, occurred_at
    from analytics.fct_consent order by 1, 2"""


def test_the_models_take_each_event_once_and_a_refusal_as_one(one_place: Callable[[], Path], tmp_path: Path) -> None:
    """Loaded, and all of it delivered again ten minutes later: nothing changes."""
    settings = Settings(home=one_place(), target="prod", lock_timeout_seconds=30)
    facts, consent = [], []
    for n, received in enumerate((NOW, NOW + timedelta(minutes=10))):
        for name, batch in _story(received):
            land(tmp_path / f"in_{n}", name, batch)
        report = load(settings, tmp_path / f"in_{n}")
        assert (len(report.loads), len(report.skipped)) == (3, 0)
        normalize(settings)
        with connect(settings, purpose="test") as con:
            set_clock(con, "analytics", Clock(NOW + timedelta(days=1), NOW + timedelta(days=1)))
            con.execute(
                """create table if not exists analytics.int_identity__identifier_profiles (identifier_type text,
                   identifier_value text, profile_id text, linked_at timestamp, first_seen_at timestamp)"""
            )
        untested = ("--exclude-resource-type", "test", "--exclude-resource-type", "unit_test")
        dbt(settings, "build", *untested, "--select", *MODELS)
        facts.append(query(settings, FACTS))
        consent.append(query(settings, CONSENT))
    assert facts[0] == facts[1]
    assert consent[0] == consent[1]
    assert {(email, at) for _, _, email, _, at in facts[0]} >= {(ANN, NOW), ("open@shop.org", NOW)}
    assert len(facts[0]) == 6
    ends_all = [("newsletter", "suppressed"), ("product_news", "suppressed")]
    said = {
        (email, scope, source, is_evidence): [(p, s) for e, p, s, *_ in consent[0] if e == email]
        for email, _, _, scope, source, is_evidence, _ in consent[0]
    }
    assert said == {
        (ANN, "person", "unsubscribe", True): ends_all,
        ("group@shop.org", "person", "unsubscribe", True): ends_all,
        ("spam@shop.org", "person", "complaint", True): ends_all,
        ("hard@shop.org", "address", "hard_bounce", True): ends_all,
        ("claim@shop.org", "person", "esp", False): [("newsletter", "granted")],
    }
    assert {row[-1] for row in consent[0]} == {HAPPENED}

"""Reports of an ESP as raw rows, a dbt that makes the e-mail fact of them, and an oracle in words of docs/human.md."""

from __future__ import annotations

import csv
import ipaddress
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import pandas as pd

from ingest.load import ensure_raw_tables
from tests.dbt.features_support import dbt, target_of
from warehouse.connection import connect
from warehouse.settings import PROJECT_DIR, Settings

AS_OF = datetime(2026, 6, 1)
SEEDS = ("machine_rules", "machine_signatures")
ADDRESSES = {
    "ann@shop.org": "ann@shop.org",
    "ANN@shop.org": "ann@shop.org",
    "bob@shop.org": "bob@shop.org",
    "no address": None,
}
"""Raw address → normalized one; None is not valid."""


@dataclass(frozen=True)
class Report:
    """One row of raw.email_events."""

    event_id: str
    event: str
    email: str
    message_id: str | None
    occurred_at: datetime
    received_at: datetime
    load_id: str = "l0"
    row_number: int = 0
    campaign_id: str | None = None
    link_url: str | None = None
    user_agent: str | None = None
    ip: str | None = None
    http_method: str | None = None
    is_provider_flagged_machine: bool | None = None
    bounce_type: str | None = None


def prepare(store: Settings) -> None:
    """Empty raw tables, addresses, a clock and nobody known."""
    ensure_raw_tables(store)
    with connect(store, purpose="test") as con:
        con.execute("create schema if not exists analytics")
        con.execute("create or replace table analytics.clock (as_of timestamp, known_at timestamp)")
        con.execute(
            """create or replace table analytics.int_identity__identifier_profiles (identifier_type text,
               identifier_value text, profile_id text, linked_at timestamp, first_seen_at timestamp)"""
        )
        for raw, normalized in ADDRESSES.items():
            con.execute(
                """insert into raw.identifier_normalized by name select 'email' as identifier_type, ? as raw_value,
                   ? as normalized_value, ? as is_valid, false as is_role, ? as normalized_at""",
                [raw, normalized, normalized is not None, AS_OF],
            )
    set_clock(store, AS_OF)


def set_clock(store: Settings, as_of: datetime) -> None:
    with connect(store, purpose="test") as con:
        con.execute("delete from analytics.clock")
        con.execute("insert into analytics.clock values (?, ?)", [as_of, as_of])


def add(store: Settings, reports: Iterable[Report], load_id: str) -> None:
    """Bring reports in by one load."""
    rows = [replace(report, load_id=load_id, row_number=n).__dict__ for n, report in enumerate(reports, start=1)]
    if not rows:
        return
    frame = pd.DataFrame(rows).rename(columns={"load_id": "_load_id", "row_number": "_row_number"})
    frame["is_provider_flagged_machine"] = frame["is_provider_flagged_machine"].astype("boolean")
    texts = ["message_id", "campaign_id", "link_url", "user_agent", "ip", "http_method", "bounce_type"]
    frame[texts] = frame[texts].astype("string")
    frame["_loaded_at"] = AS_OF - timedelta(days=1)
    with connect(store, purpose="test") as con:
        con.register("frame", frame)
        con.execute("insert into raw.email_events by name select * from frame")
        con.unregister("frame")


def first_build(store: Settings, *models: str) -> None:
    """The shipped rules, the fact, and more models of these names."""
    untested = ("--exclude-resource-type", "test", "--exclude-resource-type", "unit_test")
    dbt(store, "build", *untested, "--select", *SEEDS, "stg_email__events", "int_email__events", *models)


def build(store: Settings, **variables: Any) -> None:
    """The fact again, by the rules that are there."""
    dbt(store, "run", "--select", "int_email__events", variables=variables or None)


def fail(store: Settings) -> None:
    """The fact again, which must fail."""
    dbt(store, "run", "--select", "int_email__events", fails=True)


def sql_of_a_full_refresh(store: Settings) -> str:
    """The model's text as the first build compiled it."""
    path = target_of(store) / "compiled" / "mailwright" / "models" / "email" / "int_email__events.sql"
    text = path.read_text(encoding="utf-8")
    assert "email_changed_messages" not in text
    return text


def rows(store: Settings, sql: str, *values: Any) -> list[tuple[Any, ...]]:
    with connect(store, read_only=True) as con:
        return con.execute(sql, list(values)).fetchall()


def contents(store: Settings, sql: str = "select * from analytics.int_email__events") -> Counter[tuple[Any, ...]]:
    return Counter(rows(store, sql))


def _seed_rows(name: str) -> list[dict[str, str]]:
    with (PROJECT_DIR / "dbt_project" / "seeds" / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _matches(signature: Mapping[str, str], value: str) -> bool:
    pattern = signature["pattern"]
    if signature["match_type"] == "exact":
        return value == pattern
    if signature["match_type"] == "contains":
        return pattern.lower() in value.lower()
    if signature["match_type"] == "prefix":
        return value.lower().startswith(pattern.lower())
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        return False
    return address.version == 4 and address in ipaddress.ip_network(pattern)


def verdicts(reports: Iterable[Report]) -> dict[str, tuple[float | None, str | None, int | None]]:
    """Event → (p_human, machine_reason, machine_rule_version), by the shipped rules."""
    rules = {r["rule"]: r for r in _seed_rows("machine_rules") if r["is_enabled"] == "true"}
    signatures = _seed_rows("machine_signatures")
    first: dict[str, Report] = {}
    for report in reports:
        known = first.get(report.event_id)
        key = (report.received_at, report.occurred_at, report.load_id, report.row_number)
        if known is None or key < (known.received_at, known.occurred_at, known.load_id, known.row_number):
            first[report.event_id] = report
    messages: dict[tuple[str, str | None], list[Report]] = defaultdict(list)
    for report in first.values():
        if report.message_id is not None:
            messages[report.message_id, ADDRESSES[report.email]].append(report)
    burst_seconds, burst_links = (int(rules["link_burst"][name]) for name in ("max_seconds", "min_links"))
    found: dict[str, tuple[float | None, str | None, int | None]] = {}
    for report in first.values():
        if report.event not in ("open", "click"):
            found[report.event_id] = (None, None, None)
            continue
        others = messages[report.message_id, ADDRESSES[report.email]] if report.message_id is not None else []
        holding = {
            s["rule"] for s in signatures if (value := _value(report, s["field"])) is not None and _matches(s, value)
        }
        if report.is_provider_flagged_machine:
            holding.add("provider_flag")
        for other in others:
            waited = report.occurred_at - other.occurred_at
            if other.event == "delivered" and timedelta(0) <= waited <= timedelta(
                seconds=int(rules["instant"]["max_seconds"])
            ):
                holding.add("instant")
        if report.event == "click" and others:
            clicks = [other for other in others if other.event == "click"]
            for start in clicks:
                window = (start.occurred_at, start.occurred_at + timedelta(seconds=burst_seconds))
                inside = {c.link_url for c in clicks if window[0] <= c.occurred_at <= window[1]} - {None}
                if len(inside) >= burst_links and window[0] <= report.occurred_at <= window[1]:
                    holding.add("link_burst")
            if not any(o.event == "open" and o.occurred_at <= report.occurred_at for o in others):
                holding.add("click_without_open")
        weighed = sorted(
            (float(rules[rule]["p_human"]), int(rules[rule]["rule_order"]), rule)
            for rule in holding
            if rule in rules and rules[rule][f"applies_to_{report.event}"] == "true"
        )
        if weighed:
            p_human, _, rule = weighed[0]
            found[report.event_id] = (p_human, rule, int(rules[rule]["version"]))
        else:
            found[report.event_id] = (1.0, None, None)
    return found


def _value(report: Report, field: str) -> str | None:
    value: str | None = getattr(report, field)
    return value.upper() if value is not None and field == "http_method" else value

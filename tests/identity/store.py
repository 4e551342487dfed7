"""Writes the tables of an identity graph by hand, in the shape that the models have, from a short description."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import duckdb

from identity.identifiers import Identifier

START = datetime(2026, 1, 1)
TABLES = """
create schema if not exists {schema};
create table {schema}.int_identity__identifiers (
    node_key bigint, identifier_type text, identifier_value text, tier text, stands_alone boolean, is_role boolean,
    first_seen_at timestamp, last_seen_at timestamp, available_at timestamp
);
create table {schema}.int_identity__identifier_profiles (
    identifier_type text, identifier_value text, profile_id text, linked_at timestamp, first_seen_at timestamp
);
create table {schema}.int_identity__quarantine (
    identifier_type text, identifier_value text, reason text, limit_name text, n_partners bigint
);
create table {schema}.int_identity__edges (
    left_key bigint, right_key bigint, left_type text, left_value text, right_type text, right_value text,
    strength bigint, first_seen_at timestamp, last_seen_at timestamp, n_seen bigint, n_sources bigint, sources text,
    tier text, is_active boolean, refusal text, refusal_detail text, available_at timestamp
);
create table {schema}.int_identity__components (node_key bigint, component_key bigint);
create table {schema}.int_identity__attachments (node_key bigint, component_key bigint, is_shared boolean);
create table {schema}.identity_splits (
    left_type text, left_value text, right_type text, right_value text, limit_kind text, limit_name text
);
create table {schema}.identity_changes (
    changed_at timestamp, before_profile_id text, after_profile_id text, kind text, n_identifiers bigint,
    is_before_alive boolean, cause text, cause_detail text
);
create table {schema}.identity_health (metric text, value double, threshold double, is_ok boolean);
"""


def name(text: str) -> Identifier:
    kind, _, value = text.partition(":")
    return Identifier(kind, value)


@dataclass
class Store:
    """Identifiers with the profile they belong to, and edges between them."""

    profiles: dict[str, str | None]
    """`type:value` → profile, None for nobody's."""
    edges: list[tuple[Any, ...]]
    """(one, other) and options as a dictionary: columns of the edge."""
    quarantine: dict[str, tuple[str, str, int]] = field(default_factory=dict)
    shared: frozenset[str] = frozenset()
    attach: frozenset[str] = frozenset()
    """Of tier attach, beside phone, device_id and anonymous_id."""

    def tier(self, text: str) -> str:
        attached = text in self.attach or name(text).type in {"phone", "device_id", "anonymous_id"}
        return "attach" if attached else "bridge"

    def write(self, con: duckdb.DuckDBPyConnection, schema: str = "analytics") -> None:
        con.execute(TABLES.format(schema=schema))
        keys = {text: key for key, text in enumerate(sorted(self.profiles), start=1)}
        components = {profile: key for key, profile in enumerate(dict.fromkeys(self.profiles.values()), start=1000)}

        linked = {end for edge in self.edges for end in edge[:2]}
        rows: dict[str, list[tuple[Any, ...]]] = {}

        def insert(table: str, *row: Any) -> None:
            rows.setdefault(table, []).append(row)

        for text, profile in self.profiles.items():
            identifier, tier = name(text), self.tier(text)
            pair = (identifier.type, identifier.value)
            seen = (START, START + timedelta(days=30))
            role = identifier.type == "email" and text in self.attach
            insert("int_identity__identifiers", keys[text], *pair, tier, True, role, *seen, START)
            if profile is not None:
                insert("int_identity__identifier_profiles", *pair, profile, START, START)
            component = components[profile] if profile is not None else None
            if tier == "attach":
                is_shared = text in self.shared
                insert("int_identity__attachments", keys[text], None if is_shared else component, is_shared)
            elif text not in self.quarantine and text in linked:  # one without an edge is a component unsaid
                insert("int_identity__components", keys[text], component or keys[text])
        for text, row in self.quarantine.items():
            insert("int_identity__quarantine", name(text).type, name(text).value, *row)
        for one, other, *options in self.edges:
            left, right = sorted((name(one), name(other)))
            by_name = {name(one): one, name(other): other}
            tiers = {self.tier(one), self.tier(other)}
            row = {
                "strength": 5, "first_seen_at": START, "last_seen_at": START + timedelta(days=10), "n_seen": 3,
                "n_sources": 1, "sources": "shop_order", "tier": "attach" if "attach" in tiers else "bridge",
                "is_active": True, "refusal": None, "refusal_detail": None, "available_at": START,
            } | (options[0] if options else {})  # fmt: skip
            insert(
                "int_identity__edges", keys[by_name[left]], keys[by_name[right]], left.type, left.value, right.type,
                right.value, *row.values(),
            )  # fmt: skip
        for table, values in rows.items():
            places = ", ".join([f"({', '.join('?' * len(values[0]))})"] * len(values))
            con.execute(f"insert into {schema}.{table} values {places}", [cell for row in values for cell in row])


REFUSED = {"is_active": False, "refusal": "quarantined", "refusal_detail": "email: more than 5 customer_id in 365 days"}


def small_store() -> Store:
    """Ann and her mother Eve share a phone and a browser; an office address and an oversized component stand between
    others."""
    return Store(
        profiles={
            "customer_id:7": "ann",
            "email:ann@example.org": "ann",
            "user_id:u1": "ann",
            "contact_id:c1": "ann",
            "device_id:d1": "ann",
            "customer_id:8": "eve",
            "email:eve@example.org": "eve",
            "phone:+442079460000": None,
            "anonymous_id:b1": "browser",
            "email:office@example.org": None,
            "customer_id:9": "nine",
            "user_id:u9": "nine",
            "loyalty_card:55": "card",
            "customer_id:10": "ten",
        },
        edges=[
            ("customer_id:7", "email:ann@example.org", {"strength": 8, "sources": "shop_customer,shop_order"}),
            ("customer_id:7", "user_id:u1", {"strength": 9}),
            ("email:ann@example.org", "user_id:u1", {"strength": 4}),
            ("contact_id:c1", "email:ann@example.org", {"sources": "crm_contact", "n_seen": 1}),
            ("device_id:d1", "user_id:u1", {"sources": "web_event"}),
            ("customer_id:8", "email:eve@example.org"),
            ("phone:+442079460000", "customer_id:7"),
            ("phone:+442079460000", "customer_id:8"),
            ("anonymous_id:b1", "user_id:u1"),
            ("anonymous_id:b1", "email:eve@example.org"),
            ("email:office@example.org", "customer_id:8", REFUSED),
            ("email:office@example.org", "customer_id:9", REFUSED),
            ("customer_id:9", "user_id:u9"),
            ("loyalty_card:55", "user_id:u9"),
            (
                "loyalty_card:55",
                "customer_id:10",
                {"is_active": False, "refusal": "cut", "refusal_detail": "rule_1"},
            ),
        ],
        quarantine={"email:office@example.org": ("over_budget", "more than 5 customer_id in 365 days", 40)},
        shared=frozenset({"phone:+442079460000", "anonymous_id:b1"}),
    )

"""The conditions as SQL against the reference evaluator, on random histories: no difference.

One compilation by dbt serves many worlds: the query is the same, the tables and the clock are not.
"""

from __future__ import annotations

import json
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.dbt import features_support as support
from tests.segments.inline import compile_inline
from tests.segments.oracle import Call, Row, World, holds, last_day, members
from tests.segments.worlds import RANK_KINDS, SEGMENTS, as_jinja, condition, definition, world

PROPERTIES = {
    "city": "text",
    "country": "text",
    "birth_year": "bigint",
    "average_order_value": "numeric",
    "revenue_lifetime": "numeric",
    "engagement_score": "bigint",
    "mean_days_between_purchases": "double precision",
    "stddev_days_between_purchases": "double precision",
    "tenure_days": "integer",
    "signed_up_at": "timestamp",
    "first_purchase_at": "timestamp",
    "first_seen_at": "timestamp",
    "last_session_at": "timestamp",
    "has_signed_up": "boolean",
    "is_email_role": "boolean",
}
OF_DIM_PROFILES = {"city", "country", "birth_year", "signed_up_at", "first_seen_at", "is_email_role", "time_zone"}
WINDOWED = {
    "page_views": ("page", "n_page_views"),
    "product_views": ("Product Viewed", "n_product_views"),
    "cart_adds": ("Product Added", "n_cart_adds"),
    None: ("Checkout Started", "n_checkouts"),
    "demo_requests": ("Demo Requested", "n_demo_requests"),
}
MAILS = {
    ("sent", None): ("n_emails_sent", None),
    ("delivered", None): ("n_emails_delivered", "emails_delivered"),
    ("open", False): ("n_human_opens", "human_opens"),
    ("click", False): ("n_human_clicks", "human_clicks"),
    ("unsubscribe", None): ("n_unsubscribes", None),
}
N_CONDITIONS = 80
N_SEGMENTS = 12
N_ALONE = 25
"""So many are computed each in a query of its own too, which reads fewer days."""
WORLDS = [(seed, 150) for seed in range(7)]
SMALL_WORLDS = [(seed, 25) for seed in range(100, 103)]
"""(seed, people). Ranks among all people take the reference the square of the time: compared here."""


def visible(row: Row, at: str, made: World) -> bool:
    return (
        row[at] < made.as_of
        and row["known_at"] <= made.known_at
        and row["linked_at"] is not None
        and row["linked_at"] < made.as_of
    )


def visible_world(made: World) -> World:
    """Only what the facts of a build at that clock hold."""
    return replace(
        made,
        web_events=[row for row in made.web_events if visible(row, "occurred_at", made)],
        email_events=[row for row in made.email_events if visible(row, "occurred_at", made)],
        orders=[row for row in made.orders if visible(row, "ordered_at", made)],
        order_lines=[row for row in made.order_lines if visible(row, "ordered_at", made)],
    )


def days(made: World) -> list[Row]:
    """`profile_daily`, by counting."""
    counted: dict[tuple[str, date], Counter[str]] = defaultdict(Counter)
    for row in made.web_events:
        for event, measure in WINDOWED.values():
            if row["event_name"] == event:
                counted[row["profile_id"], row["occurred_on"]][measure] += 1
    for row in made.email_events:
        for (kind, machine), (measure, _) in MAILS.items():
            if row["event_type"] == kind and machine in (None, row["is_machine"]):
                counted[row["profile_id"], row["occurred_on"]][measure] += 1
    names = [measure for _, measure in WINDOWED.values()] + [measure for measure, _ in MAILS.values()]
    return [
        {"profile_id": profile_id, "activity_on": on} | {name: n.get(name, 0) for name in names}
        for (profile_id, on), n in counted.items()
    ]


def features(made: World, daily: list[Row]) -> list[Row]:
    """`profile_features`: random properties, and the windowed counts that the events give."""
    counted: dict[str, Row] = {
        profile_id: {"profile_id": profile_id, "as_of": made.as_of, "as_of_on": last_day(made)}
        | {name: person[name] for name in PROPERTIES if name not in OF_DIM_PROFILES}
        for profile_id, person in made.people.items()
    }
    by_measure = {measure: feature for feature, (_, measure) in WINDOWED.items() if feature}
    by_measure |= {measure: feature for measure, feature in MAILS.values() if feature}
    additions: list[tuple[str, date, str, Any]] = []
    for row in daily:
        additions += [
            (row["profile_id"], row["activity_on"], feature, row[measure]) for measure, feature in by_measure.items()
        ]
    for row in made.orders:
        if row["net_quantity"] > 0:
            additions += [
                (row["profile_id"], row["ordered_on"], "orders", 1),
                (row["profile_id"], row["ordered_on"], "items", row["net_quantity"]),
                (row["profile_id"], row["ordered_on"], "revenue", row["net_revenue"]),
            ]
    for row in counted.values():
        for name in ("orders", "items", *by_measure.values()):
            row.update({f"{name}_{window}": 0 for window in ("7d", "30d", "90d", "365d", "lifetime")})
        row.update({f"revenue_{window}": Decimal(0) for window in ("7d", "30d", "90d", "365d")})
    for profile_id, on, name, n in additions:
        for window in (7, 30, 90, 365):
            if on > last_day(made) - timedelta(days=window):
                counted[profile_id][f"{name}_{window}d"] += n
        if name != "revenue":  # of all time: one of the random properties
            counted[profile_id][f"{name}_lifetime"] += n
    return list(counted.values())


def write_world(con: duckdb.DuckDBPyConnection, made: World, own: list[str], tables: Mapping[str, list[str]]) -> None:
    """Every relation that conditions read, as a build at the world's clock would leave it."""
    seen = visible_world(made)
    daily = days(seen)
    in_use = {name: sorted(ids) for name, ids in made.memberships.items()}
    rows: dict[str, list[Row]] = {
        "clock": [{"as_of": made.as_of, "known_at": made.known_at}],
        "profile_features": features(seen, daily),
        "profile_daily": daily,
        "dim_profiles": [
            {"profile_id": profile_id, "last_name": "".join(n for n in SEGMENTS if profile_id in in_use[n])}
            | {name: person[name] for name in OF_DIM_PROFILES}
            for profile_id, person in made.people.items()
        ],
        "fct_web_events": seen.web_events,
        "fct_email_events": seen.email_events,
        "fct_orders": [row | {"is_purchase": row["net_quantity"] > 0} for row in seen.orders],
        "fct_order_lines": seen.order_lines,
        "dim_products": [
            {"product_id": product, "category": category}
            for product, category in {(row["product_id"], row["category"]) for row in seen.order_lines}
            if product
        ],
        "profile_interests": made.interests,
        "dim_consent": made.consent,
        "lifecycle_transitions": made.transitions,
        "segment_membership_history": [row for row in made.membership_history if row["segment_name"] in SEGMENTS]
        + [
            row | {"segment_name": name}
            for row in made.membership_history
            for name in own
            if row["segment_name"] == "own"
        ],
    }
    # some have become one with somebody else since: what was recorded is under the id that they had
    former = {profile_id: f"former-{profile_id}" for profile_id in sorted(made.people)[::5]}
    rows["identity_successions"] = [{"former_profile_id": old, "profile_id": new} for new, old in former.items()]
    rows["segment_membership_history"] = [
        row | {"profile_id": former.get(row["profile_id"], row["profile_id"])}
        for row in rows["segment_membership_history"]
    ]
    for name, columns in tables.items():
        con.execute(f'delete from analytics."{name}"')
        if rows[name]:
            values = ",\n".join(
                f"({', '.join(sql_literal(row.get(column)) for column in columns)})" for row in rows[name]
            )
            con.execute(f'insert into analytics."{name}" values {values}')


def sql_literal(value: Any) -> str:
    """One statement with literals is a hundred times as quick as bound rows."""
    if value is None:
        return "null"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return f"'{value}'" if isinstance(value, date) else str(value)


def of_one(made: World, profile_id: str, by_person: Mapping[str, Mapping[str, list[Row]]]) -> World:
    """The same world with this person's rows alone, so that the plain loops of the reference end."""
    own = by_person[profile_id]
    return replace(made, **{name: own.get(name, []) for name in ROWS_OF_PEOPLE})


ROWS_OF_PEOPLE = (
    "web_events",
    "email_events",
    "orders",
    "order_lines",
    "interests",
    "consent",
    "membership_history",
    "transitions",
)


def asks_for(call: Any, names: Collection[str]) -> bool:
    """Is one of these conditions in it, however deep?"""
    if isinstance(call, Call):
        return call.name in names or asks_for(call.args, names)
    if isinstance(call, dict):
        return asks_for(list(call.values()), names)
    return isinstance(call, (list, tuple)) and any(asks_for(one, names) for one in call)


def is_among_all(segment: Row) -> bool:
    return "capacity" in segment or asks_for(segment, RANK_KINDS)


def expected(made: World, definitions: Mapping[str, Row]) -> dict[str, set[str]]:
    by_person: dict[str, dict[str, list[Row]]] = {profile_id: defaultdict(list) for profile_id in made.people}
    for name in ROWS_OF_PEOPLE:
        for row in getattr(made, name):
            if row["profile_id"] in by_person:
                by_person[row["profile_id"]][name].append(row)
    alone = {profile_id: of_one(made, profile_id, by_person) for profile_id in made.people}
    found = {}
    for name, segment in definitions.items():
        if is_among_all(segment):
            found[name] = members(segment, made)
            continue
        parts = [*segment["all_of"]]
        parts += [Call("any_of", {"conditions": segment["any_of"]})] if "any_of" in segment else []
        parts += [Call("none_of", {"conditions": segment["none_of"]})] if "none_of" in segment else []
        found[name] = {one for one in made.people if all(holds(part, one, alone[one]) for part in parts)}
    return found


def as_segment(name: str, segment: Row) -> str:
    options = {key: value for key, value in segment.items() if key not in ("all_of", "any_of", "none_of")}
    lists = ", ".join(
        f"'{key}': [{', '.join(as_jinja(one) for one in segment.get(key, []))}]"
        for key in ("all_of", "any_of", "none_of")
    )
    capacity = options.get("capacity", "none")
    by = f"'{options['by']}'" if "by" in options else "none"
    smallest = str(options.get("smallest_first", False)).lower()
    return f"{{'name': '{name}', {lists}, 'capacity': {capacity}, 'by': {by}, 'smallest_first': {smallest}}}"


def listed(name: str) -> str:
    """The world's members of a segment, by a mark on their row."""
    has_mark = f"prop('last_name', 'contains', '{name}')"
    return f"{{'name': '{name}', 'all_of': [{has_mark}], 'any_of': [], 'none_of': [], 'capacity': none}}"


@pytest.mark.parametrize("zone", ["UTC", "Europe/Vienna"])
def test_no_difference(zone: str, one_place: Callable[[], Path]) -> None:
    settings = support.new_settings(one_place())
    rng = random.Random(f"conditions of {zone}")
    first = world(0, 20, PROPERTIES, time_zone=zone)
    definitions = {f"k{n}": {"all_of": [condition(rng, PROPERTIES, at=first)]} for n in range(N_CONDITIONS)}
    definitions |= {f"s{n}": definition(rng, PROPERTIES, at=first) for n in range(N_SEGMENTS)}
    tables = empty_tables(settings)
    text = ",\n".join(
        [listed(name) for name in SEGMENTS] + [as_segment(name, one) for name, one in definitions.items()]
    )
    marks = ", ".join(listed(name) for name in SEGMENTS)
    few = [name for name, one in definitions.items() if not is_among_all(one)][:N_ALONE]
    alone = ", ".join(f"members_query([{marks}, {as_segment(name, definitions[name])}])" for name in few)
    query, *each = json.loads(
        compile_inline(
            settings,
            f"tojson([members_query([{text}]), {alone}])",
            variables={"business_time_zone": zone} if zone != "UTC" else None,
        )
    )
    n_compared = n_members = 0
    with duckdb.connect(str(settings.warehouse_path)) as con:
        con.execute("set TimeZone = 'UTC'")
        for seed, n_people in WORLDS + SMALL_WORLDS:
            made = world(seed, n_people, PROPERTIES, time_zone=zone)
            write_world(con, made, [name for name, one in definitions.items() if asks_for(one, {"hysteresis"})], tables)
            found: dict[str, set[str]] = defaultdict(set)
            for profile_id, name in con.execute(f"select profile_id, segment_name from ({query})").fetchall():
                found[name].add(profile_id)
            for name, own in zip(few, each, strict=True):  # what it asks for alone is read, and no more
                sql = f"select profile_id from ({own}) where segment_name = '{name}'"
                assert {row[0] for row in con.execute(sql).fetchall()} == found[name], definitions[name]
            is_small = (seed, n_people) in SMALL_WORLDS
            asked = {name: one for name, one in definitions.items() if is_among_all(one) == is_small}
            wanted = expected(made, asked)
            wrong = {
                name: (sorted(found[name] - wanted[name])[:3], sorted(wanted[name] - found[name])[:3], asked[name])
                for name in asked
                if found[name] != wanted[name]
            }
            assert not wrong, f"seed {seed}, {len(wrong)} of {len(asked)}: {show(wrong)}"
            n_compared += len(asked) * len(made.people)
            n_members += sum(len(ids) for ids in wanted.values())
    assert n_compared >= 70_000
    assert 0.05 < n_members / n_compared < 0.95, "conditions that hold for nobody, or for all, compare nothing"


def show(wrong: Mapping[str, Any]) -> str:
    lines = []
    for name, (more, less, segment) in list(wrong.items())[:12]:
        lines.append(f"\n{name}: too many {more}, missing {less}\n    {as_segment(name, segment)}")
    return "".join(lines)


def empty_tables(settings: Any) -> dict[str, list[str]]:
    """Every table that conditions read, empty; its columns in order."""
    extra = {
        "profile_daily": "profile_id text, activity_on date, n_page_views bigint, n_product_views bigint, "
        "n_cart_adds bigint, n_checkouts bigint, n_demo_requests bigint, n_emails_sent bigint, "
        "n_emails_delivered bigint, n_human_opens bigint, n_human_clicks bigint, n_unsubscribes bigint",
        "lifecycle_transitions": "profile_id text, vocabulary text, to_stage text, transitioned_at timestamp",
        "segment_membership_history": "profile_id text, segment_name text, entered_at timestamp, left_at timestamp",
        "dim_profiles": support.COLUMNS["dim_profiles"] + ", is_email_role boolean",
        "fct_email_events": support.COLUMNS["fct_email_events"] + ", bounce_type text",
    }
    windows = [f"{days}d" for days in (7, 30, 90, 365)]
    names = [
        "orders",
        "items",
        "page_views",
        "product_views",
        "cart_adds",
        "emails_delivered",
        "human_opens",
        "human_clicks",
    ]
    kinds = {"bigint": "bigint", "numeric": "numeric(18,2)", "double precision": "double precision"}
    extra["profile_features"] = ", ".join(
        ["profile_id text", "as_of timestamp", "as_of_on date", "demo_requests_lifetime bigint"]
        + [f"{name}_{window} bigint" for name in names for window in [*windows, "lifetime"]]
        + [f"revenue_{window} numeric(18,2)" for window in windows]
        + [f"{name} {kinds.get(kind, kind)}" for name, kind in PROPERTIES.items() if name not in OF_DIM_PROFILES]
    )
    found = {}
    settings.home.mkdir(parents=True, exist_ok=True)
    with duckdb.connect(str(settings.warehouse_path)) as con:
        con.execute("create schema analytics")
        for name in (
            "clock", "profile_features", "profile_daily", "dim_profiles", "fct_web_events", "fct_email_events",
            "fct_orders", "fct_order_lines", "dim_products", "profile_interests", "dim_consent",
            "lifecycle_transitions", "identity_successions", "segment_membership_history",
        ):  # fmt: skip
            con.execute(f'create table analytics."{name}" ({extra.get(name) or support.COLUMNS[name]})')
            found[name] = [row[0] for row in con.execute(f'describe analytics."{name}"').fetchall()]
    return found

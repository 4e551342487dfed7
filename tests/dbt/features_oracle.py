"""Features, stages, scores, segments and offers written down again from the specification, in plain Python.

Shares no code with the models: loops over rows, one profile and one cut-off at a time.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import statistics
from collections import defaultdict
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from typing import Any

from tests.dbt.features_data import local_date

WINDOWS = (7, 30, 90, 365)
MICROSECOND = timedelta(microseconds=1)
Row = dict[str, Any]


def day_of(cutoff: datetime) -> date:
    """Local day of the last instant before the cut-off."""
    return local_date(cutoff - MICROSECOND)


def features(
    rows: Mapping[str, list[Row]], profile_id: str, cutoff: datetime, known_at: datetime | None = None
) -> Row | None:
    """Every feature of a profile as of a cut-off, from what was known by an instant (by the cut-off, unless given).

    None if no identifier of it was known by then.
    """
    known_at = known_at or cutoff
    links = [r for r in rows["int_identity__identifier_profiles"] if r["profile_id"] == profile_id]
    links = [r for r in links if r["linked_at"] < cutoff]
    if not links:
        return None
    known = {(r["identifier_type"], r["identifier_value"]) for r in links}
    today = day_of(cutoff)

    def seen(row: Row, at: str) -> bool:
        return row[at] < cutoff and row.get("known_at", row[at]) <= known_at

    def mine(relation: str, at: str) -> list[Row]:
        return [
            r for r in rows[relation]
            if (r["identifier_type"], r["identifier_value"]) in known and seen(r, at)
        ]  # fmt: skip

    web, mail = mine("fct_web_events", "occurred_at"), mine("fct_email_events", "occurred_at")
    human = [r for r in mail if r["event_type"] in ("open", "click") and not r["is_machine"]]
    placed = mine("fct_orders", "ordered_at")
    starts, previous = set(), {}
    for event in sorted(rows["fct_web_events"], key=lambda r: (r["occurred_at"], r["web_event_id"])):
        if seen(event, "occurred_at"):
            # a session is of one device here: what came later may have bridged a silence
            before = previous.get(event["session_id"])
            if before is None or event["occurred_at"] - before > timedelta(minutes=30):
                starts.add(event["web_event_id"])
            previous[event["session_id"]] = event["occurred_at"]
    brought_or_cancelled = [
        r for r in mine("int_orders__lines", "ordered_at")
        if (r["order_type"], r["excluded_reason"]) in (("return", None), ("sale", "cancelled_order"))
    ]  # fmt: skip
    done = [(r["occurred_on"], r["occurred_at"]) for r in web + human] + [
        (r["ordered_on"], r["ordered_at"]) for r in placed + brought_or_cancelled
    ]

    back: dict[str, int] = defaultdict(int)
    for match in rows["int_orders__return_matches"]:
        if match["returned_at"] < cutoff:
            back[match["order_line_id"]] += match["quantity"]
    orders: dict[str, Row] = {}
    returned = Decimal(0)
    not_yet_cancelled = [r for r in mine("int_orders__cancelled_sales", "ordered_at") if r["cancelled_at"] >= cutoff]
    for line in mine("fct_order_lines", "ordered_at") + not_yet_cancelled:
        order = orders.setdefault(
            line["order_id"], {"on": line["ordered_on"], "at": line["ordered_at"], "items": 0, "revenue": Decimal(0)}
        )
        kept = line["quantity"] - back[line["order_line_id"]]
        order["items"] += kept
        order["revenue"] += kept * line["unit_price"]
        returned += back[line["order_line_id"]] * line["unit_price"]
    bought = [order for order in orders.values() if order["items"] > 0]

    def count(events: list[Row], test: Callable[[Row], bool], on: str, days: int | None) -> int:
        return sum(1 for r in events if test(r) and (days is None or r[on] > today - timedelta(days=days)))

    counted: dict[str, tuple[list[Row], Callable[[Row], bool]]] = {
        "sessions": (web, lambda r: r["web_event_id"] in starts),
        "page_views": (web, lambda r: r["event_name"] == "page"),
        "product_views": (web, lambda r: r["event_name"] == "Product Viewed"),
        "cart_adds": (web, lambda r: r["event_name"] == "Product Added"),
        "emails_delivered": (mail, lambda r: r["event_type"] == "delivered"),
        "human_opens": (human, lambda r: r["event_type"] == "open"),
        "human_clicks": (human, lambda r: r["event_type"] == "click"),
    }
    out: Row = {"profile_id": profile_id, "as_of": cutoff, "known_at": known_at, "as_of_on": today}
    for days in (*WINDOWS, None):
        suffix = f"{days}d" if days else "lifetime"
        inside = [o for o in bought if days is None or o["on"] > today - timedelta(days=days)]
        out[f"orders_{suffix}"] = len(inside)
        out[f"items_{suffix}"] = sum(o["items"] for o in inside)
        out[f"revenue_{suffix}"] = sum((o["revenue"] for o in inside), Decimal(0))
        out[f"active_days_{suffix}"] = len({on for on, _ in done if days is None or on > today - timedelta(days=days)})
        for name, (events, test) in counted.items():
            out[f"{name}_{suffix}"] = count(events, test, "occurred_on", days)
    profile = next(r for r in rows["dim_profiles"] if r["profile_id"] == profile_id)
    out["has_signed_up"] = profile["signed_up_at"] is not None and profile["signed_up_at"] < cutoff
    first_seen = [local_date(min(r["linked_at"] for r in links))]
    first_seen += [r["occurred_on"] for r in web + mail] + [r["ordered_on"] for r in placed + brought_or_cancelled]
    out["tenure_days"] = (today - min(first_seen)).days
    out["returned_revenue_lifetime"] = returned
    out["demo_requests_lifetime"] = count(web, lambda r: r["event_name"] == "Demo Requested", "occurred_on", None)
    buying_days = sorted({o["on"] for o in bought})
    gaps = [(b - a).days for a, b in itertools.pairwise(buying_days)]
    out["purchase_days_lifetime"] = len(buying_days)
    out["first_purchase_at"] = min((o["at"] for o in bought), default=None)
    out["last_purchase_at"] = max((o["at"] for o in bought), default=None)
    out["days_since_first_purchase"] = (today - buying_days[0]).days if bought else None
    out["recency_days"] = (today - buying_days[-1]).days if bought else None
    cent = Decimal("0.01")
    out["average_order_value"] = (
        (out["revenue_lifetime"] / len(bought)).quantize(cent, ROUND_HALF_UP) if bought else None
    )
    out["first_day_revenue"] = (
        sum((o["revenue"] for o in bought if o["on"] == buying_days[0]), Decimal(0)) if bought else None
    )
    out["mean_days_between_purchases"] = statistics.mean(gaps) if gaps else None
    out["stddev_days_between_purchases"] = statistics.stdev(gaps) if len(gaps) > 1 else None
    out["max_days_between_purchases"] = max(gaps, default=None)
    out["last_session_at"] = max((r["occurred_at"] for r in web), default=None)
    out["last_human_email_at"] = max((r["occurred_at"] for r in human), default=None)
    out["last_human_activity_at"] = max((at for _, at in done), default=None)
    out["days_since_human_activity"] = (today - max(on for on, _ in done)).days if done else None
    points = {"sessions": 1, "product_views": 1, "cart_adds": 3, "human_opens": 1, "human_clicks": 3, "orders": 10}
    out["engagement_score"] = sum(out[f"{name}_90d"] * weight for name, weight in points.items())
    return out


def stages(feature: Row) -> tuple[str, str]:
    """(customer_stage, journey_stage) of a profile."""
    if feature["orders_lifetime"]:
        if feature["days_since_human_activity"] >= 180:
            customer = "lapsed_customer"
        elif feature["orders_90d"] >= 2:
            customer = "repeat_buyer"
        elif feature["days_since_first_purchase"] < 30:
            customer = "new_customer"
        else:
            customer = "active_customer"
        loyal = customer == "repeat_buyer" and feature["revenue_lifetime"] >= 500
        return customer, "loyalty" if loyal else "customer"
    looked = feature["product_views_30d"] or feature["cart_adds_30d"]
    return "prospect" if feature["has_signed_up"] else "visitor", "consideration" if looked else "awareness"


def rhythm_horizon_days(feature: Row, together: list[Row]) -> int:
    """Three of a buyer's own gaps, with two of the mean gap of all buyers `together` counted in: 14 to 90 days."""

    def gaps(of: Row) -> tuple[int, int]:
        return of["days_since_first_purchase"] - of["recency_days"], of["purchase_days_lifetime"] - 1

    days, n = (sum(each) for each in zip(*map(gaps, together), strict=True))
    if not n:
        return 90
    own_days, own_n = gaps(feature)
    return min(90, max(14, math.ceil(3 * (own_days + 2 * Fraction(days, n)) / (own_n + 2))))


def engagement_level(feature: Row) -> str:
    """Level of human engagement."""
    days = feature["days_since_human_activity"]
    if days is None:
        return "never"
    if days >= 90:
        return "dormant"
    return "highly_engaged" if days < 30 and feature["engagement_score"] >= 30 else "active"


def rfm(today: list[Row]) -> dict[str, tuple[int, int, int]]:
    """Scores by profile: five equal parts of the ranks, ties together; whoever is alone has the lowest."""
    buyers = [f for f in today if f["orders_365d"]]

    def score(value: Callable[[Row], Any], of: Row) -> int:
        below = sum(1 for other in buyers if value(other) < value(of))
        return min(5, 1 + math.floor(Fraction(5 * below, max(len(buyers) - 1, 1))))

    return {
        f["profile_id"]: (
            score(lambda r: -r["recency_days"], f),
            score(lambda r: r["orders_365d"], f),
            score(lambda r: r["revenue_365d"], f),
        )
        for f in buyers
    }


def segments(
    rows: Mapping[str, list[Row]], today: list[Row], cells: dict[str, str], as_of: datetime
) -> set[tuple[str, str]]:
    """(profile, segment) of everybody; `cells` maps a profile to its RFM cell."""
    out: set[tuple[str, str]] = set()
    on = day_of(as_of)
    for feature in today:
        who = feature["profile_id"]
        web = [r for r in rows["fct_web_events"] if r["profile_id"] == who]
        names_48h = {r["event_name"] for r in web if r["occurred_at"] >= as_of - timedelta(hours=48)}
        adds = [r["occurred_at"] for r in web if r["event_name"] == "Product Added"]
        orders = [r["ordered_at"] for r in rows["fct_orders"] if r["profile_id"] == who]
        opened_3d = any(
            r["profile_id"] == who and r["event_type"] == "open" and not r["is_machine"]
            and r["occurred_on"] > on - timedelta(days=3)
            for r in rows["fct_email_events"]
        )  # fmt: skip
        profile = next(r for r in rows["dim_profiles"] if r["profile_id"] == who)
        customer, _ = stages(feature)
        tests = {
            "viewed_not_carted_48h": "Product Viewed" in names_48h and "Product Added" not in names_48h,
            "abandoned_cart_24h": bool(adds)
            and as_of - timedelta(hours=168) < max(adds) <= as_of - timedelta(hours=24)
            and not any(at >= max(adds) for at in orders),
            "recent_buyers_opening": feature["orders_7d"] > 0 and opened_3d,
            "vip_engaged": feature["engagement_score"] >= 100,
            "frequent_buyers_30d": feature["orders_30d"] >= 3,
            "high_order_value": (feature["average_order_value"] or 0) > 100,
            "no_session_7d": bool(web) and max(r["occurred_on"] for r in web) <= on - timedelta(days=7),
            "at_risk": cells.get(who) in ("at_risk", "cant_lose_them"),
            "lapsed": customer == "lapsed_customer",
            "qualified_leads": customer == "prospect" and any(r["event_name"] == "Demo Requested" for r in web),
            "new_york_repeat_category": (profile["city"] or "").strip().lower() == "new york"
            and customer == "repeat_buyer"
            and any(
                r["event_name"] == "Product Viewed" and r["category"] == "garden"
                and r["occurred_on"] > on - timedelta(days=90) for r in web
            ),
            "interested_in_topic": any(
                r["profile_id"] == who and r["interest"] == "garden" for r in rows["profile_interests"]
            ),
        }  # fmt: skip
        out |= {(who, name) for name, holds in tests.items() if holds}
    return out


def _agreed_address(rows: Mapping[str, list[Row]], profile: Row) -> tuple[str, str]:
    """Consent covers the address at which it was given: the one in use, else the newest other one, else none."""
    agreed = sorted(
        (
            (state["decided_at"], state["email"])
            for state in rows["int_consent__address_states"]
            if state["profile_id"] == profile["profile_id"]
            and (state["channel"], state["purpose"], state["state"]) == ("email", "newsletter", "granted")
            and not state["is_bounced"]
        ),
        key=lambda one: (datetime(9999, 1, 1) - one[0], one[1]),
    )
    emails = [email for _, email in agreed]
    if profile["email"] in emails:
        return profile["email"], "subscribe"
    return (emails[0], "subscribe") if emails else (profile["email"], "update_only")


def subscribers(rows: Mapping[str, list[Row]], today: list[Row]) -> dict[str, tuple[str, str]]:
    """hash of the address → (profile that lends its data, verdict of the address)."""
    activity = {f["profile_id"]: f["last_human_activity_at"] or datetime(1, 1, 1) for f in today}
    verdict_of = {
        "granted": "subscribe",
        "withdrawn": "unsubscribe",
        "suppressed": "unsubscribe",
        "unknown": "update_only",
    }
    by_address: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for profile in rows["dim_profiles"]:
        for consent in rows["dim_consent"]:
            if consent["profile_id"] == profile["profile_id"] and consent["purpose"] == "newsletter":
                verdict, email = verdict_of[consent["state"]], profile["email"]
                if verdict == "subscribe":
                    email, verdict = _agreed_address(rows, profile)
                by_address[email].append((profile["profile_id"], verdict))
    order = ("unsubscribe", "update_only", "subscribe")
    return {
        hashlib.md5(address.lower().encode()).hexdigest(): (
            min(people, key=lambda p: (datetime(9999, 1, 1) - activity[p[0]], p[0]))[0],
            min((verdict for _, verdict in people), key=order.index),
        )
        for address, people in by_address.items()
    }

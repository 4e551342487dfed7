"""Recommendations written down again from the specification (docs/recommendations.md), in plain Python.

Shares no code with the models: loops over rows, one person at a time. Without rules.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Any

from tests.dbt.features_oracle import day_of

Row = dict[str, Any]
PLACEMENTS = {"email": 3, "cart": 4, "post_purchase": 4}
LONG_AGO = datetime(1, 1, 1)


def kept(rows: Mapping[str, list[Row]]) -> list[Row]:
    """Lines of which something was kept."""
    return [line for line in rows["fct_order_lines"] if line["net_quantity"] > 0]


def low_gap(gaps: list[int]) -> float:
    """The shortest gap that a tenth of all gaps does not exceed; 0 of none."""
    return sorted(gaps)[(len(gaps) + 9) // 10 - 1] if gaps else 0


def intervals(rows: Mapping[str, list[Row]]) -> dict[str, int]:
    """Days within which a product is not offered again."""
    days_of: dict[tuple[str, str], set[date]] = defaultdict(set)
    for line in kept(rows):
        if line["profile_id"]:
            days_of[line["profile_id"], line["product_id"]].add(line["ordered_on"])
    gaps: dict[str, list[int]] = defaultdict(list)
    for (_, product), days in days_of.items():
        ordered = sorted(days)
        gaps[product] += [(after - before).days for before, after in pairwise(ordered)]
    category_of = {p["product_id"]: p["category"] for p in rows["dim_products"]}
    store = [gap for of_one in gaps.values() for gap in of_one]
    out = {}
    for product, category in category_of.items():
        alike = [gap for other, of_one in gaps.items() if category and category_of[other] == category for gap in of_one]
        of_category = (len(alike) * low_gap(alike) + 20 * (low_gap(store) if store else 30)) / (len(alike) + 20)
        own = gaps[product]
        out[product] = math.floor(0.5 + (len(own) * low_gap(own) + 20 * of_category) / (len(own) + 20))
    return out


def left_out(rows: Mapping[str, list[Row]], who: str, on: date) -> dict[str, set[str]]:
    """What keeps products from being offered to a person: always, in_cart and bought."""
    mine = [line for line in rows["fct_order_lines"] if line["profile_id"] == who]
    out = {
        "always": {line["product_id"] for line in mine if line["last_returned_at"]},
        "in_cart": set(),
        "bought": set(),
    }
    own = {
        (r["identifier_type"], r["identifier_value"])
        for r in rows["int_identity__identifier_profiles"] if r["profile_id"] == who
    }  # fmt: skip
    out["always"] |= {
        r["product_id"] for r in rows["int_orders__lines"]
        if (r["identifier_type"], r["identifier_value"]) in own and r["order_type"] == "return"
        and r["excluded_reason"] in (None, "price_not_positive")
    }  # fmt: skip
    days = intervals(rows)
    for line in mine:
        if line["net_quantity"] > 0:
            out["bought"].add(line["product_id"])
            if (on - line["ordered_on"]).days < days[line["product_id"]]:
                out["always"].add(line["product_id"])
    for event in rows["fct_web_events"]:
        if event["profile_id"] != who or event["event_name"] != "Product Added":
            continue
        product = event["product_id"]
        bought_at = max((r["ordered_at"] for r in mine if r["product_id"] == product), default=LONG_AGO)
        if event["occurred_on"] > on - timedelta(days=7) and bought_at < event["occurred_at"]:
            out["in_cart"].add(product)
    return out


def top_category(rows: Mapping[str, list[Row]], who: str, on: date) -> str | None:
    """The category that most of what a person did and said of late is about."""
    category_of = {p["product_id"]: p["category"] for p in rows["dim_products"]}
    weight: dict[str | None, int] = defaultdict(int)
    recent = on - timedelta(days=90)
    for r in rows["fct_web_events"]:
        if r["profile_id"] == who and r["event_name"] == "Product Viewed" and r["occurred_on"] > recent:
            weight[category_of[r["product_id"]]] += 2
    for r in kept(rows):
        if r["profile_id"] == who and r["ordered_on"] > recent:
            weight[category_of[r["product_id"]]] += 6
    for r in rows["profile_interests"]:
        if r["profile_id"] == who and r["interest"] in category_of.values():
            weight[r["interest"]] += 1
    weight.pop(None, None)
    return min(weight, key=lambda category: (-weight[category], str(category))) if weight else None


def first_buyers(rows: Mapping[str, list[Row]], source: str, on: date) -> dict[str, int]:
    """Product → people from a source who began with it, where at least five did."""
    people = {p["profile_id"] for p in rows["dim_profiles"] if p["source"] == source}
    buyers: dict[str, set[str]] = defaultdict(set)
    for who in people:
        mine = [line for line in kept(rows) if line["profile_id"] == who]
        first = min((line["ordered_on"] for line in mine), default=date(1, 1, 1))
        if first > on - timedelta(days=365):
            for line in mine:
                if line["ordered_on"] == first:
                    buyers[line["product_id"]].add(who)
    return {product: len(those) for product, those in buyers.items() if len(those) >= 5}


def recommendations(rows: Mapping[str, list[Row]], as_of: datetime) -> dict[tuple[str, str], list[tuple[str, str]]]:
    """(profile, placement) → (product, rung), best first."""
    on = day_of(as_of)
    lines = kept(rows)
    products = {
        p["product_id"]: p
        for p in rows["dim_products"]
        if p["is_product"] and p["is_in_stock"] and p["price"] > 0 and p["product_name"]
    }

    def sold(product_id: str, days: int | None) -> int:
        return len({
            r["order_id"] for r in lines
            if r["product_id"] == product_id and (days is None or r["ordered_on"] > on - timedelta(days=days))
        })  # fmt: skip

    by_popularity = sorted(products, key=lambda p: (-sold(p, 28), -sold(p, None), p))
    out: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for profile in rows["dim_profiles"]:
        who = profile["profile_id"]
        if profile["email"] is None:
            continue
        agrees = any(
            c["profile_id"] == who and c["purpose"] == "profiling" and c["state"] == "granted"
            for c in rows["dim_consent"]
        )
        without = left_out(rows, who, on)
        fresh = [
            c for c in rows["ml.recommendation_candidates"]
            if c["profile_id"] == who and as_of - timedelta(days=7) < c["as_of"] <= as_of
        ]  # fmt: skip
        for placement, n in PLACEMENTS.items():
            own = sorted((c for c in fresh if c["placement"] == placement), key=lambda c: c["rank"])
            if placement != "email" and not (agrees and own):
                continue
            ladder: list[tuple[str, str]] = []
            if agrees:
                ladder += [(c["product_id"], "personal") for c in own]
                top = top_category(rows, who, on)
                alike = [p for p in by_popularity if top and products[p]["category"] == top]
                ladder += [(p, "category") for p in alike if sold(p, 28)]
                if profile["source"] and not without["bought"]:
                    counts = first_buyers(rows, profile["source"], on)
                    begun = [p for p in by_popularity if p in counts]
                    ladder += [(p, "source") for p in sorted(begun, key=lambda p: -counts[p])]
            ladder += [(p, "popular") for p in by_popularity]
            refused = without["always"] | {"cart": without["in_cart"], "post_purchase": without["bought"]}.get(
                placement, set()
            )
            chosen: dict[str, str] = {}
            for product, rung in ladder:
                if product in products and product not in refused:
                    chosen.setdefault(product, rung)
            out[who, placement] = _spread(list(chosen.items()), products)[:n]
    return out


def _spread(offers: list[tuple[str, str]], products: Mapping[str, Row]) -> list[tuple[str, str]]:
    """At most two of a category, then the others."""
    seen: dict[str | None, int] = defaultdict(int)
    first, later = [], []
    for product, rung in offers:
        category = products[product]["category"]
        seen[category] += 1
        (later if category and seen[category] > 2 else first).append((product, rung))
    return first + later

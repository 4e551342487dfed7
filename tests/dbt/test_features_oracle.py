"""The models against the specification written down again in plain Python, on small random data."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import duckdb
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.dbt import features_oracle as oracle
from tests.dbt import features_support as support
from tests.dbt.features_data import AS_OF, ZONE, local_date, local_midnight
from tests.dbt.features_support import Built
from tests.dbt.recommendations_oracle import recommendations


def assert_same(got: list[dict[str, Any]], wanted: list[dict[str, Any]]) -> None:
    """Row by row and column by column; ratios to twelve digits, all else exactly."""
    assert len(got) == len(wanted)
    for left, right in zip(got, wanted, strict=True):
        assert set(left) == set(right)
        for name, value in right.items():
            if isinstance(left[name], float) and value is not None:
                same = math.isclose(left[name], float(value), rel_tol=1e-12)
            else:
                same = left[name] == value
            assert same, (name, left[name], value, left["profile_id"], left["as_of"])


def test_features_of_today(built: Built) -> None:
    assert len(built.today) > 100
    assert_same(support.read(built.settings, "profile_features", "profile_id"), built.today)


def test_cutoffs_are_local_midnights(built: Built) -> None:
    first = min(order["ordered_on"] for order in built.rows["fct_orders"])
    complete = local_date(AS_OF)
    wanted = []
    for number in range(7):
        cutoff_on = complete - timedelta(days=90 + 30 * number)
        if (cutoff_on - first).days >= 60:
            midnight = local_midnight(cutoff_on)
            wanted.append((number, midnight, midnight, local_midnight(cutoff_on + timedelta(days=90))))
    got = support.read(built.settings, "int_training__cutoffs", "cutoff_number")
    assert [tuple(row.values()) for row in got] == wanted
    assert len({cutoff.hour for _, cutoff, _, _ in wanted}) == 2, "the zone's clock changes between the cut-offs"


def test_snapshots_know_nothing_of_later_and_labels_look_ahead(built: Built) -> None:
    cutoffs = support.read(built.settings, "int_training__cutoffs", "as_of")
    wanted = []
    for cutoff in cutoffs:
        for profile in built.rows["dim_profiles"]:
            feature = oracle.features(built.rows, profile["profile_id"], cutoff["as_of"])
            if feature:
                wanted.append(feature)
    assert_same(support.read(built.settings, "profile_feature_snapshots", "as_of, profile_id"), wanted)

    ends = {cutoff["as_of"]: cutoff["horizon_ends_at"] for cutoff in cutoffs}
    for feature in wanted:
        feature["horizon_ends_at"] = ends[feature["as_of"]]
        later = [
            order
            for order in built.rows["fct_orders"]
            if order["profile_id"] == feature["profile_id"]
            and order["is_purchase"]
            and feature["as_of"] <= order["ordered_at"] < ends[feature["as_of"]]
        ]
        feature["has_churned"] = not later
        feature["purchase_days_ahead"] = len({order["ordered_on"] for order in later})
        feature["revenue_ahead"] = sum((order["net_revenue"] for order in later), Decimal(0))
        feature["next_purchase_on"] = min((order["ordered_on"] for order in later), default=None)
    wanted = [feature for feature in wanted if feature["orders_lifetime"]]
    for feature in wanted:
        together = [other for other in wanted if other["as_of"] == feature["as_of"]]
        feature["rhythm_horizon_days"] = oracle.rhythm_horizon_days(feature, together)
    for feature in wanted:
        following = feature.pop("next_purchase_on")
        feature["has_lapsed"] = (
            following is None or (following - feature["as_of_on"]).days > feature["rhythm_horizon_days"]
        )
    assert_same(support.read(built.settings, "churn_training_set", "as_of, profile_id"), wanted)
    assert 0 < sum(feature["has_churned"] for feature in wanted) < sum(f["has_lapsed"] for f in wanted) < len(wanted)
    assert len({feature["rhythm_horizon_days"] for feature in wanted}) > 2


def test_stages_and_levels(built: Built) -> None:
    wanted = {f["profile_id"]: oracle.stages(f) for f in built.today}
    rows = support.read(built.settings, "lifecycle_stages", "profile_id")
    assert {r["profile_id"]: (r["customer_stage"], r["journey_stage"]) for r in rows} == wanted
    assert len({customer for customer, _ in wanted.values()}) >= 5
    levels = {f["profile_id"]: oracle.engagement_level(f) for f in built.today}
    rows = support.read(built.settings, "engagement_levels", "profile_id")
    assert {r["profile_id"]: r["engagement_level"] for r in rows} == levels
    assert set(levels.values()) == {"highly_engaged", "active", "dormant", "never"}


def test_rfm_scores(built: Built) -> None:
    rows = support.read(built.settings, "rfm_scores", "profile_id")
    got = {r["profile_id"]: (r["recency_score"], r["frequency_score"], r["monetary_score"]) for r in rows}
    assert got == oracle.rfm(built.today)
    assert all(r["rfm_score"] == "".join(map(str, got[r["profile_id"]])) for r in rows)


FEW = st.integers(0, 6)


@settings(max_examples=100, deadline=None)
@given(drawn=st.lists(st.tuples(FEW, FEW, FEW, st.booleans()), max_size=40))
def test_rfm_scores_are_percent_ranks_whatever_the_ties(built: Built, drawn: list[tuple[int, int, int, bool]]) -> None:
    """The compiled model on any buyers of two cut-offs, each ranked among its own."""
    compiled = built.target / "compiled" / "mailwright" / "models" / "lifecycle" / "rfm_scores.sql"
    cutoffs = (AS_OF, AS_OF - timedelta(days=1))
    buyers = [
        {"profile_id": str(number), "as_of": cutoffs[is_past], "recency_days": days, "orders_365d": orders,
         "revenue_365d": Decimal(cents) / 100}
        for number, (days, orders, cents, is_past) in enumerate(drawn)
    ]  # fmt: skip
    with duckdb.connect() as con:
        con.execute(f"attach ':memory:' as {built.settings.warehouse_path.stem}; create schema warehouse.analytics")
        con.execute(f"attach '{built.settings.warehouse_path}' as built (read_only)")
        con.execute("create table warehouse.analytics.rfm_cells as from built.analytics.rfm_cells")
        con.execute(
            "create table warehouse.analytics.profile_features (profile_id text, as_of timestamp, "
            "recency_days integer, orders_365d bigint, revenue_365d decimal(18, 2))"
        )
        for buyer in buyers:
            con.execute("insert into warehouse.analytics.profile_features values (?, ?, ?, ?, ?)", [*buyer.values()])
        rows = con.execute(
            "select profile_id, recency_score, frequency_score, monetary_score, rfm_value, rfm_score "
            f"from ({compiled.read_text(encoding='utf-8')})"
        ).fetchall()
    wanted = {}
    for cutoff in cutoffs:
        wanted |= oracle.rfm([buyer for buyer in buyers if buyer["as_of"] == cutoff])
    assert {row[0]: row[1:4] for row in rows} == wanted
    assert len(rows) == len(wanted)
    for _, *scores, value, digits in rows:
        assert math.isclose(value, (sum(scores) - 3) / 12, rel_tol=1e-12, abs_tol=1e-12)
        assert digits == "".join(map(str, scores))


NESTED = """
with features as (select * from {{ ref('profile_feature_snapshots') }})
select
    profile_id, as_of, customer_stage, journey_stage, engagement_level, recency_score, frequency_score, monetary_score
from ( {{ lifecycle_stages('features') }} ) as stages
inner join ( {{ engagement_levels('features') }} ) as levels using (profile_id, as_of)
left join ( {{ rfm_scores('features') }} ) as scores using (profile_id, as_of)
"""


def test_stages_levels_and_scores_as_of_many_cutoffs_at_once(built: Built) -> None:
    """The macros over a CTE of several cut-offs, nested as other models nest them."""
    zone = {"business_time_zone": ZONE}
    sql = support.dbt(built.settings, "compile", "--quiet", "--inline", NESTED, variables=zone)
    with duckdb.connect(str(built.settings.warehouse_path), read_only=True) as con:
        got = {row[:2]: row[2:] for row in con.execute(sql).fetchall()}
    wanted = {}
    for cutoff in {as_of for _, as_of in got}:
        found = (oracle.features(built.rows, profile["profile_id"], cutoff) for profile in built.rows["dim_profiles"])
        known = [feature for feature in found if feature]
        scores = oracle.rfm(known)
        for feature in known:
            who = feature["profile_id"]
            own = (*oracle.stages(feature), oracle.engagement_level(feature), *scores.get(who, (None, None, None)))
            wanted[who, cutoff] = own
    assert got == wanted
    assert len({cutoff for _, cutoff in wanted}) >= 4


def test_segments(built: Built) -> None:
    cells = {r["profile_id"]: r["rfm_cell"] for r in support.read(built.settings, "rfm_scores", "profile_id")}
    wanted = oracle.segments(built.rows, built.today, cells, AS_OF)
    rows = support.read(built.settings, "segment_memberships", "profile_id")
    assert {(r["profile_id"], r["segment_name"]) for r in rows} == wanted
    assert len(rows) == len(wanted)
    empty = {name for name in SEGMENTS if not any(segment == name for _, segment in wanted)}
    assert not empty, "a segment without members tests nothing"


SEGMENTS = (
    "abandoned_cart_24h", "at_risk", "frequent_buyers_30d", "high_order_value", "interested_in_topic", "lapsed",
    "new_york_repeat_category", "no_session_7d", "qualified_leads", "recent_buyers_opening", "viewed_not_carted_48h",
    "vip_engaged",
)  # fmt: skip


def test_recommendations(built: Built) -> None:
    got: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for row in support.read(built.settings, "recommendations", "profile_id, placement, rank"):
        got.setdefault((row["profile_id"], row["placement"]), []).append((row["product_id"], row["rung"]))
        assert row["rank"] == len(got[row["profile_id"], row["placement"]])
        assert row["expires_at"] == AS_OF + timedelta(days=7)
        assert row["price"] > Decimal(0)
    wanted = recommendations(built.rows, AS_OF)
    assert got == {who: offers for who, offers in wanted.items() if offers}
    assert {rung for offers in got.values() for _, rung in offers} == {"personal", "category", "source", "popular"}
    assert {placement for _, placement in got} == {"email", "cart", "post_purchase"}


def test_members_and_their_segments(built: Built) -> None:
    wanted = oracle.subscribers(built.rows, built.today)
    members = support.read(built.settings, "sync_esp__members", "profile_id")
    known = {f["profile_id"] for f in built.today}
    wanted = {key: value for key, value in wanted.items() if value[0] in known}
    assert {m["subscriber_hash"]: (m["profile_id"], m["consent_verdict"]) for m in members} == wanted
    assert len(members) == len(wanted)
    memberships = support.read(built.settings, "segment_memberships", "profile_id")
    by_profile = {m["profile_id"]: m for m in members}
    got = support.read(built.settings, "sync_esp__segment_members", "profile_id")
    assert {(r["profile_id"], r["segment_name"], r["consent_verdict"]) for r in got} == {
        (m["profile_id"], m["segment_name"], by_profile[m["profile_id"]]["consent_verdict"])
        for m in memberships
        if m["profile_id"] in by_profile
    }
    assert {r["entered_at"] for r in got} == {AS_OF}
    # what a segment's first build finds is nobody's entry
    assert support.read(built.settings, "sync_esp__events", "event_id") == []


def test_nothing_is_later_than_as_of(built: Built) -> None:
    for relation in ("profile_features", "identifier_daily", "profile_daily"):
        for row in support.read(built.settings, relation, "1"):
            for name, value in row.items():
                if isinstance(value, datetime) and name not in ("as_of", "known_at"):
                    assert value < AS_OF, (relation, name)

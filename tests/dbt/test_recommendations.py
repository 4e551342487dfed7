"""Rules, placements and another source of candidates, on the small random store with a real dbt."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.dbt import features_support as support
from tests.dbt.features_data import AS_OF, ZONE
from tests.dbt.features_oracle import day_of
from tests.dbt.features_support import Built
from tests.dbt.recommendations_oracle import left_out
from warehouse.connection import connect
from warehouse.rules import FILE, read_rules, write_rules
from warehouse.settings import PROJECT_DIR, Settings

RULES = """\
recommend:
  - name: fuel
    bought: {products: [p00]}
    recommend: {products: [p02]}
    until: 2025-07-02
  - name: extras
    bought: {categories: [GARDEN]}
    recommend: {categories: [tea]}
    placement: post_purchase
    within_days: 10000
exclude:
  - {name: never, products: [p04]}
  - {name: not in carts, products: [p06], placement: cart}
  - {name: over, products: [p07], until: 2020-01-01}
boost:
  - {name: season, products: [p08], factor: 900}
"""


@pytest.fixture
def store(built: Built, tmp_path: Path) -> Settings:
    """A copy of the built store, with what dbt parsed."""
    settings = support.new_settings(tmp_path)
    shutil.copytree(built.settings.home, settings.home)
    return settings


def _offers(settings: Settings) -> list[dict[str, Any]]:
    return support.read(settings, "recommendations", "profile_id, placement, rank")


def test_rules_lead_exclude_and_boost(built: Built, store: Settings) -> None:
    before = {(r["placement"], r["product_id"]) for r in _offers(store)}
    assert {("email", "p04"), ("cart", "p06"), ("email", "p06"), ("email", "p07")} <= before
    (store.home / FILE).write_text(RULES)
    with connect(store, purpose="test") as con:
        write_rules(con, store, read_rules(store))
    support.build(store, "recommendations", variables={"business_time_zone": ZONE})
    offers = _offers(store)
    after = {(r["placement"], r["product_id"]) for r in offers}
    assert not {("email", "p04"), ("cart", "p04"), ("cart", "p06")} & after
    assert {("email", "p06"), ("email", "p07")} <= after

    on = day_of(AS_OF)
    agreed = {
        c["profile_id"] for c in built.rows["dim_consent"] if c["purpose"] == "profiling" and c["state"] == "granted"
    }
    bought = {
        line["profile_id"] for line in built.rows["fct_order_lines"]
        if line["product_id"] == "p00" and line["net_quantity"] > 0 and line["ordered_on"] > on - timedelta(days=90)
    }  # fmt: skip
    led = {r["profile_id"] for r in offers if r["placement"] == "email" and r["rung"] == "rule"}
    reachable = {p["profile_id"] for p in built.rows["dim_profiles"] if p["email"]}
    wanted = {who for who in agreed & bought & reachable if "p02" not in left_out(built.rows, who, on)["always"]}
    assert led == wanted
    assert led
    first = [r for r in offers if r["placement"] == "email" and r["profile_id"] in led and r["rank"] == 1]
    over = datetime(2025, 7, 3, 4)  # midnight in New York
    assert {(r["product_id"], r["reason"], r["expires_at"]) for r in first} == {("p02", "goes with Product 0", over)}
    assert "rule" in {r["rung"] for r in offers if r["placement"] == "post_purchase" and r["product_id"] != "p02"}

    popular: dict[str, list[str]] = {}
    for r in offers:
        if r["placement"] == "email" and r["rung"] == "popular":
            popular.setdefault(r["profile_id"], []).append(r["product_id"])
    boosted = [products for products in popular.values() if "p08" in products]
    assert boosted
    assert all(products[0] == "p08" for products in boosted)


OUTSIDE = """\
{{ config(contract={'enforced': false}) }}
with profiles as (
    select * from {{ ref('dim_profiles') }}
),
final as (
    select
        profiles.profile_id, 'email' as placement, 'p0' || (2 * positions.n) as product_id, positions.n as rank,
        SCORE as score, 'from outside' as reason, 'outside 1' as model_version, clock.as_of
    from profiles
    cross join {{ source('control', 'clock') }} as clock
    cross join (select 1 as n union all select LAST as n) as positions
)
select * from final
"""


@pytest.mark.parametrize(
    ("score", "last", "violations"),
    [
        ("1.0 / positions.n", 2, ()),
        ("cast('nan' as double precision)", 2, ("score is not a finite number",)),
        ("1.0", 3, ("rank is not 1, 2, 3",)),
    ],
)
def test_another_model_takes_the_place_of_ours(
    store: Settings, tmp_path: Path, score: str, last: int, violations: tuple[str, ...]
) -> None:
    project = tmp_path / "project"
    shutil.copytree(PROJECT_DIR / "dbt_project", project)
    folder = project / "models" / "recommendations"
    (folder / "outside.sql").write_text(OUTSIDE.replace("SCORE", score).replace("LAST", str(last)))
    variables: Mapping[str, Any] = {"business_time_zone": ZONE, "recommendation_model": "outside"}
    output = support.dbt(
        store, "build", "--exclude-resource-type", "unit_test", "--select", "outside+",
        "--exclude", "activation", variables=variables, project=project, fails=bool(violations),
    )  # fmt: skip
    if not violations:
        served = [r for r in _offers(store) if r["rung"] == "personal"]
        assert served
        assert {(r["reason"], r["model_version"]) for r in served} == {("from outside", "outside 1")}
        return
    assert "recommendation_contract_int_recommendations__candidates_" in output
    with duckdb.connect(str(store.warehouse_path), read_only=True) as con:
        compiled = next(support.target_of(store, variables).rglob("compiled/**/recommendation_contract_*.sql"))
        found = [violation for violation, _ in con.execute(compiled.read_text()).fetchall()]
    assert len(found) == len(violations)
    assert all(any(one.startswith(wanted) for one in found) for wanted in violations)


def test_a_wrong_placement_is_told_by_name(store: Settings) -> None:
    placements = {"cart": {"n": 0, "leave_out": ["viewed"]}}
    output = support.dbt(
        store, "compile", "--select", "recommendations",
        variables={"business_time_zone": ZONE, "recommendation_placements": placements}, fails=True,
    )  # fmt: skip
    said = " ".join(output.split())
    assert (
        "vars.recommendation_placements: email is missing: it serves everybody; cart.n is '0': a whole number from 1; "
        "cart.leave_out has 'viewed': in_cart or bought"
    ) in said

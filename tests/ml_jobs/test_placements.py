"""Carts and last orders: whom they serve, what they start from, and what is never offered there."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import pytest

from ml_jobs.recommendations import job
from ml_jobs.recommendations.config import RecommendationConfig
from ml_jobs.recommendations.features import read_interactions
from ml_jobs.recommendations.pairs import Known, sources_of
from ml_jobs.recommendations.placements import placements_of
from tests.ml_jobs import stores
from warehouse.settings import Settings

AS_OF = datetime(2024, 6, 1)
ROWS = """select profile_id, product_id, rank, reason from {ml}.recommendation_candidates
    where placement = '%s' order by profile_id, rank"""


def put_into_carts(settings: Settings, profiles: list[str], products: list[str], at: list[str]) -> None:
    rows = ", ".join(f"('{u}', '{i}', timestamp '{t}')" for u, i, t in zip(profiles, products, at, strict=True))
    stores.insert(
        settings,
        "fct_web_events",
        f"select *, 'Product Added' as event_name from (values {rows}) as v(profile_id, product_id, occurred_at)",
    )


def buy(settings: Settings, profiles: list[str], products: list[str], at: str) -> None:
    instants = np.repeat(np.datetime64(at, "s"), len(profiles))
    stores.insert_purchases(settings, np.asarray(profiles), np.asarray(products), instants)


def known_now(settings: Settings) -> tuple[Known, list[str], list[str]]:
    config = RecommendationConfig()
    data = read_interactions(settings, AS_OF, config)
    first = Known(data, data.as_of, {}, config)
    known = Known(data, data.as_of, sources_of(first.history, data, config), config)
    return known, data.profile_ids.tolist(), data.product_ids.tolist()


@pytest.mark.parametrize(
    ("put", "bought", "lies"),
    [
        ("2024-05-31", None, True),
        ("2024-05-25 00:00:00", None, True),
        ("2024-05-24 23:59:59", None, False),
        ("2024-06-01", None, False),  # the future
        ("2024-05-30 12:00:00", "2024-05-30 12:00:00", False),
        ("2024-05-30 12:00:00", "2024-05-30 13:00:00", False),
        ("2024-05-30 12:00:00", "2024-05-30 11:59:59", True),
        ("2024-05-30 12:00:00", "2024-06-01 00:00:00", True),  # bought in the future
    ],
)
def test_what_lies_in_the_cart(settings: Settings, put: str, bought: str | None, lies: bool) -> None:
    stores.planted_tastes(settings, AS_OF, n_people=60)
    put_into_carts(settings, ["someone"], ["p001"], [put])
    if bought:
        stores.insert_purchases(
            settings, np.asarray(["someone"]), np.asarray(["p001"]), np.asarray([np.datetime64(bought)])
        )
    known, profiles, products = known_now(settings)
    cart, _ = placements_of(known)
    pairs = [(profiles[u], products[i]) for u, i in zip(*cart.context.nonzero(), strict=True)]
    assert pairs == ([("someone", "p001")] if lies else [])


def test_the_newest_time_that_it_was_put_in_counts(settings: Settings) -> None:
    stores.planted_tastes(settings, AS_OF, n_people=60)
    put_into_carts(settings, ["someone"] * 2, ["p001"] * 2, ["2024-05-28", "2024-05-30"])
    stores.insert_purchases(
        settings, np.asarray(["someone"]), np.asarray(["p001"]), np.asarray([np.datetime64("2024-05-29")])
    )
    known, _, _ = known_now(settings)
    assert placements_of(known)[0].context.nnz == 1


def test_a_cart_and_a_purchase_have_rows_of_their_own(settings: Settings) -> None:
    stores.planted_tastes(settings, AS_OF, n_people=200)
    people = [f"u{i:04d}" for i in range(20)]
    buy(settings, people[:10], [f"p{i:03d}" for i in range(10)], "2024-05-28")
    put_into_carts(settings, ["newcomer", *people[10:]], ["p001"] * 11, ["2024-05-31"] * 11)
    report = job.run(settings)
    assert report.status == "scored"
    cart = stores.query(settings, ROWS % "cart")
    assert {row[0] for row in cart} == {"newcomer", *people[10:]}
    assert all(row[1] != "p001" for row in cart), "what lies in the cart"
    mine = [row for row in cart if row[0] == "newcomer"]
    assert [row[2] for row in mine] == list(range(1, len(mine) + 1))
    assert all(row[1] < "p025" for row in mine[:3]), "of the taste of what is in the cart"
    assert {row[3] for row in mine} <= {"bought with Product 1", "viewed with Product 1"}
    after = stores.query(settings, ROWS % "post_purchase")
    assert set(people[:10]) <= {row[0] for row in after}
    bought = set(stores.query(settings, "select distinct profile_id, product_id from {schema}.fct_order_lines"))
    assert not {row[:2] for row in after} & bought
    recent = stores.query(
        settings,
        "select distinct profile_id from {schema}.fct_order_lines where ordered_at > timestamp '2024-05-18'",
    )
    assert {row[0] for row in after} <= {row[0] for row in recent}
    assert len(stores.query(settings, ROWS % "email")) > len(after)


def test_each_placement_has_a_method_that_was_measured(settings: Settings) -> None:
    stores.planted_tastes(settings, AS_OF, n_people=400)
    metrics = job.train(settings).metrics
    assert metrics["post_purchase_method"] in {"context", metrics["method"]}
    assert metrics["post_purchase_n_test"] >= 50
    assert 0 < metrics["post_purchase_ndcg_at_10"] <= 1
    assert metrics["cart_n_test"] == 0, "nobody has put anything into a cart"
    assert "cart_hr_at_3" not in metrics


def test_a_placement_that_popularity_serves_better_is_not_served(settings: Settings) -> None:
    """Everybody buys one thing together with others, and later always the same, most popular one."""
    stores.new_store(settings, AS_OF)
    stores.plant_catalogue(settings)
    rng = np.random.default_rng(5)
    people = [f"u{i:04d}" for i in range(200)]
    for window in range(4):
        day = AS_OF - timedelta(days=30 * window)
        buy(settings, people, [f"p{i:03d}" for i in rng.integers(0, 50, 200)], str(day - timedelta(days=3)))
        newcomers = [f"n{i:04d}" for i in range(150 * window, 150 * (window + 1))]
        buy(settings, newcomers, ["p090"] * 150, str(day - timedelta(days=2)))
    # when the last window has begun, all buy what is popular
    buy(settings, people, ["p090"] * 200, str(AS_OF - timedelta(days=1)))
    metrics = job.train(settings).metrics
    assert metrics["post_purchase_method"] == "none"
    job.score(settings)
    assert stores.query(settings, ROWS % "post_purchase") == []

"""Reasons: Shapley values as their definition has them, and what is said of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from itertools import combinations
from math import factorial
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sklearn.ensemble import HistGradientBoostingClassifier

from ml_jobs.churn import job
from ml_jobs.churn.config import FEATURES, ChurnConfig
from ml_jobs.churn.features import TrainingSet
from ml_jobs.churn.reasons import contributions, number, reasons_of, template
from ml_jobs.churn.shapley import tree_shapley
from ml_jobs.churn.train import BG_NBD, BOOSTER, MEAN, RECENCY, RFM, ChurnModel, fit, logit
from tests.ml_jobs import stores
from warehouse.settings import Settings

AS_OF = datetime(2024, 6, 1)
CONFIG = ChurnConfig(features=stores.PURCHASE_FEATURES, max_iter=20, n_folds=2)
DAY = 86_400_000_000


def boosted(seed: int, n_features: int, max_iter: int = 4, **kwargs: Any) -> tuple[Any, np.ndarray]:
    """(a few trees on made-up columns with nulls, new rows)"""
    rng = np.random.default_rng(seed)
    features = rng.integers(0, 5, (400, n_features)).astype(float)
    features[rng.random(features.shape) < 0.15] = np.nan
    signal = np.nan_to_num(features[:, 0], nan=2.5) * (1 + np.nan_to_num(features[:, -1], nan=7))
    booster = HistGradientBoostingClassifier(max_iter=max_iter, early_stopping=False, **kwargs).fit(
        features, signal + rng.normal(0, 3, 400) > 6
    )
    return booster, np.vstack((features[:6], np.full((1, n_features), np.nan)))


def known(nodes: np.ndarray, row: np.ndarray, which: set[int], node: int = 0) -> float:
    """What a tree says of a row of which the features `which` are known."""
    at = nodes[node]
    if at["is_leaf"]:
        return float(at["value"])
    left, right = int(at["left"]), int(at["right"])
    if at["feature_idx"] in which:
        value = row[at["feature_idx"]]
        goes_left = bool(at["missing_go_to_left"]) if np.isnan(value) else value <= at["num_threshold"]
        return known(nodes, row, which, left if goes_left else right)
    counts = nodes["count"][[left, right]] / at["count"]
    return float(counts @ [known(nodes, row, which, child) for child in (left, right)])


def by_definition(booster: Any, row: np.ndarray) -> np.ndarray:
    """The mean, over all orders in which features become known, of what each one adds."""
    n = len(row)
    trees = [stage[0].nodes for stage in booster._predictors]
    value = {
        some: sum(known(nodes, row, set(some)) for nodes in trees)
        for size in range(n + 1)
        for some in combinations(range(n), size)
    }
    found = np.zeros(n)
    for some, before in value.items():
        for feature in set(range(n)) - set(some):
            weight = factorial(len(some)) * factorial(n - len(some) - 1) / factorial(n)
            found[feature] += weight * (value[tuple(sorted((*some, feature)))] - before)
    return found


@given(seed=st.integers(0, 10_000), n_features=st.integers(1, 5), leaves=st.integers(2, 16))
@hypothesis_settings(max_examples=20, deadline=None)
def test_trees_are_explained_as_shapley_values_are_defined(seed: int, n_features: int, leaves: int) -> None:
    booster, rows = boosted(seed, n_features, max_leaf_nodes=leaves, min_samples_leaf=10)
    expected = [by_definition(booster, row) for row in rows]
    np.testing.assert_allclose(tree_shapley(booster, rows), expected, atol=1e-10)


def test_deep_trees_on_many_rows_add_up_to_the_score() -> None:
    booster, rows = boosted(1, 12, max_iter=10, max_leaf_nodes=31, min_samples_leaf=3)
    many = np.tile(rows, (4000, 1))
    found = tree_shapley(booster, many)
    np.testing.assert_array_equal(found[: len(rows)], found[-len(rows) :])
    rest = booster.decision_function(many) - found.sum(axis=1)
    np.testing.assert_allclose(rest, rest[0], atol=1e-10)


def test_they_are_those_of_the_package() -> None:
    shap = pytest.importorskip("shap", reason="shap is not among the locked packages")
    booster, rows = boosted(2, 8, max_iter=30, max_leaf_nodes=8)
    np.testing.assert_allclose(tree_shapley(booster, rows), shap.TreeExplainer(booster).shap_values(rows), atol=1e-10)


def test_trees_that_found_nothing_say_nothing() -> None:
    booster, rows = boosted(3, 2, min_samples_leaf=300)
    assert not tree_shapley(booster, rows).any()


@pytest.fixture(scope="module")
def rows() -> TrainingSet:
    """Columns of plausible numbers; only silence and the orders of a year decide."""
    rng = np.random.default_rng(8)
    n = 1200
    features = rng.integers(1, 60, (n, len(CONFIG.features))).astype(float)
    silence, orders = (features[:, CONFIG.features.index(name)] for name in ("recency_days", "orders_365d"))
    features[:, CONFIG.features.index("purchase_days_lifetime")] = 1 + (silence % 2)
    features[:, CONFIG.features.index("days_since_first_purchase")] = silence + (silence % 2) * 20
    churned = rng.random(n) < 1 / (1 + np.exp(-(silence - orders) / 10))
    cutoff = np.repeat([0, 30 * DAY], n // 2)
    people = np.asarray([f"u{i}" for i in range(n)], object)
    return TrainingSet(people, cutoff, cutoff + 30 * DAY, features, churned)


@pytest.fixture(scope="module")
def fitted(rows: TrainingSet) -> dict[str, ChurnModel]:
    return fit(rows, CONFIG)


def test_contributions_add_up_to_the_log_odds(rows: TrainingSet, fitted: dict[str, ChurnModel]) -> None:
    assert {BOOSTER, MEAN, RFM, RECENCY, BG_NBD} == set(fitted)
    for method in (BOOSTER, MEAN, RFM, RECENCY):
        model = replace(fitted[method], calibrator=None)
        rest = logit(model.predict(rows.features)) - contributions(model, rows.features).sum(axis=1)
        np.testing.assert_allclose(rest, rest[0], atol=1e-6)
    parts = [contributions(fitted[method], rows.features) for method in (BOOSTER, RFM)]
    np.testing.assert_allclose(contributions(fitted[MEAN], rows.features), np.mean(parts, axis=0))


def test_a_column_that_is_null_for_everybody_adds_nothing_whatever_it_holds_later(rows: TrainingSet) -> None:
    empty = CONFIG.features.index("items_90d")
    features = rows.features.copy()
    features[:, empty] = np.nan
    models = fit(replace(rows, features=features), CONFIG)
    later = rows.features.copy()
    for method in (BOOSTER, MEAN):
        model = replace(models[method], calibrator=None)
        added = contributions(model, later)
        assert not added[:, empty].any()
        np.testing.assert_array_equal(added, contributions(model, features))
        np.testing.assert_array_equal(model.predict(later), model.predict(features))
        rest = logit(model.predict(later)) - added.sum(axis=1)
        np.testing.assert_allclose(rest, rest[0], atol=1e-6)


def test_reasons_are_what_decides_strongest_first(rows: TrainingSet, fitted: dict[str, ChurnModel]) -> None:
    silence, orders = (CONFIG.features.index(name) for name in ("recency_days", "orders_365d"))
    some = rows.features[:300].copy()
    some[:, silence], some[:, orders] = 59, 2
    said = reasons_of(fitted[BOOSTER], some)
    assert {one[0] for one in said} == {"no purchase for 59 days"}
    assert sum(one[1] == "orders in 365 days: 2" for one in said) > 250
    some[:, silence] = 1
    assert not any("no purchase" in str(reason) for one in reasons_of(fitted[BOOSTER], some) for reason in one)


def test_three_reasons_are_three_subjects() -> None:
    """What the windows of one measure add is one reason, said by the window that adds most."""
    features = ("orders_30d", "orders_90d", "recency_days", "items_lifetime", "mean_days_between_purchases")
    model = ChurnModel("made up", features, "recency_days")
    added = np.asarray([[2.0, 1.5, 3.0, -1.0, 0.0]])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ml_jobs.churn.reasons.contributions", lambda *_: added)
        said = reasons_of(model, np.asarray([[0.0, 1.0, 77.0, 4.0, np.nan]]))
    assert said == [("orders in 30 days: 0", "no purchase for 77 days", None)]


def test_bg_nbd_has_its_own_two(fitted: dict[str, ChurnModel], rows: TrainingSet) -> None:
    row = rows.features[:1].copy()
    row[0, [CONFIG.features.index(name) for name in ("recency_days", "purchase_days_lifetime")]] = 143, 2
    assert reasons_of(fitted[BG_NBD], row) == [("no purchase for 143 days", "purchase days so far: 2", None)]


def test_words() -> None:
    def in_words(name: str, value: float) -> str:
        return template(name).format(number(value))

    assert in_words("recency_days", 143) == "no purchase for 143 days"
    assert in_words("orders_90d", 0) == "orders in 90 days: 0"
    assert in_words("revenue_lifetime", 1234.5) == "revenue so far: 1,234.5"
    assert in_words("mean_days_between_purchases", float("nan")) == "days between purchases: none"
    assert in_words("loyalty_points", 3) == "loyalty points: 3"
    phrases = {in_words(name, 7) for name in FEATURES}
    assert len(phrases) == len(FEATURES)
    assert not any("_" in phrase for phrase in phrases)


def test_who_is_worth_contacting_has_reasons_and_others_none(settings: Settings) -> None:
    stores.planted_churn(settings, AS_OF, n_people=500)
    stores.build_churn_tables(settings, AS_OF, 60)
    job.run(settings, config=CONFIG)
    said = stores.query(
        settings, "select churn_band, reason_1, reason_2, reason_3 from {ml}.churn_predictions order by profile_id"
    )
    assert {row[0] for row in said} == {"low", "medium", "high"}
    assert all(reason is None for band, *reasons in said if band == "low" for reason in reasons)
    assert all(row[1] for row in said if row[0] == "high")
    assert all(len({one for one in row[1:] if one}) == sum(one is not None for one in row[1:]) for row in said)

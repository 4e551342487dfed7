"""The two stages: what is known of a pair, whom the candidates are, and what the trees make of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import numpy as np
import pytest
import scipy.sparse as sp

from ml_jobs.recommendations import neighbours
from ml_jobs.recommendations.config import RankerConfig, RecommendationConfig
from ml_jobs.recommendations.evaluate import Windows, evaluate
from ml_jobs.recommendations.features import DAY, NEVER, Interactions, history_at, to_micros
from ml_jobs.recommendations.model import RecommendationModel, Scorer
from ml_jobs.recommendations.neighbours import alike, ease
from ml_jobs.recommendations.pairs import FEATURES, Known, sources_of
from ml_jobs.recommendations.ranker import Lessons, fit_trees, lessons_of, ranked
from ml_jobs.recommendations.score import top_candidates
from ml_jobs.recommendations.sparse import top_of

AS_OF = to_micros(datetime(2024, 6, 1))
CONFIG = RecommendationConfig(n_neighbours=8, n_from_each=4)
RANKER = RankerConfig(min_bought=20, max_iter=20, min_samples_leaf=5)
N_PEOPLE, N_ITEMS = 30, 12


def random_store(seed: int = 0, n: int = 400) -> Interactions:
    """Purchases and views of a year, some of them sent back, some at one instant."""
    rng = np.random.default_rng(seed)
    buyer, item = rng.integers(0, N_PEOPLE, n), rng.integers(0, N_ITEMS, n)
    days = rng.integers(1, 365, n)
    kept = rng.random(n) < 0.9
    viewer, viewed = rng.integers(0, N_PEOPLE, n), rng.integers(0, N_ITEMS, n)
    names = np.asarray([f"{'red' if i % 2 else 'blue'} thing number{i}" for i in range(N_ITEMS)], object)
    return Interactions(
        as_of=AS_OF,
        profile_ids=np.asarray([f"u{i:02d}" for i in range(N_PEOPLE)], object),
        product_ids=np.asarray([f"p{i:02d}" for i in range(N_ITEMS)], object),
        product_names=names,
        categories=np.full(N_ITEMS, "", object),
        is_eligible=np.ones(N_ITEMS, bool),
        buyer=buyer,
        bought=item,
        bought_at=AS_OF - days * DAY,
        is_kept=kept,
        returned_at=np.where(kept, NEVER, AS_OF - (days // 2) * DAY),
        viewer=viewer,
        viewed=viewed,
        viewed_at=AS_OF - rng.integers(1, 90, n) * DAY,
        view_weight=np.ones(n),
        is_cart=rng.random(n) < 0.3,
    )


def known_at(data: Interactions, at: int) -> Known:
    return Known(data, at, sources_of(history_at(data, at, CONFIG), data, CONFIG), CONFIG)


def everything(known: Known) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(features, person, item) of all pairs of the store."""
    people = np.arange(N_PEOPLE)
    row, item = (each.ravel() for each in np.mgrid[0:N_PEOPLE, 0:N_ITEMS])
    return known.features(people, row, item), row, item


def test_columns_are_what_their_names_say() -> None:
    """Against loops over the rows, written from the names."""
    data, at = random_store(), AS_OF - 40 * DAY
    features, people, items = everything(known_at(data, at))
    column = {name: features[:, number] for number, name in enumerate(FEATURES)}
    rows = [
        (int(u), int(i), (at - int(t)) / DAY)
        for u, i, t, kept, back in zip(
            data.buyer, data.bought, data.bought_at, data.is_kept, data.returned_at, strict=True
        )
        if t < at and (kept or back >= at)
    ]
    for number, (person, item) in enumerate(zip(people.tolist(), items.tolist(), strict=True)):
        mine = [(i, age) for u, i, age in rows if u == person]
        orders = sorted({age for _, age in mine})
        ages = sorted(age for i, age in mine if i == item)
        expected = {
            "orders_with_it": len(ages),
            "share_of_orders": len(ages) / max(len(orders), 1),
            "days_since": ages[0] if ages else -1,
            "days_since_first": ages[-1] if ages else -1,
            "days_between": (ages[-1] - ages[0]) / (len(ages) - 1) if len(ages) > 1 else -1,
            "recent_30d": sum(0.5 ** (age / 30) for age in ages),
            "recent_90d": sum(0.5 ** (age / 90) for age in ages),
            "orders_since": orders.index(ages[0]) if ages else -1,
            "orders": len(orders),
            "items": len({i for i, _ in mine}),
            "days_since_order": orders[0] if orders else 0,
            "tenure_days": orders[-1] if orders else 0,
            "basket_size": len(mine) / max(len(orders), 1),
            "buyers": len({u for u, i, _ in rows if i == item}),
            "buyers_28d": len({u for u, i, age in rows if i == item and age < 28}),
            "days_on_sale": max((age for _, i, age in rows if i == item), default=-1),
            "days_unsold": min((age for _, i, age in rows if i == item), default=-1),
        }
        for name, value in expected.items():
            assert column[name][number] == pytest.approx(value, abs=1e-3), (name, person, item)
    assert np.isfinite(features).all()


def test_nothing_after_the_instant_changes_what_is_known() -> None:
    """All that comes after T dealt out anew: other people, other items, other days."""
    data, at = random_store(), AS_OF - 90 * DAY
    rng = np.random.default_rng(1)

    def shuffled(codes: np.ndarray, instants: np.ndarray) -> np.ndarray:
        after = np.flatnonzero(instants >= at)
        assert len(after) > 50
        dealt = codes.copy()
        dealt[after] = rng.permutation(codes[after])
        return dealt

    other = replace(
        data,
        buyer=shuffled(data.buyer, data.bought_at),
        bought=shuffled(data.bought, data.bought_at),
        viewer=shuffled(data.viewer, data.viewed_at),
        viewed=shuffled(data.viewed, data.viewed_at),
        returned_at=np.where((data.returned_at >= at) & (data.returned_at < NEVER), at + DAY, data.returned_at),
    )
    assert not np.array_equal(other.buyer, data.buyer)
    first, second = known_at(data, at), known_at(other, at)
    np.testing.assert_array_equal(everything(first)[0], everything(second)[0])
    people = np.arange(N_PEOPLE)
    for one, another in zip(first.candidates(people), second.candidates(people), strict=True):
        np.testing.assert_array_equal(one, another)


def test_lessons_end_before_the_window_that_they_serve() -> None:
    """What is bought in a window, and after it, moves none of the lessons from before it."""
    config = RecommendationConfig(n_neighbours=8, n_from_each=4, min_test_profiles=5, ranker=RANKER)
    data = random_store(n=2000)
    began = Windows(data, config).began_at(2)
    future = data.bought_at >= began
    other = replace(data, bought=np.where(future, (data.bought + 1) % N_ITEMS, data.bought))
    lessons, same = (Windows(each, config).lessons_before(2) for each in (data, other))
    assert len(lessons) == RANKER.n_windows
    for one, another in zip(lessons, same, strict=True):
        np.testing.assert_array_equal(one.features, another.features)
        np.testing.assert_array_equal(one.was_bought, another.was_bought)
    newest, changed = (Windows(each, config).lessons_before(1)[0] for each in (data, other))
    assert newest.was_bought.tobytes() != changed.was_bought.tobytes()


@pytest.mark.parametrize("rows_at_once", [25_000, 2])
def test_ease_equals_its_formula(monkeypatch: pytest.MonkeyPatch, rows_at_once: int) -> None:
    """At once, and by blocks of blocks."""
    monkeypatch.setattr(neighbours, "_LAPACK_TAKES", rows_at_once)
    rng = np.random.default_rng(3)
    people = sp.csr_matrix((rng.random((60, 9)) < 0.3).astype(np.float32) * 2)
    found = ease(people, RecommendationConfig(n_neighbours=9, ease_l2=5.0)).as_matrix().toarray()
    gram = (people.toarray() > 0).astype(float)
    gram = gram.T @ gram + 5.0 * np.eye(9)
    inverse = np.linalg.inv(gram)
    expected = -inverse / np.diag(inverse)
    np.fill_diagonal(expected, 0)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert (expected < 0).any(), "what speaks against an item counts too"


def test_ease_of_many_items_knows_the_most_bought() -> None:
    people = sp.csr_matrix(np.asarray([[1, 1, 0, 0, 0], [1, 1, 1, 0, 0], [1, 0, 1, 1, 0]], np.float32))
    found = ease(people, RecommendationConfig(n_neighbours=4, ease_items=3)).as_matrix().toarray()
    assert np.flatnonzero(found.any(axis=0)).tolist() == [0, 1, 2]
    assert np.flatnonzero(found.any(axis=1)).tolist() == [0, 1, 2]


def test_ease_of_nothing_is_nothing() -> None:
    assert ease(sp.csr_matrix((3, 4), dtype=np.float32), CONFIG).as_matrix().nnz == 0


def test_names_speak_for_what_nobody_has_bought() -> None:
    found = alike(["Red mug", "red mug large", "Blue plate", "blue plate large", "other"], CONFIG)
    assert found.index[0, 0] == 1
    assert found.index[2, 0] == 3
    assert found.weight[4].tolist() == [0] * 5
    assert alike(["a", "b"], CONFIG).weight.sum() == 0, "no word twice"
    data = random_store()
    unsold = replace(data, bought=np.where(data.bought == 3, 5, data.bought), viewed=np.zeros_like(data.viewed))
    known = known_at(unsold, AS_OF)
    people = np.arange(N_PEOPLE)
    row, item = known.candidates(people)
    assert (item == 3).any()
    assert len(set(row[item == 3])) > N_PEOPLE / 2


def test_trees_learn_who_buys_again() -> None:
    """Half of the items are bought once, the others monthly: the order among own items follows."""
    rng = np.random.default_rng(4)
    person, months = np.repeat(np.arange(N_PEOPLE), 10), np.tile(np.arange(10), N_PEOPLE)
    monthly = rng.integers(0, 6, N_PEOPLE)
    once = 6 + rng.integers(0, 6, len(person))
    buyer = np.concatenate([person, person])
    days = np.concatenate([months * 30 + 5, months * 30 + 5])
    base = random_store(n=1)
    data = replace(
        base,
        buyer=buyer,
        bought=np.concatenate([monthly[person], once]),
        bought_at=AS_OF - days * DAY,
        is_kept=np.ones(len(buyer), bool),
        returned_at=np.full(len(buyer), NEVER),
    )
    config = RecommendationConfig(n_neighbours=8, n_from_each=4, min_test_profiles=5, ranker=RANKER)
    windows = Windows(data, config)
    trees = fit_trees(windows.lessons_before(0), RANKER)
    people = np.arange(N_PEOPLE)
    known = windows.known(0)[0]
    row, item, _ = top_of(*ranked(trees, known, people, 1), 1)
    assert (item == monthly[row]).mean() > 0.9


@pytest.mark.parametrize("bought", [0, 10, 200])
def test_without_something_to_tell_apart_there_are_no_trees(bought: int) -> None:
    """Nothing bought, too little, and all of it."""
    lessons = Lessons(np.zeros((200, len(FEATURES)), np.float32), np.arange(200) < bought)
    assert fit_trees([lessons], RANKER) is None
    assert fit_trees([], RANKER) is None


def test_lessons_keep_all_that_was_bought() -> None:
    data = random_store()
    at = AS_OF - 60 * DAY
    known, people = known_at(data, at), np.arange(N_PEOPLE)
    truth = sp.csr_matrix(np.ones((N_PEOPLE, N_ITEMS), np.float32))
    row, _ = known.candidates(people)
    found = lessons_of(known, truth, people, RANKER, 7)
    assert found.was_bought.all()
    assert len(found.was_bought) == len(row)
    none = lessons_of(known, truth * 0, people, RANKER, 7)
    assert 0 < len(none.was_bought) < 0.4 * len(row)


def test_trees_that_could_not_be_fitted_again_are_not_chosen() -> None:
    """A sale long ago teaches the earlier window alone: the next best method is taken, and nothing breaks."""
    base = random_store(n=1)
    rng = np.random.default_rng(6)
    people = np.repeat(np.arange(N_PEOPLE), 20)
    number = np.arange(len(people)) % 20
    windows_ago = np.select([number < 10, number < 13], [7.5, 9.5], rng.integers(0, 7, len(people)) + 0.5)
    data = replace(
        base,
        buyer=people,
        bought=(people + rng.integers(0, 2, len(people))) % N_ITEMS,
        bought_at=(AS_OF - windows_ago * 30 * DAY).astype(np.int64),
        is_kept=np.ones(len(people), bool),
        returned_at=np.full(len(people), NEVER),
    )
    config = RecommendationConfig(n_neighbours=8, n_from_each=4, min_test_profiles=5, methods=("blend_0.05", "ranked"))
    lessons = Windows(data, config).lessons_before(2), Windows(data, config).lessons_before(0)
    early, late = (sum(int(one.was_bought.sum()) for one in each) for each in lessons)
    assert late < early
    config = config.model_copy(update={"ranker": RankerConfig(min_bought=early, max_iter=5, min_samples_leaf=5)})
    assert "ranked" in Windows(data, config).back_test(2, config.methods).methods
    found = evaluate(data, config)
    assert found.metrics["method"] != "ranked"
    with pytest.raises(ValueError, match="no default_method"):
        RecommendationConfig(default_method="ranked")


def test_lessons_know_no_return_that_came_after_their_window() -> None:
    data = random_store(n=2000)
    config = RecommendationConfig(n_neighbours=8, n_from_each=4, min_test_profiles=5, ranker=RANKER)
    began = Windows(data, config).began_at(2)
    # everything that was bought before is sent back after it
    returned = replace(
        data,
        is_kept=data.bought_at >= began,
        returned_at=np.where(data.bought_at < began, began + DAY, NEVER),
    )
    unreturned = replace(data, is_kept=np.ones_like(data.is_kept), returned_at=np.full_like(data.returned_at, NEVER))
    for one, another in zip(
        Windows(returned, config).lessons_before(2), Windows(unreturned, config).lessons_before(2), strict=True
    ):
        np.testing.assert_array_equal(one.was_bought, another.was_bought)


@pytest.mark.parametrize("method", ["blend_0.3", "new_only", "ease", "ranked"])
def test_who_has_no_candidate_gets_none(method: str) -> None:
    """Nothing in stock, or one buyer alone in the last chunk with whom nothing goes."""
    data = random_store()
    sources = sources_of(history_at(data, AS_OF, CONFIG), data, CONFIG)
    trees = fit_trees(
        Windows(data, CONFIG.model_copy(update={"min_test_profiles": 5, "ranker": RANKER})).lessons_before(0), RANKER
    )
    model = RecommendationModel(data.product_ids, method, sources, np.ones(N_ITEMS, np.float32), 0.8, 0.5, trees)
    scorer = Scorer(model, Known(data, AS_OF, sources, CONFIG), np.zeros(N_ITEMS, bool))
    none = top_candidates(scorer, np.arange(N_PEOPLE), 3, 7)
    assert len(none.profile) == 0
    alone = replace(data, buyer=np.zeros_like(data.buyer), viewer=np.zeros_like(data.viewer))
    scorer = Scorer(model, Known(alone, AS_OF, sources, CONFIG))
    found = top_candidates(scorer, np.arange(N_PEOPLE), 3, 1)
    # the trees have popular candidates for everybody; the job asks for those alone who have a history
    assert set(found.profile) <= (set(range(N_PEOPLE)) if method == "ranked" else {0})

"""Scoring by sparse products: the same as spelling everything out."""

from __future__ import annotations

import sys
from collections.abc import Mapping

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ml_jobs.recommendations import sparse
from ml_jobs.recommendations.model import RecommendationModel, Scorer
from ml_jobs.recommendations.placements import CONTEXT, Placement
from ml_jobs.recommendations.score import REASONS, Candidates, top_candidates
from ml_jobs.recommendations.sparse import said_most, top_of_product, values_of_product

from .test_ranker import AS_OF, CONFIG, N_ITEMS, N_PEOPLE, RANKER, known_at, random_store

EVERYONE = np.arange(N_PEOPLE)
SOURCES_OF = {"ease": ("ease",), "ranked": ("bought", "viewed", "ease", "names")}


@pytest.fixture(params=["sparse_dot_topn", "without it"])
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Machines for which it has no wheel have scipy alone."""
    if request.param == "without it":
        monkeypatch.setitem(sys.modules, "sparse_dot_topn", None)
        monkeypatch.setattr(sparse, "_ROWS_AT_ONCE", 4)


@pytest.mark.usefixtures("engine")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2**32 - 1), st.integers(1, 12))
def test_the_best_of_a_product_are_those_of_its_rows(seed: int, n: int) -> None:
    """Small whole numbers, so that many are equal: the values are the row's greatest, at cells that have them."""
    rng = np.random.default_rng(seed)
    left, right = (
        sp.csr_matrix(rng.integers(-2, 4, shape) * (rng.random(shape) < 0.5), dtype=np.float32)
        for shape in ((6, 5), (5, 9))
    )
    row, column, value = top_of_product(left, right, n)
    product = left.toarray() @ right.toarray()
    np.testing.assert_array_equal(product[row, column], value)
    assert len(set(zip(row.tolist(), column.tolist(), strict=True))) == len(row)
    for number, all_values in enumerate(product):
        mine = row == number
        assert value[mine].tolist() == sorted(all_values[all_values > 0], reverse=True)[:n]
        # equal ones go to the lower column
        assert list(zip(-value[mine], column[mine], strict=True)) == sorted(
            zip(-value[mine], column[mine], strict=True)
        )


@pytest.mark.parametrize("at_once", [2_000_000, 20, 1])
def test_values_of_a_product_are_those_of_its_cells(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    monkeypatch.setattr(sparse, "_CELLS_AT_ONCE", at_once)
    rng = np.random.default_rng(2)
    left, right = (
        sp.csr_matrix(rng.normal(size=shape) * (rng.random(shape) < 0.3), dtype=np.float32)
        for shape in ((7, 5), (5, 9))
    )
    product = left.toarray() @ right.toarray()
    assert (product < 0).any()
    row, column = np.nonzero(rng.random(product.shape) < 0.4)
    values, best = values_of_product(left, right, row, column)
    np.testing.assert_allclose(values, product[row, column], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(best, product.max(axis=1).clip(0), rtol=1e-5, atol=1e-6)


@pytest.fixture(params=[65_536, 3])
def pairs_at_once(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """All cells at once, and in parts of which some say nothing."""
    monkeypatch.setattr(sparse, "_PAIRS_AT_ONCE", request.param)


@pytest.mark.usefixtures("pairs_at_once")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2**32 - 1))
def test_what_is_said_is_the_sum_and_its_greatest_term(seed: int) -> None:
    rng = np.random.default_rng(seed)
    history, speakers = (
        sp.csr_matrix(rng.integers(-2, 4, shape) * (rng.random(shape) < 0.4), dtype=np.float32)
        for shape in ((4, 7), (5, 7))
    )
    row, column = (each.ravel() for each in np.mgrid[0:4, 0:5])
    value, most = said_most(history, speakers, row, column)
    terms = history.toarray()[row] * speakers.toarray()[column]
    np.testing.assert_array_equal(value, terms.sum(axis=1))
    says = terms.max(axis=1) > 0
    np.testing.assert_array_equal(terms[says, most[says]], terms.max(axis=1)[says])
    np.testing.assert_array_equal(most[~says], column[~says])


def scorer_of(method: str, is_offered: np.ndarray | None = None, placements: Mapping[str, str] | None = None) -> Scorer:
    from ml_jobs.recommendations.evaluate import Windows
    from ml_jobs.recommendations.pairs import sources_of
    from ml_jobs.recommendations.ranker import fit_trees

    data = random_store()
    known = known_at(data, AS_OF)
    trees = None
    if method == "ranked":
        few = CONFIG.model_copy(update={"min_test_profiles": 5, "ranker": RANKER})
        trees = fit_trees(Windows(data, few).lessons_before(0), RANKER)
    model = RecommendationModel(
        data.product_ids, method, sources_of(known.history, data, CONFIG), known.history.popularity, 0.8, 0.5, trees,
        dict(placements or {}), popularity_exponent=0.7,
    )  # fmt: skip
    return Scorer(model, known, is_offered)


def expected_scores(scorer: Scorer, method: str) -> np.ndarray:
    """From the words in docs/models.md, person by person and item by item."""
    known, popularity = scorer.known, scorer.model.popularity
    sources = {name: one.as_matrix().toarray() for name, one in scorer.model.sources.items()}
    bought, viewed = known.history.purchases.toarray(), known.history.views.toarray()
    scores = np.zeros((N_PEOPLE, N_ITEMS))
    for person in range(N_PEOPLE):
        by_bought = np.log1p(bought[person]) @ sources["bought"]
        by_viewed = np.log1p(viewed[person]) @ sources["viewed"]
        by_ease = (bought[person] > 0) @ sources["ease"]
        for item in range(N_ITEMS):
            alike = by_bought[item] / (by_bought.max() or 1) + 0.5 * by_viewed[item] / (by_viewed.max() or 1)
            alike *= ((0.1 + popularity[item]) / 1.1) ** 0.7
            if method == "ease":
                score = max(by_ease[item], 0)
            elif method == "new_only":
                score = 0 if bought[person, item] else alike
            else:
                score = float(method.split("_")[1]) * alike + bought[person, item] * (1 + 0.8 * popularity[item])
            scores[person, item] = score
    return scores


@pytest.mark.parametrize("method", ["blend_0.05", "blend_3", "new_only", "ease"])
def test_scores_are_what_the_documentation_says(method: str) -> None:
    scorer = scorer_of(method)
    np.testing.assert_allclose(scorer.scores(EVERYONE), expected_scores(scorer, method), rtol=1e-4, atol=1e-6)


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("method", ["blend_0.3", "new_only", "ease", "ranked"])
def test_who_is_served_gets_the_best_of_what_a_back_test_sees(method: str) -> None:
    """Less what is not offered and what was sent back; in chunks as at once."""
    is_offered = np.arange(N_ITEMS) % 3 > 0
    scores = scorer_of(method).scores(EVERYONE)
    scorer = scorer_of(method, is_offered)
    returned = scorer.known.history.returned.toarray() > 0
    assert (returned & (scores > 0)).any()
    assert (scores[:, ~is_offered] > 0).any()
    scores[:, ~is_offered] = 0
    scores[returned] = 0
    found = top_candidates(scorer, EVERYONE, 4, 7)
    for person in range(N_PEOPLE):
        mine = found.profile == person
        assert found.rank[mine].tolist() == list(range(1, mine.sum() + 1))
        assert set(found.product[mine]) <= set(np.flatnonzero(scores[person] > 0))
        np.testing.assert_allclose(found.score[mine], np.sort(scores[person][scores[person] > 0])[::-1][:4], rtol=1e-5)


@pytest.mark.parametrize("method", ["blend_0.3", "new_only", "ease", "ranked"])
def test_the_reason_is_the_strongest_source_and_its_strongest_item(method: str) -> None:
    scorer = scorer_of(method)
    found = top_candidates(scorer, EVERYONE, N_ITEMS, 7)
    assert_reasons(scorer, found, SOURCES_OF.get(method, ("bought", "viewed")))
    assert len(set(found.reason.tolist())) >= {"ranked": 3, "blend_0.3": 2}.get(method, 1)


def test_a_context_gives_its_own_reasons() -> None:
    scorer = scorer_of("blend_0.3")
    rng = np.random.default_rng(5)
    context = sp.csr_matrix((rng.random((N_PEOPLE, N_ITEMS)) < 0.2).astype(np.float32))
    found = top_candidates(scorer, EVERYONE, N_ITEMS, 7, Placement("cart", context, context), CONTEXT)
    assert not (np.asarray(context[found.profile, found.product]).ravel() > 0).any()
    assert_reasons(scorer, found, ("bought", "viewed"), context.toarray())
    expected = scorer.scores(EVERYONE, context)[found.profile, found.product]
    np.testing.assert_allclose(found.score, expected, rtol=1e-5)


def assert_reasons(
    scorer: Scorer, found: Candidates, sources: tuple[str, ...], in_context: np.ndarray | None = None
) -> None:
    """Term by term, from the weights of those `sources`."""
    known = scorer.known
    bought, viewed = known.history.purchases.toarray(), known.history.views.toarray()
    used = {"bought": np.log1p(bought), "ease": (bought > 0) * 1.0, "viewed": np.log1p(viewed), "names": bought > 0}
    if in_context is not None:
        used = {"bought": np.log1p(in_context), "viewed": np.log1p(in_context)}
    used = {name: used[name] for name in sources}
    words = {"bought": "bought with", "ease": "bought with", "viewed": "viewed with", "names": "similar to"}
    weights = {name: scorer.model.sources[name].as_matrix().toarray() for name in used}
    for person, item, kind, why in zip(found.profile, found.product, found.reason, found.evidence, strict=True):
        if in_context is None and bought[person, item]:
            assert REASONS[kind] == "bought before"
            continue
        terms = {}
        for name, history in used.items():
            best = (history[person] @ weights[name]).max()
            share = (0.5 if name == "viewed" else 1) / best if best > 0 else 0
            terms[name] = share * history[person] * weights[name][:, item]
        strongest = max(terms.values(), key=np.sum).sum()
        if strongest <= 0:
            assert REASONS[kind] == "popular"
        elif REASONS[kind] == "viewed before":
            assert why == item
            assert terms["viewed"].sum() == pytest.approx(strongest, rel=1e-4)
        else:
            named = [each for name, each in terms.items() if REASONS[kind].startswith(words[name])]
            assert any(
                each.sum() == pytest.approx(strongest, rel=1e-4) and each[why] == pytest.approx(each.max(), rel=1e-4)
                for each in named
            ), (person, item, REASONS[kind])

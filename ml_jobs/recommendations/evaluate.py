"""Temporal back-test: fit before T, predict what the buyers of the next days buy, beside the simplest rivals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ml_jobs.gate import Trial, paired_interval
from ml_jobs.io import from_micros
from ml_jobs.job import Validation
from ml_jobs.recommendations.config import RecommendationConfig
from ml_jobs.recommendations.features import DAY, Interactions, bought_between, history_at, in_items_of
from ml_jobs.recommendations.score import Scorer, top_k
from ml_jobs.recommendations.train import ItemModel, fit

if TYPE_CHECKING:
    import numpy as np

_DEPTH = 10
_TINY = 1e-4


@dataclass(frozen=True)
class Window:
    """Per person of one window: hit in the first 3 and NDCG at 10, of each method."""

    at: int
    """When it began, in microseconds."""
    people: np.ndarray
    """Codes of the buyers that are asked about; without any hits and gains where they are too few."""
    hits: dict[str, np.ndarray]
    gains: dict[str, np.ndarray]
    n_buyers: int

    @property
    def n(self) -> int:
        return len(self.people)

    def merit(self, method: str) -> np.ndarray:
        """Per person: what the mail shows (HR@3) and the order behind it (NDCG@10), in equal parts: less noise than
        either."""
        return (self.hits[method] + self.gains[method]) / 2


def _quality(relevant: np.ndarray, n_wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """HR@3 and NDCG@10 per row of what is `relevant` (bool, best first) of `n_wanted` (ideal: all of them, at most 10,
    at the top)."""
    import numpy as np

    discount = 1 / np.log2(np.arange(_DEPTH) + 2)
    ideal = np.cumsum(discount)[np.minimum(n_wanted, _DEPTH).clip(1) - 1]
    # a model that knows fewer items than ten offers so many
    return np.any(relevant[:, :3], axis=1), (relevant * discount[: relevant.shape[1]]).sum(axis=1) / ideal


def name_of(blend: float | None) -> str:
    """Name of a way to blend in a back-test's tables."""
    return "new_only" if blend is None else f"blend_{blend:g}"


def back_test(data: Interactions, at: int, blends: Sequence[float | None], config: RecommendationConfig) -> Window:
    """Fit on what was known at `at` and rank all products for the buyers of the `horizon_days` after it.

    Everyone who has purchases or views before `at` counts; all methods are denied what the person had sent back, and
    fill up with recent popularity. Stock is not: what was in stock at `at` is not known. Methods: `blend_<w>`,
    `new_only`, `own_frequency` (number of orders, ties by recent popularity), `recent_popularity`; `…_new`: items never
    bought by the person before `at`, for those who bought such.
    """
    import numpy as np

    history = history_at(data, at, config)
    truth = bought_between(data, at, at + config.horizon_days * DAY)
    buyers = truth.getnnz(axis=1) > 0
    people = np.flatnonzero(buyers & (history.purchases.getnnz(axis=1) + history.views.getnnz(axis=1) > 0))
    if len(people) > config.max_test_profiles:
        rng = np.random.default_rng(config.seed)
        people = np.sort(rng.choice(people, config.max_test_profiles, replace=False))
    if len(people) < config.min_test_profiles:
        return Window(at, people, {}, {}, int(buyers.sum()))
    scorer = Scorer(fit(history, data.product_ids, config, None))
    hits: dict[str, list[np.ndarray]] = {}
    gains: dict[str, list[np.ndarray]] = {}
    filler = history.popularity * _TINY
    for start in range(0, len(people), config.chunk_profiles):
        rows = people[start : start + config.chunk_profiles]
        purchases, wanted = history.purchases[rows], truth[rows].toarray()
        from_bought, from_viewed = scorer.evidence(purchases, history.views[rows])
        own = purchases.toarray()
        rankings = {name_of(w): scorer.combine(purchases, from_bought, from_viewed, w) + filler for w in blends}
        rankings["own_frequency"] = own + filler
        rankings["recent_popularity"] = np.tile(history.popularity, (len(rows), 1))
        denied = history.returned[rows].toarray() > 0
        new_wanted = np.where(own > 0, 0, wanted)
        wants_new = np.flatnonzero(new_wanted.sum(axis=1))
        for name, scores in rankings.items():
            scores[denied] = -1
            trials = {
                name: (scores, wanted),
                f"{name}_new": (np.where(own > 0, -1, scores)[wants_new], new_wanted[wants_new]),
            }
            for key, (values, target) in trials.items():
                relevant = np.take_along_axis(target, top_k(values, _DEPTH), axis=1) > 0
                hit, gain = _quality(relevant, (target > 0).sum(axis=1))
                hits.setdefault(key, []).append(hit)
                gains.setdefault(key, []).append(gain)
    joined = {k: np.concatenate(v) for k, v in hits.items()}, {k: np.concatenate(v) for k, v in gains.items()}
    return Window(at, people, *joined, n_buyers=int(buyers.sum()))


def merit_of_stored(
    stored: dict[str, Any], data: Interactions, window: Window, config: RecommendationConfig
) -> np.ndarray:
    """`Window.merit` of a model as it was stored, for the people of `window`, of whom it sees what was known then.

    What it does not know it cannot offer, though it is wanted; what has left the catalogue since is offered in vain.
    """
    import numpy as np

    model = ItemModel.from_dict(stored)
    mapped = in_items_of(data, model.product_ids)
    history = history_at(mapped, window.at, config)
    truth = bought_between(data, window.at, window.at + config.horizon_days * DAY)
    ours = np.searchsorted(data.product_ids, model.product_ids).clip(max=len(data.product_ids) - 1)
    is_ours = data.product_ids[ours] == model.product_ids
    scorer = Scorer(model)
    merits: list[np.ndarray] = []
    for start in range(0, window.n, config.chunk_profiles):
        rows = window.people[start : start + config.chunk_profiles]
        purchases, wanted = history.purchases[rows], truth[rows].toarray()
        evidence = scorer.evidence(purchases, history.views[rows])
        scores = scorer.combine(purchases, *evidence, model.blend_weight) + history.popularity * _TINY
        scores[history.returned[rows].toarray() > 0] = -1
        best = top_k(scores, _DEPTH)
        relevant = is_ours[best] & (np.take_along_axis(wanted, ours[best], axis=1) > 0)
        hit, gain = _quality(relevant, (wanted > 0).sum(axis=1))
        merits.append((hit + gain) / 2)
    return np.concatenate(merits)


def evaluate(data: Interactions, config: RecommendationConfig) -> Validation:
    """Choose the blend on the window before the newest, and measure it on the newest; nothing after `as_of` is used."""
    horizon = config.horizon_days * DAY
    ways: list[float | None] = [*sorted(config.blend_weights), None]
    earlier = back_test(data, data.as_of - 2 * horizon, ways, config)
    chosen: float | None = config.default_blend_weight
    if earlier.n >= config.min_test_profiles:
        chosen = max(ways, key=lambda way: float(earlier.merit(name_of(way)).mean()))
    test = back_test(data, data.as_of - horizon, (chosen,), config)
    metrics: dict[str, Any] = {
        "horizon_days": config.horizon_days,
        "blend_weight": chosen,
        "offers_repeats": chosen is not None,
        "blend_chosen_by_data": earlier.n >= config.min_test_profiles,
        "n_test": test.n,
        "n_buyers_in_window": test.n_buyers,
    }
    if test.n < config.min_test_profiles:
        metrics["note"] = (
            f"no back-test: {test.n} buyers with history in the newest {config.horizon_days} days, "
            f"{config.min_test_profiles} needed"
        )
        return Validation(metrics, test.n, trial=None, choice=chosen)
    names = {name_of(chosen): "", "own_frequency": "own_frequency_", "recent_popularity": "recent_popularity_"}
    for method, prefix in names.items():
        for suffix, label in (("", ""), ("_new", "new_")):
            if len(test.hits[method + suffix]):
                metrics[f"{prefix}{label}hr_at_3"] = round(float(test.hits[method + suffix].mean()), 6)
                metrics[f"{prefix}{label}ndcg_at_10"] = round(float(test.gains[method + suffix].mean()), 6)
    for measure, values in (("hr_at_3", test.hits), ("ndcg_at_10", test.gains)):
        difference = values[name_of(chosen)].astype(float) - values["own_frequency"]
        low, high = paired_interval(difference, config.gate.n_bootstrap, config.gate.seed)
        metrics[f"{measure}_minus_own_frequency"] = round(float(difference.mean()), 6)
        metrics[f"{measure}_minus_own_frequency_95"] = [round(low, 6), round(high, 6)]
    trial = Trial(
        began_at=from_micros(test.at),
        measure="the mean of HR@3 and NDCG@10",
        merit=test.merit(name_of(chosen)),
        rivals={name: test.merit(name) for name in ("own_frequency", "recent_popularity")},
        merit_of=lambda stored: merit_of_stored(stored, data, test, config),
    )
    return Validation(metrics, test.n, trial, choice=chosen)

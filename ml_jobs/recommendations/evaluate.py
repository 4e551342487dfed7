"""Temporal back-test: fit before T, predict what the buyers of the next days buy, beside the simplest rivals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from ml_jobs.gate import Trial, best_of, difference_to, paired_interval
from ml_jobs.io import from_micros
from ml_jobs.job import Validation
from ml_jobs.recommendations.config import RecommendationConfig
from ml_jobs.recommendations.features import DAY, History, Interactions, bought_between, history_at, in_items_of
from ml_jobs.recommendations.model import EASE, RANKED, RecommendationModel, Scorer
from ml_jobs.recommendations.neighbours import Neighbours, top_k
from ml_jobs.recommendations.pairs import Known, named_alike, sources_of
from ml_jobs.recommendations.placements import CART, CONTEXT, POST_PURCHASE, Placement, placements_of
from ml_jobs.recommendations.ranker import Lessons, are_enough, fit_trees, lessons_of

if TYPE_CHECKING:
    import numpy as np
    import scipy.sparse as sp

OWN_FREQUENCY = "own_frequency"
RECENT_POPULARITY = "recent_popularity"
_ALWAYS = (OWN_FREQUENCY, RECENT_POPULARITY)
_SIMPLE = ("blend_0.05", EASE)
_DEPTH = 10
_TINY = 1e-4
_CELLS_AT_ONCE = 20_000_000
"""People × items that are spelled out: of every method, a few times."""


@dataclass(frozen=True)
class Choice:
    """What the windows decided, and what the last fit learns from."""

    method: str
    lessons: Sequence[Lessons] = ()
    placements: Mapping[str, str] = field(default_factory=dict)
    """Of those that are served, their methods."""


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

    @property
    def methods(self) -> list[str]:
        """Those that were asked for and could be fitted, in their order."""
        return [name for name in self.hits if name not in _ALWAYS and "@" not in name and not name.endswith("_new")]

    def merit(self, method: str) -> np.ndarray:
        """Per person: what the mail shows (HR@3) and the order behind it (NDCG@10), in equal parts: less noise than
        either."""
        return (self.hits[method] + self.gains[method]) / 2

    def best_first(self, margin: float, least: int) -> list[str]:
        """The methods: first those whose merit is within `margin` of the best one's, in the order of what they are
        worth for items that are new to the person, if at least `least` people bought such; then the others.

        Two honest methods differ by the margin in their merit, which repeats decide, and severalfold in what is new.
        """
        merits = {name: float(self.merit(name).mean()) for name in self.methods}
        good_enough = max(merits.values(), default=0.0) - margin

        def order(name: str) -> tuple[bool, float, float]:
            new = self.merit(f"{name}_new")
            is_close = merits[name] >= good_enough
            return is_close, float(new.mean()) if is_close and len(new) >= max(least, 1) else 0.0, merits[name]

        return sorted(self.methods, key=order, reverse=True)


class AnyScorer(Protocol):
    """What gives each item a score for each person."""

    def scores(self, people: np.ndarray) -> np.ndarray:
        """float32 (people, items)"""
        ...


class Windows:
    """The windows of `horizon_days` before `as_of`, the newest first, each looked into once.

    Window 1 ended at `as_of`. What was known when a window began is what its methods, and the trees of its lessons,
    may use.
    """

    def __init__(self, data: Interactions, config: RecommendationConfig) -> None:
        self.data = data
        self.config = config
        self._lessons: dict[int, Lessons | None] = {}
        self._known: dict[int, tuple[Known, dict[str, Neighbours]]] = {}

    @cached_property
    def _names_alike(self) -> Neighbours:
        """The one source that is the same in all windows."""
        return named_alike(self.data, self.config)

    def began_at(self, number: int) -> int:
        """Microseconds."""
        return self.data.as_of - number * self.config.horizon_days * DAY

    def buyers(
        self, number: int, history: History, *, as_it_ended: bool = False
    ) -> tuple[sp.csr_matrix, np.ndarray, int]:
        """(1 where bought in the window, buyers of whom something was known, how many bought at all). What was sent
        back is not bought; `as_it_ended`: as far as was known then."""
        import numpy as np

        at, end = self.began_at(number), self.began_at(number - 1)
        truth = bought_between(self.data, at, end, end if as_it_ended else None)
        buyers = truth.getnnz(axis=1) > 0
        people = np.flatnonzero(buyers & (history.purchases.getnnz(axis=1) + history.views.getnnz(axis=1) > 0))
        return truth, people, int(buyers.sum())

    def known(self, number: int) -> tuple[Known, dict[str, Neighbours]]:
        """What was known when it began, and the sources of then."""
        if number not in self._known:
            at = self.began_at(number)
            history = history_at(self.data, at, self.config)
            sources = sources_of(history, self.data, self.config, given={"names": self._names_alike})
            # of the windows that are looked into twice: those that are measured
            self._known = {at: each for at, each in self._known.items() if at <= 2}
            self._known[number] = Known(self.data, at, sources, self.config), sources
        return self._known[number]

    def lessons(self, number: int) -> Lessons | None:
        """What a window teaches; None where too few bought in it."""
        if number not in self._lessons:
            self._lessons[number] = self._learned(number)
        return self._lessons[number]

    def lessons_before(self, number: int) -> list[Lessons]:
        """Of the windows that had ended when window `number` began."""
        n_windows = self.config.ranker.n_windows
        found = [self.lessons(earlier) for earlier in range(number + 1, number + 1 + n_windows)]
        return [one for one in found if one is not None]

    def can_rank(self, number: int) -> bool:
        """Whether trees can be fitted for what follows the beginning of window `number`; 0: for today."""
        return are_enough(self.lessons_before(number), self.config.ranker)

    def _learned(self, number: int) -> Lessons | None:
        config = self.config.ranker
        at = self.began_at(number)
        if not (self.data.bought_at < at).any():
            return None
        known, _ = self.known(number)
        # nothing that came after it: what it teaches serves the window that began with its end
        truth, people, _ = self.buyers(number, known.history, as_it_ended=True)
        if len(people) < self.config.min_test_profiles:
            return None
        people = sample(people, config.max_people, config.seed)
        return lessons_of(known, truth, people, config, self.config.chunk_profiles)

    def back_test(self, number: int, methods: Sequence[str]) -> Window:
        """Fit on what was known when the window began, and rank all products for its buyers.

        Everyone who had purchases or views counts; all methods are denied what the person had sent back, and fill up
        with recent popularity. Stock is not: what was in stock then is not known. Beside `methods` stand
        `own_frequency` (number of orders, ties by recent popularity) and `recent_popularity`; `…_new`: items never
        bought by the person before, for those who bought such. Without enough to learn from `ranked` is left out.
        """

        at, config = self.began_at(number), self.config
        history = history_at(self.data, at, config)
        truth, people, n_buyers = self.buyers(number, history)
        people = sample(people, config.max_test_profiles, config.seed)
        if len(people) < config.min_test_profiles:
            return Window(at, people, {}, {}, n_buyers)
        known, sources = self.known(number)
        scorers: dict[str, Scorer] = {}
        for method in methods:
            trees = fit_trees(self.lessons_before(number), config.ranker) if method == RANKED else None
            if method == RANKED and trees is None:
                continue
            model = RecommendationModel(
                self.data.product_ids, method, sources, history.popularity, config.popularity_lift,
                config.view_weight, trees, popularity_exponent=config.popularity_exponent,
            )  # fmt: skip
            scorers[method] = Scorer(model, known)
        return Window(at, people, *measured(scorers, known, truth, people, placements_of(known)), n_buyers)


def sample(people: np.ndarray, n: int, seed: int) -> np.ndarray:
    """`n` of many people, in order."""
    import numpy as np

    if len(people) <= n:
        return people
    return np.sort(np.random.default_rng(seed).choice(people, n, replace=False))


def _in_parts(people: np.ndarray, n_items: int) -> Iterator[np.ndarray]:
    """As many at once as there is memory for."""
    at_once = max(_CELLS_AT_ONCE // max(n_items, 1), 1)
    for start in range(0, len(people), at_once):
        yield people[start : start + at_once]


def measured(
    scorers: Mapping[str, AnyScorer],
    known: Known,
    truth: sp.csr_matrix,
    people: np.ndarray,
    placements: Sequence[Placement] = (),
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """(hits, gains) of `Window`, of `scorers` and of the two simplest methods; `…@<placement>` of those whom it serves,
    and of what may be offered there."""
    import numpy as np

    history = known.history
    context = next(iter(scorers.values())) if placements else None
    hits: dict[str, list[np.ndarray]] = {}
    gains: dict[str, list[np.ndarray]] = {}
    filler = history.popularity * _TINY
    for rows in _in_parts(people, known.shape[1]):
        wanted, own = truth[rows].toarray(), history.purchases[rows].toarray()
        rankings = {method: scorer.scores(rows) + filler for method, scorer in scorers.items()}
        rankings[OWN_FREQUENCY] = own + filler
        rankings[RECENT_POPULARITY] = np.tile(history.popularity, (len(rows), 1))
        # what is asked: suffix of its name, whom, what is left out, and who answers
        asked = [
            ("", np.ones(len(rows), bool), own < 0, rankings),
            ("_new", np.ones(len(rows), bool), own > 0, rankings),
        ]
        for placement in placements:
            here = placement.context[rows]
            by_context = {CONTEXT: context.scores(rows, here) + filler} if isinstance(context, Scorer) else {}
            left_out = placement.left_out[rows].toarray() > 0
            asked.append((f"@{placement.name}", here.getnnz(axis=1) > 0, left_out, rankings | by_context))
        denied = history.returned[rows].toarray() > 0
        for suffix, whom, left_out, answers in asked:
            target = np.where(left_out, 0, wanted)
            some = np.flatnonzero(whom & (target.sum(axis=1) > 0))
            for name, scores in answers.items():
                values = np.where((denied | left_out)[some], -1, scores[some])
                relevant = np.take_along_axis(target[some], top_k(values, _DEPTH), axis=1) > 0
                hit, gain = _quality(relevant, (target[some] > 0).sum(axis=1))
                hits.setdefault(name + suffix, []).append(hit)
                gains.setdefault(name + suffix, []).append(gain)
    return {k: np.concatenate(v) for k, v in hits.items()}, {k: np.concatenate(v) for k, v in gains.items()}


def _quality(relevant: np.ndarray, n_wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """HR@3 and NDCG@10 per row of what is `relevant` (bool, best first) of `n_wanted` (ideal: all of them, at most 10,
    at the top)."""
    import numpy as np

    discount = 1 / np.log2(np.arange(_DEPTH) + 2)
    ideal = np.cumsum(discount)[np.minimum(n_wanted, _DEPTH).clip(1) - 1]
    # a model that knows fewer items than ten offers so many
    return np.any(relevant[:, :3], axis=1), (relevant * discount[: relevant.shape[1]]).sum(axis=1) / ideal


def merit_of_stored(
    stored: dict[str, Any], data: Interactions, window: Window, config: RecommendationConfig
) -> np.ndarray:
    """`Window.merit` of a model as it was stored, for the people of `window`, of whom it sees what was known then.

    What it does not know it cannot offer, though it is wanted; what has left the catalogue since is offered in vain.
    """
    import numpy as np

    model = RecommendationModel.from_dict(stored)
    known = Known(in_items_of(data, model.product_ids), window.at, model.sources, config)
    truth = bought_between(data, window.at, window.at + config.horizon_days * DAY)
    ours = np.searchsorted(data.product_ids, model.product_ids).clip(max=len(data.product_ids) - 1)
    is_ours = data.product_ids[ours] == model.product_ids
    scorer = Scorer(model, known)
    merits: list[np.ndarray] = []
    for rows in _in_parts(window.people, known.shape[1]):
        wanted = truth[rows].toarray()
        scores = scorer.scores(rows) + known.history.popularity * _TINY
        scores[known.history.returned[rows].toarray() > 0] = -1
        best = top_k(scores, _DEPTH)
        relevant = is_ours[best] & (np.take_along_axis(wanted, ours[best], axis=1) > 0)
        hit, gain = _quality(relevant, (wanted > 0).sum(axis=1))
        merits.append((hit + gain) / 2)
    return np.concatenate(merits)


def evaluate(data: Interactions, config: RecommendationConfig) -> Validation:
    """Choose the method on the window before the newest, and measure it on the newest; nothing after `as_of` is used.

    What is worse on the newest than own frequency, filled up, or than EASE gives way to the better of them.
    """
    windows = Windows(data, config)
    earlier = windows.back_test(2, config.methods)
    chosen = config.default_method
    if earlier.n >= config.min_test_profiles:
        best_first = earlier.best_first(config.gate.margin, config.min_test_profiles)
        # later windows may have less to teach than those that the earlier one learned from
        can = (m for m in best_first if m != RANKED or all(windows.can_rank(number) for number in (1, 0)))
        chosen = next(can, chosen)
    test = windows.back_test(1, list(dict.fromkeys((chosen, *_SIMPLE))))
    if test.n >= config.min_test_profiles:
        merits = {name: test.merit(name) for name in (chosen, *_SIMPLE)}
        chosen = best_of(merits, chosen, _SIMPLE, config.gate)
    metrics: dict[str, Any] = {
        "horizon_days": config.horizon_days,
        "method": chosen,
        "chosen_by_data": earlier.n >= config.min_test_profiles,
        "n_test": test.n,
        "n_buyers_in_window": test.n_buyers,
    }
    placements, shown = _placed(earlier, test, chosen, config)
    metrics |= shown
    choice = Choice(chosen, windows.lessons_before(0) if chosen == RANKED else (), placements)
    if test.n < config.min_test_profiles:
        metrics["note"] = (
            f"no back-test: {test.n} buyers with history in the newest {config.horizon_days} days, "
            f"{config.min_test_profiles} needed"
        )
        return Validation(metrics, test.n, trial=None, choice=choice)
    prefixes = {name: f"{name}_" for name in (OWN_FREQUENCY, RECENT_POPULARITY, EASE)} | {chosen: ""}
    for method, prefix in prefixes.items():
        for suffix, label in (("", ""), ("_new", "new_")):
            if len(test.hits[method + suffix]):
                metrics[f"{prefix}{label}hr_at_3"] = round(float(test.hits[method + suffix].mean()), 6)
                metrics[f"{prefix}{label}ndcg_at_10"] = round(float(test.gains[method + suffix].mean()), 6)
    for measure, values in (("hr_at_3", test.hits), ("ndcg_at_10", test.gains)):
        difference = values[chosen].astype(float) - values[OWN_FREQUENCY]
        low, high = paired_interval(difference, config.gate.n_bootstrap, config.gate.seed)
        metrics[f"{measure}_minus_own_frequency"] = round(float(difference.mean()), 6)
        metrics[f"{measure}_minus_own_frequency_95"] = [round(low, 6), round(high, 6)]
    trial = Trial(
        began_at=from_micros(test.at),
        measure="the mean of HR@3 and NDCG@10",
        merit=test.merit(chosen),
        rivals={name: test.merit(name) for name in (OWN_FREQUENCY, RECENT_POPULARITY, EASE)},
        merit_of=lambda stored: merit_of_stored(stored, data, test, config),
    )
    return Validation(metrics, test.n, trial, choice=choice)


def _placed(
    earlier: Window, test: Window, chosen: str, config: RecommendationConfig
) -> tuple[dict[str, str], dict[str, Any]]:
    """(method of each placement that is served, metrics). By the context, or as in the newsletter: what was better on
    the earlier window. Where the newest says that a simple method would do better, the placement is not served."""
    methods: dict[str, str] = {}
    metrics: dict[str, Any] = {}
    for name in (CART, POST_PURCHASE):
        ways = [
            way for way in (CONTEXT, chosen) if len(earlier.hits.get(f"{way}@{name}", ())) >= config.min_test_profiles
        ]
        way = max(ways, key=lambda each: float(earlier.merit(f"{each}@{name}").mean()), default=CONTEXT)
        metrics[f"{name}_method"] = methods[name] = way
        measured_here = f"{way}@{name}"
        n = len(test.hits.get(measured_here, ()))
        metrics[f"{name}_n_test"] = n
        if n < config.min_test_profiles:
            continue
        ours = test.merit(measured_here)
        simple = {rival: test.merit(f"{rival}@{name}") for rival in (OWN_FREQUENCY, RECENT_POPULARITY, EASE)}
        against = (difference_to(rival, ours, its, config.gate) for rival, its in simple.items())
        if any(one.is_worse(config.gate.margin) for one in against):
            metrics[f"{name}_method"] = "none"
            del methods[name]
        metrics[f"{name}_hr_at_3"] = round(float(test.hits[measured_here].mean()), 6)
        metrics[f"{name}_ndcg_at_10"] = round(float(test.gains[measured_here].mean()), 6)
    return methods, metrics

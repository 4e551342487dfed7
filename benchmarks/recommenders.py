"""Recommenders on real people: all methods beside each other, on the same cuts and people.

    python -m benchmarks.recommenders [--only online_retail complete_journey gowalla beauty]

Reads the shared data (`MAILWRIGHT_SHARED`); skipped by name where that is absent. `implicit` is asked by its own Python
(see _peer_implicit.py). What is chosen, and what the trees learn from, lies before the windows that are measured.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
import scipy.sparse as sp

from ml_jobs.gate import paired_interval
from ml_jobs.io import to_micros
from ml_jobs.recommendations.config import RecommendationConfig
from ml_jobs.recommendations.evaluate import OWN_FREQUENCY, RECENT_POPULARITY, Window, Windows, measured, sample
from ml_jobs.recommendations.features import DAY, NEVER, Interactions, matrix_of
from ml_jobs.recommendations.model import RANKED, RecommendationModel, Scorer
from ml_jobs.recommendations.neighbours import Neighbours, cosine, ease, top_k
from ml_jobs.recommendations.ranker import fit_trees
from warehouse.settings import PROJECT_DIR

DATA = Path(os.environ.get("MAILWRIGHT_SHARED", PROJECT_DIR.parent / "shared")) / "data"
PEER = os.environ.get("MAILWRIGHT_BENCH_IMPLICIT")
CONFIG = RecommendationConfig()
RESAMPLES = 1000
SINGLE = (OWN_FREQUENCY, RECENT_POPULARITY, "ease", "new_only", "implicit ALS")
"""Methods of one stage, as they are published."""


def interactions(rows: dict[str, np.ndarray], as_of: int, names: dict[str, str] | None = None) -> Interactions:
    """Purchases (`person`, `item`: text; `at`: microseconds) of a shop that has everything in stock."""
    before = rows["at"] < as_of
    people, buyer = np.unique(rows["person"][before].astype(str), return_inverse=True)
    items, bought = np.unique(rows["item"][before].astype(str), return_inverse=True)
    none, n = np.empty(0, np.int64), before.sum()
    return Interactions(
        as_of=as_of,
        profile_ids=people.astype(object),
        product_ids=items.astype(object),
        product_names=np.asarray([(names or {}).get(item, "") for item in items], object),
        categories=np.full(len(items), "", object),
        is_eligible=np.ones(len(items), bool),
        buyer=buyer.astype(np.int64),
        bought=bought.astype(np.int64),
        bought_at=rows["at"][before],
        is_kept=np.ones(n, bool),
        returned_at=np.full(n, NEVER),
        viewer=none,
        viewed=none,
        viewed_at=none,
        view_weight=none.astype(float),
        is_cart=none.astype(bool),
    )


class Als:
    """`implicit`'s factors as a scorer."""

    def __init__(self, histories: sp.csr_matrix) -> None:
        with tempfile.TemporaryDirectory() as folder:
            given, made = Path(folder, "histories.npz"), Path(folder, "factors.npz")
            sp.save_npz(given, histories)
            script = str(Path(__file__).parent / "_peer_implicit.py")
            environment = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
            subprocess.run([str(PEER), script, str(given), str(made)], check=True, env=environment, stderr=sys.stderr)
            found = np.load(made)
            self._people, self._items = found["people"], found["items"]

    def scores(self, people: np.ndarray) -> np.ndarray:
        scores = self._people[people] @ self._items.T
        return scores - scores.min() + 1e-3


def interval(values: np.ndarray) -> str:
    low, high = paired_interval(values, RESAMPLES, CONFIG.seed)
    return f"{low:.3f} to {high:.3f}"


def temporal(title: str, rows: dict[str, np.ndarray], names: dict[str, str], cuts: list[datetime]) -> list[str]:
    """All methods at each cut: the buyers of the 30 days after it, ranked by what was known before."""
    found: list[tuple[Window, str]] = []
    for cut in cuts:
        data = interactions(rows, to_micros(cut + timedelta(days=CONFIG.horizon_days)), names)
        windows = Windows(data, CONFIG)
        earlier = windows.back_test(2, CONFIG.methods)
        chosen = earlier.best_first(CONFIG.gate.margin, CONFIG.min_test_profiles)[0]
        test = windows.back_test(1, CONFIG.methods)
        if PEER:
            known, _ = windows.known(1)
            truth, people, _ = windows.buyers(1, known.history)
            people = sample(people, CONFIG.max_test_profiles, CONFIG.seed)
            hits, gains = measured({"implicit ALS": Als(known.history.purchases)}, known, truth, people)
            for name in ("implicit ALS", "implicit ALS_new"):
                test.hits[name], test.gains[name] = hits[name], gains[name]
        found.append((test, chosen))
        print(f"{title} {cut:%Y-%m-%d}: {test.n} people, {chosen}", file=sys.stderr)
    methods = [name for name in found[0][0].hits if "@" not in name and not name.endswith("_new")]
    lines = [
        f"### {title}: the buyers of 30 days after {', '.join(f'{cut:%Y-%m-%d}' for cut in cuts)}",
        "",
        f"{', '.join(f'{test.n:,}' for test, _ in found)} people; means over the cuts, and in brackets 95 % intervals "
        f"over people. On the window before each cut was chosen: {', '.join(f'`{chosen}`' for _, chosen in found)}.",
        "",
        "| method | all: HR@3 | all: NDCG@10 | new: HR@3 | new: NDCG@10 | all: NDCG@10 at each cut |",
        "|---|---|---|---|---|---|",
    ]
    picked = {"**chosen before**": [chosen for _, chosen in found]} | {name: [name] * len(found) for name in methods}
    for label, at_each in picked.items():
        cells = []
        for suffix in ("", "_new"):
            for measure in ("hits", "gains"):
                per_cut = [
                    getattr(test, measure)[name + suffix] for (test, _), name in zip(found, at_each, strict=True)
                ]
                mean = np.mean([values.mean() for values in per_cut])
                cells.append(f"{mean:.3f} ({_interval_of_means(per_cut)})")
        each = ", ".join(f"{test.gains[name].mean():.3f}" for (test, _), name in zip(found, at_each, strict=True))
        lines.append(f"| {label} | {' | '.join(cells)} | {each} |")
    lines += ["", "The trees minus the best method of one stage, person by person (95 % intervals):", ""]
    for suffix, label in (("", "all"), ("_new", "new")):
        for measure, name in (("hits", "HR@3"), ("gains", "NDCG@10")):
            ours = [getattr(test, measure)["ranked" + suffix].astype(float) for test, _ in found]
            theirs = {
                single: [getattr(test, measure)[single + suffix] for test, _ in found]
                for single in SINGLE
                if single in methods
            }
            best = max(theirs, key=lambda single: np.mean([values.mean() for values in theirs[single]]))
            difference = [mine - other for mine, other in zip(ours, theirs[best], strict=True)]
            mean = np.mean([values.mean() for values in difference])
            lines.append(f"- {label}, {name}: {mean:+.3f} ({_interval_of_means(difference)}) against {best}")
    return [*lines, ""]


def _interval_of_means(per_cut: list[np.ndarray]) -> str:
    """95 % bootstrap interval of the mean over cuts, people resampled within each."""
    rng = np.random.default_rng(CONFIG.seed)
    means = [
        np.mean([values[rng.integers(0, len(values), len(values))].mean() for values in per_cut])
        for _ in range(RESAMPLES)
    ]
    low, high = np.quantile(means, [0.025, 0.975])
    return f"{low:.3f} to {high:.3f}"


def arrays(sql: str) -> dict[str, np.ndarray]:
    """Columns of a select."""
    return {name: np.asarray(values) for name, values in duckdb.sql(sql).fetchnumpy().items()}


def online_retail() -> list[str]:
    file = DATA / "online_retail/online_retail.parquet"
    # the usual clean cut, less what is no product (postage, fees)
    clean = f"""from '{file}' where CustomerID is not null and InvoiceNo not like 'C%' and Quantity > 0
        and UnitPrice > 0 and regexp_matches(StockCode, '^[0-9]{{5}}')"""
    rows = arrays(
        f"""select cast(cast(CustomerID as integer) as text) as person, StockCode as item,
            epoch_us(min(InvoiceDate)) as at {clean} group by CustomerID, InvoiceNo, StockCode order by all"""
    )
    names = dict(duckdb.sql(f"select StockCode, max(Description) {clean} group by 1").fetchall())
    cuts = [datetime(2011, 9, 9), datetime(2011, 10, 9), datetime(2011, 11, 9)]
    return temporal("Online Retail", rows, names, cuts)


def complete_journey() -> list[str]:
    folder = DATA / "completejourney"
    rows = arrays(
        f"""select household_id as person, product_id as item, epoch_us(min(transaction_timestamp)) as at
            from '{folder}/transactions_sample.parquet' group by household_id, basket_id, product_id order by all"""
    )
    names = dict(
        duckdb.sql(
            f"select product_id, concat_ws(' ', product_category, product_type) from '{folder}/products.parquet'"
        ).fetchall()
    )
    return temporal("Complete Journey, a sample of 75,000 lines", rows, names, [datetime(2017, 12, 1)])


def gowalla() -> list[str]:
    train, test = (
        arrays(f"select user_id, item_id from '{DATA}/gowalla/{part}.parquet' order by all")
        for part in ("train", "test")
    )
    n_items = max(int(one["item_id"].max()) for one in (train, test)) + 1
    shape = (int(train["user_id"].max()) + 1, n_items)
    history, wanted = (
        matrix_of(one["user_id"], one["item_id"], np.ones(len(one["item_id"])), shape) for one in (train, test)
    )
    config = RecommendationConfig(ease_items=n_items, max_profile_items=10_000, n_neighbours=1000)
    lines = [
        "### Gowalla, the split of LightGCN",
        "",
        f"{shape[0]:,} people, {shape[1]:,} places; what was visited before is left out. Published: EASE .1765 / "
        ".1467, item kNN .1570 / .1214.",
        "",
        "| method | recall@20 | NDCG@20 |",
        "|---|---|---|",
    ]
    ones = history.copy()
    ones.data[:] = 1
    visitors = np.asarray(ones.sum(axis=0)).ravel()
    rows: dict[str, Callable[[], Callable[[np.ndarray], np.ndarray]]] = {
        "popularity": lambda: lambda some: np.tile(visitors, (len(some), 1)),
        f"item kNN, kept to {config.n_neighbours} neighbours": lambda: _said(ones, cosine(history, config)),
        f"EASE, kept to {config.n_neighbours} neighbours": lambda: _said(ones, ease(history, config)),
    }
    if PEER:
        rows["implicit ALS"] = lambda: Als(history).scores
    for name, make in rows.items():
        recall, gain = _at_20(ones, make(), wanted)
        lines.append(f"| {name} | {recall.mean():.4f} ({interval(recall)}) | {gain.mean():.4f} ({interval(gain)}) |")
        print(lines[-1], file=sys.stderr)
    return [*lines, ""]


def _said(history: sp.csr_matrix, neighbours: Neighbours) -> Callable[[np.ndarray], np.ndarray]:
    weights = neighbours.as_matrix()
    return lambda some: sp.csr_matrix(history[some] @ weights).toarray()


def _at_20(
    history: sp.csr_matrix, score: Callable[[np.ndarray], np.ndarray], wanted: sp.csr_matrix
) -> tuple[np.ndarray, np.ndarray]:
    people = np.flatnonzero(wanted.getnnz(axis=1))
    discount = 1 / np.log2(np.arange(20) + 2)
    recalls, gains = [], []
    for start in range(0, len(people), 512):
        some = people[start : start + 512]
        scores = score(some).astype(float)
        seen = history[some].tocoo()
        scores[seen.row, seen.col] = -np.inf
        relevant = np.take_along_axis(wanted[some].toarray(), top_k(scores, 20), axis=1)
        n = wanted[some].getnnz(axis=1)
        recalls.append(relevant.sum(axis=1) / n)
        gains.append((relevant * discount).sum(axis=1) / np.cumsum(discount)[np.minimum(n, 20) - 1])
    return np.concatenate(recalls), np.concatenate(gains)


def beauty() -> list[str]:
    """The last item of each person, from those before; an item a day, so that a window is one item of everybody."""
    lines = (DATA / "amazon_beauty/sequences.txt").read_text().split("\n")
    sequences = [[int(item) for item in line.split()[1:]] for line in lines if line.strip()]
    as_of = to_micros(datetime(2024, 1, 1))
    person = np.concatenate([np.full(len(each), number) for number, each in enumerate(sequences)])
    at = np.concatenate([as_of - np.arange(len(each) - 1, -1, -1) * DAY + DAY // 2 for each in sequences])
    rows = {"person": person, "item": np.concatenate(sequences), "at": at}
    # today, the last items are still to come
    data = interactions(rows, as_of + DAY)
    config = RecommendationConfig(
        horizon_days=1, ease_items=20_000, lately_half_life_days=2.0, last_orders=1, popularity_days=7,
        max_test_profiles=len(sequences),
    )  # fmt: skip
    windows = Windows(data, config)
    known, sources = windows.known(1)
    truth, people, _ = windows.buyers(1, known.history)
    trees = fit_trees(windows.lessons_before(1), config.ranker)
    by_trees = Scorer(
        RecommendationModel(data.product_ids, RANKED, sources, known.history.popularity, 0, 0, trees), known
    )

    def said(evidence: str, some: np.ndarray) -> np.ndarray:
        return (known.asked(evidence, some) @ known.weights[evidence.removesuffix("_lately")]).toarray()

    scorers: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "recent popularity": lambda some: np.tile(known.history.popularity, (len(some), 1)),
        "item kNN": lambda some: said("bought", some),
        "item kNN, newest weigh more": lambda some: said("bought_lately", some),
        "EASE": lambda some: said("ease", some),
        "trees": by_trees.scores,
    }
    if PEER:
        als = Als(known.history.purchases)
        scorers["implicit ALS"] = als.scores
    hits: dict[str, list[np.ndarray]] = {name: [] for name in scorers}
    gains: dict[str, list[np.ndarray]] = {name: [] for name in scorers}
    discount = 1 / np.log2(np.arange(10) + 2)
    for start in range(0, len(people), 512):
        some = people[start : start + 512]
        own, wanted = known.history.purchases[some].toarray() > 0, truth[some].toarray()
        for name, score in scorers.items():
            relevant = np.take_along_axis(wanted, top_k(np.where(own, -np.inf, score(some)), 10), axis=1)
            hits[name].append(relevant.any(axis=1).astype(float))
            gains[name].append((relevant * discount).sum(axis=1))
    lines = [
        "### Amazon Beauty, 5-core: the last item of each person among all",
        "",
        f"{len(people):,} people, {len(data.product_ids):,} items. Published: SASRec .0605 / .0318, GRU4Rec .0283 / "
        ".0137. The trees learned from the items before the last.",
        "",
        "| method | HR@10 | NDCG@10 |",
        "|---|---|---|",
    ]
    for name in scorers:
        hit, gain = np.concatenate(hits[name]), np.concatenate(gains[name])
        lines.append(f"| {name} | {hit.mean():.4f} ({interval(hit)}) | {gain.mean():.4f} ({interval(gain)}) |")
    return [*lines, ""]


PARTS: dict[str, tuple[str, Callable[[], list[str]]]] = {
    "online_retail": ("online_retail/online_retail.parquet", online_retail),
    "complete_journey": ("completejourney/transactions_sample.parquet", complete_journey),
    "gowalla": ("gowalla/train.parquet", gowalla),
    "beauty": ("amazon_beauty/sequences.txt", beauty),
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recommenders", description=__doc__)
    parser.add_argument("--only", nargs="*", choices=list(PARTS), default=list(PARTS))
    print(
        "HR@3: something of the first three was bought; NDCG@10: the order of the first ten. All: any item; new: none "
        f"that the person had bought before. Seed {CONFIG.seed}, {RESAMPLES:,} resamples."
    )
    if not PEER:
        print("\n`implicit` was not asked: MAILWRIGHT_BENCH_IMPLICIT names no Python with it.")
    for name in parser.parse_args().only:
        file, part = PARTS[name]
        if not (DATA / file).exists():
            print(f"\n{name}: skipped, no shared data\n")
            continue
        print("\n" + "\n".join(part()))


if __name__ == "__main__":
    main()

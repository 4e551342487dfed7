"""Recommendations for many people: training, everybody's best ten, and what a person costs by each method.

    python -m benchmarks.recommender_scale [--interactions 1000000 10000000] [--profiles 200000] [--products 20000]

On a made-up store (benchmarks/ml_jobs.py) of three views for two purchases, from the warehouse and back into it. The
limit beside scoring is the product of histories and item-to-item weights by `sparse_dot_topn` alone: nothing scaled, no
own purchases, nothing denied, no reasons. The trees are asked for a sample.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import scipy.sparse as sp
from sparse_dot_topn import sp_matmul_topn

from benchmarks.ml_jobs import AS_OF, make_store
from ml_jobs.recommendations import job
from ml_jobs.recommendations.config import RecommendationConfig
from ml_jobs.recommendations.evaluate import Windows, sample
from ml_jobs.recommendations.features import Interactions, read_interactions
from ml_jobs.recommendations.model import LIKENESS, RANKED, Scorer, fit
from ml_jobs.recommendations.pairs import Known
from ml_jobs.recommendations.score import top_candidates
from warehouse.settings import Settings

T = TypeVar("T")
TOP = 10
CONFIG = RecommendationConfig(n_candidates=TOP)
BY_TREES = 10_000
"""People whom the trees are asked about."""


def timed(step: Callable[[], T]) -> tuple[T, float, float]:
    """(result, seconds, processor seconds)"""
    wall, cpu = time.perf_counter(), time.process_time()
    result = step()
    return result, time.perf_counter() - wall, time.process_time() - cpu


def peak() -> str:
    return f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.1f}"


def at_size(n_interactions: int, n_profiles: int, n_products: int) -> list[str]:
    per_profile = n_interactions // n_profiles
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(home=Path(folder), target="prod")
        make_store(settings, n_profiles, n_products, views=per_profile * 3 // 5, purchases=per_profile * 2 // 5)
        trained, *train_seconds = timed(lambda: job.train(settings, config=CONFIG))
        peak_of_training = peak()
        scored, *score_seconds = timed(lambda: job.score(settings, config=CONFIG))
        rows = [
            ("train", trained.metrics["method"], trained.n_train, *train_seconds, peak_of_training),
            (f"top {TOP} of all", trained.metrics["method"], scored.n_scored, *score_seconds, peak()),
        ]
        data = read_interactions(settings, AS_OF, CONFIG)
    print(*rows, sep="\n", file=sys.stderr)
    lines = [
        f"### {n_interactions:,} interactions of {n_profiles:,} people with {n_products:,} products",
        "",
        "| step, from the warehouse | method | rows | seconds | processor seconds | peak GiB so far |",
        "|---|---|---|---|---|---|",
        *(
            f"| {step} | `{method}` | {n:,} | {wall:.0f} | {cpu:.0f} | {gib} |"
            for step, method, n, wall, cpu, gib in rows
        ),
        "",
        f"{train_seconds[0] + score_seconds[0]:.0f} seconds for both; goal 300, 8 GiB, two cores.",
        "",
        f"| top {TOP} by | people | microseconds of processor each | people per processor second | of the limit |",
        "|---|---|---|---|---|",
    ]
    limit = None
    for label, n, cpu in per_person(data):
        limit = limit or n / cpu
        lines.append(f"| {label} | {n:,} | {cpu / n * 1e6:.0f} | {n / cpu:,.0f} | {n / cpu / limit:.0%} |")
        print(lines[-1], file=sys.stderr)
    return [*lines, "", f"Peak in all: {peak()} GiB.", ""]


def per_person(data: Interactions) -> list[tuple[str, int, float]]:
    """(who scores, people, processor seconds); the limit first."""
    found: list[tuple[str, int, float]] = []
    windows = Windows(data, CONFIG)
    people = np.arange(len(data.profile_ids))
    for method in ("blend_0.3", "new_only", "ease", RANKED):
        lessons = windows.lessons_before(0) if method == RANKED else ()
        model = fit(data, data.as_of, method, CONFIG, lessons)
        known = Known(data, data.as_of, model.sources, CONFIG)
        scorer = Scorer(model, known, data.is_eligible)
        asked = people if method != RANKED else sample(people, BY_TREES, CONFIG.seed)
        if not found:
            histories = sp.csr_matrix(sp.hstack([known.asked(name, people) for name in LIKENESS]))
            weights = sp.csr_matrix(sp.vstack([known.weights[name] for name in LIKENESS]))
            product = partial(sp_matmul_topn, histories, weights, TOP, threshold=0.0)
            found.append(("the product alone", len(people), timed(product)[2]))
        best_of_each(scorer, asked[:1])  # what is made once for all people
        found.append((f"`{method}`", len(asked), timed(partial(best_of_each, scorer, asked))[2]))
        with_reasons = partial(top_candidates, scorer, asked, TOP, CONFIG.chunk_profiles)
        found.append((f"`{method}`, with reasons", len(asked), timed(with_reasons)[2]))
    return found


def best_of_each(scorer: Scorer, people: np.ndarray) -> None:
    for start in range(0, len(people), CONFIG.chunk_profiles):
        some = people[start : start + CONFIG.chunk_profiles]
        scorer.best(some, TOP, scorer.known.history.returned[some])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--interactions", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--profiles", type=int, default=200_000)
    parser.add_argument("--products", type=int, default=20_000)
    arguments = parser.parse_args()
    for n_interactions in arguments.interactions:
        print("\n".join(at_size(n_interactions, arguments.profiles, arguments.products)))


if __name__ == "__main__":
    main()

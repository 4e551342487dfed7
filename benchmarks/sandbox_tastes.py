"""How much of what the sandbox planted the recommender finds.

    python -m benchmarks.sandbox_tastes

The simulated store of `mailwright demo` (made here, or the one in MAILWRIGHT_BENCH_HOME), whose truth names each
person's weight of every category. An oracle that knows these weights ranks products by weight × popularity within the
category. Between what is popular and the oracle lies the gap; how much of it the recommender closes, on items that the
person had not bought before, is measured on the newest window. (Of own repeats the truth says nothing. The oracle sees
no visits: who sees what people looked at and put into the cart may pass it.)
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from ml_jobs.recommendations.config import RecommendationConfig
from ml_jobs.recommendations.evaluate import RECENT_POPULARITY, Windows, evaluate, measured, sample
from ml_jobs.recommendations.features import Interactions, read_interactions
from warehouse.clock import read_clock
from warehouse.connection import connect
from warehouse.settings import Settings

CONFIG = RecommendationConfig()
GOAL = 0.5


class Oracle:
    """Weight of the category × popularity within it."""

    def __init__(self, data: Interactions, popularity: np.ndarray, tastes: list[tuple[str, str, float]]) -> None:
        groups = {name: number for number, name in enumerate(sorted(set(data.categories.tolist())))}
        code = np.asarray([groups[name] for name in data.categories])
        total = np.bincount(code, weights=popularity, minlength=len(groups))
        self._within = popularity / np.maximum(total[code], 1e-9)
        self._code = code
        place = {profile: number for number, profile in enumerate(data.profile_ids.tolist())}
        self._weights = np.zeros((len(place), len(groups)), np.float32)
        for profile, category, weight in tastes:
            if profile in place and category in groups:
                self._weights[place[profile], groups[category]] = weight
        self.known = np.asarray(self._weights.any(axis=1))

    def scores(self, people: np.ndarray) -> np.ndarray:
        return self._weights[people][:, self._code] * self._within


def gap(settings: Settings) -> list[str]:
    with connect(settings, read_only=True) as con:
        as_of = read_clock(con, settings.schema).as_of
        tastes = con.execute(
            f"""select profile_id, category, max(weight) from truth.tastes
                inner join truth.persons using (person_id)
                inner join "{settings.schema}".profile_identifiers as known
                    on known.identifier_type = persons.identifier_type
                    and known.identifier_value = lower(trim(persons.identifier_value))
                group by all order by all"""
        ).fetchall()
    data = read_interactions(settings, as_of, CONFIG)
    method = evaluate(data, CONFIG).metrics["method"]
    windows = Windows(data, CONFIG)
    test = windows.back_test(1, [method])
    known, _ = windows.known(1)
    truth, people, _ = windows.buyers(1, known.history)
    people = sample(people, CONFIG.max_test_profiles, CONFIG.seed)
    oracle = Oracle(data, known.history.popularity, tastes)
    hits, gains = measured({"oracle": oracle}, known, truth, people)
    lines = [
        f"As of {as_of:%Y-%m-%d}: {test.n:,} buyers of the last {CONFIG.horizon_days} days, {len(data.product_ids):,} "
        f"products; the truth knows {oracle.known[people].mean():.0%} of them. `{method}` goes live.",
        "The oracle knows tastes, and no visits; the recommender the reverse.",
        "",
        "| new items | most popular | recommender | oracle | share of the gap closed, goal 50 % |",
        "|---|---|---|---|---|",
    ]
    for label, ours, theirs in (("HR@3", test.hits, hits), ("NDCG@10", test.gains, gains)):
        low, mine, high = (
            float(values.mean())
            for values in (ours[f"{RECENT_POPULARITY}_new"], ours[f"{method}_new"], theirs["oracle_new"])
        )
        lines.append(f"| {label} | {low:.3f} | {mine:.3f} | {high:.3f} | {(mine - low) / (high - low):.0%} |")
    return lines


def main() -> None:
    home = Path(os.environ["MAILWRIGHT_BENCH_HOME"]) if "MAILWRIGHT_BENCH_HOME" in os.environ else None
    with tempfile.TemporaryDirectory() as folder:
        if home is None:
            home = Path(folder, "demo")
            mailwright = Path(sys.executable).parent / "mailwright"
            environment = os.environ | {"MAILWRIGHT_HOME": folder}
            subprocess.run([str(mailwright), "demo"], check=True, env=environment, stdout=sys.stderr)
        print("\n".join(gap(Settings(home=home, target="prod"))))


if __name__ == "__main__":
    main()

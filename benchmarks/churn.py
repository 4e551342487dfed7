"""Churn on real buyers: all methods beside each other at three cut-offs, with intervals.

    python -m benchmarks.churn

Reads UCI Online Retail and Complete Journey from the shared data (`MAILWRIGHT_SHARED`); skipped by name where that is
absent. Each method is fitted on cut-offs whose horizon had ended by the test cut-off; features are those that orders
alone can answer.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

from ml_jobs.churn.config import ChurnConfig
from ml_jobs.churn.evaluate import evaluate, quality, split
from ml_jobs.churn.features import read_training_set
from ml_jobs.churn.train import METHODS, fit
from tests.ml_jobs import stores
from warehouse.settings import PROJECT_DIR, Settings

CONFIG = ChurnConfig(features=stores.PURCHASE_FEATURES)
MEASURES = ("auc", "brier", "ece")
RESAMPLES = 300
SEED = 20240229


@dataclass(frozen=True)
class Cut:
    """A test cut-off on a real shop."""

    name: str
    file: str
    load: Callable[[Settings, Path, datetime], None]
    at: datetime
    horizon_days: int


CUTS = (
    Cut("Online Retail", "online_retail/online_retail", stores.online_retail, datetime(2011, 9, 10), 90),
    Cut("Online Retail", "online_retail/online_retail", stores.online_retail, datetime(2011, 11, 9), 30),
    Cut(
        "Complete Journey, sample", "completejourney/transactions_sample", stores.complete_journey,
        datetime(2017, 12, 1), 30,
    ),
)  # fmt: skip


def intervals(probability: np.ndarray, churned: np.ndarray) -> dict[str, tuple[float, float]]:
    """95 % bootstrap intervals of each measure, resampling people."""
    rng = np.random.default_rng(SEED)
    found: list[dict[str, float]] = []
    for _ in range(RESAMPLES):
        some = rng.integers(0, len(churned), len(churned))
        found.append(quality(probability[some], churned[some], CONFIG.n_bins))
    return {
        name: tuple(float(one) for one in np.quantile([each[name] for each in found], [0.025, 0.975]))
        for name in MEASURES
    }


def at_cut(cut: Cut, path: Path) -> list[str]:
    as_of = cut.at + timedelta(days=cut.horizon_days)
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(home=Path(folder), target="prod")
        cut.load(settings, path, as_of)
        stores.build_churn_tables(settings, as_of, cut.horizon_days, 12)
        rows = read_training_set(settings, as_of, CONFIG)
    known, test = split(rows)
    live = evaluate(rows, CONFIG)
    lines = [
        f"### {cut.name}, {cut.at:%Y-%m-%d}, {cut.horizon_days} days",
        "",
        f"{len(test.churned):,} buyers, {test.churned.mean():.3f} of whom did not buy; learned from "
        f"{len(set(known.cutoff.tolist()))} earlier cut-offs ({known.churned.mean():.3f}). The cut-off before it chose "
        f"{live.metrics['method_chosen_before']}; **{live.metrics['method']}** goes live.",
        "",
        "| method | AUC | Brier score | expected calibration error, goal .03 |",
        "|---|---|---|---|",
    ]
    for name, model in fit(known, CONFIG, METHODS).items():
        probability = model.predict(test.features)
        measured, around = quality(probability, test.churned, CONFIG.n_bins), intervals(probability, test.churned)
        cells = (f"{measured[one]:.3f} ({around[one][0]:.3f} to {around[one][1]:.3f})" for one in MEASURES)
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return [*lines, ""]


def main() -> None:
    data = Path(os.environ.get("MAILWRIGHT_SHARED", PROJECT_DIR.parent / "shared")) / "data"
    print(
        f"95 % bootstrap intervals over people ({RESAMPLES} resamples, seed {SEED}); calibration error in "
        f"{CONFIG.n_bins} bins of equal mass, of which a perfect model has some by chance. Trees, and their mean with "
        "RFM, are calibrated at the newest cut-off whose horizon had ended.\n"
    )
    for cut in CUTS:
        path = data / f"{cut.file}.parquet"
        print("\n".join(at_cut(cut, path) if path.exists() else [f"{cut.name}: skipped: no shared data.", ""]))


if __name__ == "__main__":
    main()

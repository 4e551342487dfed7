"""Lifetime value: the paper's figures on its own data, BG/NBD beside trees at real cut-offs, and how long a million
buyers take, beside `lifetimes`.

    python -m benchmarks.lifetime_value [--people 1000000] [--pairs 3]

CDNOW, Online Retail and Complete Journey are read from the shared data (`MAILWRIGHT_SHARED`), and skipped by name where
that is absent. `lifetimes` fits the
same million where MAILWRIGHT_BENCH_LIFETIMES names its Python (`_peer_lifetimes.py`): each fit in a process of its
own, ours and theirs in turn, and only after both were found to give the same parameters.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from ml_jobs.lifetime_value import bg_nbd, gamma_gamma, purchases
from ml_jobs.lifetime_value.bg_nbd import NAMES
from ml_jobs.lifetime_value.config import LifetimeValueConfig
from ml_jobs.lifetime_value.evaluate import evaluate, merit, on_the_day
from ml_jobs.lifetime_value.features import read_snapshots
from ml_jobs.lifetime_value.histories import Histories, distinct
from ml_jobs.lifetime_value.predict import predict, total_purchases
from tests.ml_jobs import buyers, stores
from warehouse.settings import PROJECT_DIR, Settings

PEER = "MAILWRIGHT_BENCH_LIFETIMES"
SEED = 20240229
DATA = Path(os.environ.get("MAILWRIGHT_SHARED", PROJECT_DIR.parent / "shared")) / "data"
TRUTH = buyers.Rates(0.243, 4.414 * 7, 0.793, 2.426)
"""CDNOW's, in days."""
PAPER = (0.243, 4.414, 0.793, 2.426, -9582.4)
PAPER_SPEND = (6.25, 3.74, 15.44)
SAME = 2e-3
"""Difference of parameters, relative, up to which two fits are one."""
LAST_GROUP = 7


def on_cdnow() -> list[str]:
    path = DATA / "cdnow/cdnow_sample.parquet"
    if not path.exists():
        return ["CDNOW: skipped: no shared data."]
    people, actual = buyers.cdnow(path)
    model, spend = bg_nbd.fit(people), gamma_gamma.fit(people)
    ours = [f"{getattr(model, name):.4f}" for name in NAMES] + [f"{model.log_likelihood:.2f}"]
    ours += [f"{value:.2f}" for value in (spend.p, spend.q, spend.gamma)]
    paper = [*map(str, PAPER), *map(str, PAPER_SPEND)]
    expected = purchases.expected_purchases(model, people, buyers.HOLDOUT_WEEKS)
    total = total_purchases(model, people, buyers.HOLDOUT_WEEKS)
    group = np.minimum(people.frequency, LAST_GROUP).astype(int)
    columns = [np.bincount(group)] + [np.bincount(group, each) for each in (actual, expected)]
    lines = [
        f"CDNOW, {model.n:,} buyers in weeks, calibrated on the first 39 weeks; Gamma-Gamma on the {spend.n} who "
        f"bought again (correlation of number and mean value {spend.correlation:.2f}).",
        "",
        "| | r | alpha | a | b | log-likelihood | p | q | gamma |",
        "|---|---|---|---|---|---|---|---|---|",
        f"| papers | {' | '.join(paper)} |",
        f"| ours | {' | '.join(ours)} |",
        "",
        f"Purchase days of the {buyers.HOLDOUT_WEEKS} weeks after: {actual.sum():,} counted, {total.expected:,.0f} "
        f"expected ({total.expected / actual.sum() - 1:+.1%}; standard error from the parameters alone "
        f"{total.standard_error:.0f}). By repeat purchases in calibration:",
        "",
        "| repeat purchases | buyers | counted | expected | counted per buyer | expected per buyer |",
        "|---|---|---|---|---|---|",
    ]
    for x, (n, counted, said) in enumerate(zip(*columns, strict=True)):
        name = f"{x} or more" if x == LAST_GROUP else str(x)
        lines.append(f"| {name} | {n:,} | {counted:,.0f} | {said:,.0f} | {counted / n:.2f} | {said / n:.2f} |")
    return lines


CUTS = (
    ("Online Retail", "online_retail/online_retail", stores.online_retail, datetime(2011, 12, 9), 90),
    ("Online Retail", "online_retail/online_retail", stores.online_retail, datetime(2011, 10, 9), 60),
    ("Online Retail", "online_retail/online_retail", stores.online_retail, datetime(2011, 12, 9), 30),
    ("CDNOW, sample", "cdnow/cdnow_sample", stores.cdnow, datetime(1998, 7, 1), 90),
    (
        "Complete Journey, sample", "completejourney/transactions_sample", stores.complete_journey,
        datetime(2017, 12, 31), 60,
    ),
)  # fmt: skip
"""(shop, file, loader, end of the horizon, days of it)"""


def beside_trees() -> list[str]:
    """Both methods at real cut-offs, each fitted on what was known on the day."""
    lines = [
        "What people spent within the horizon after a cut-off, beside what BG/NBD with Gamma-Gamma and what trees "
        "expected; features are those that orders alone can answer, of up to 12 cut-offs 30 days apart. The deviance "
        "is Tweedie's (power 1.5), in shares of what the mean itself would have.",
        "",
        "| shop | horizon, to | buyers | method | deviance | mean absolute error | total | Spearman "
        "| within the interval | chosen before, lives |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    config = LifetimeValueConfig(features=stores.PURCHASE_FEATURES)
    for shop, file, load, as_of, horizon in CUTS:
        path = DATA / f"{file}.parquet"
        if not path.exists():
            lines.append(f"| {shop} | skipped: no shared data |||||||||")
            continue
        with tempfile.TemporaryDirectory() as folder:
            settings = Settings(home=Path(folder), target="prod")
            load(settings, path, as_of)
            stores.build_churn_tables(settings, as_of, horizon, 12)
            rows = read_snapshots(settings, as_of, config.features)
        metrics = evaluate(rows, config).metrics
        day = on_the_day(rows, config)
        spent = day.test.spent
        for method in day.by_method:
            said = day.said(method, config)
            expected, low, high = said.expected_value[:, 0], said.value_low[:, 0], said.value_high[:, 0]
            verdicts = [
                word
                for word, name in (("chosen", metrics["method_chosen_before"]), ("lives", metrics["method"]))
                if name == method
            ]
            lines.append(
                f"| {shop} | {horizon} days, {as_of:%Y-%m-%d} | {len(spent):,} | {method} "
                f"| {-merit(expected, spent).mean():.3f} | {np.abs(expected - spent).mean():.2f} "
                f"| {expected.sum() / spent.sum() - 1:+.1%} | {spearmanr(expected, spent).statistic:.3f} "
                f"| {np.mean((low <= spent) & (spent <= high)):.3f} | {', '.join(verdicts)} |"
            )
    return lines


def made_up(n: int) -> Histories:
    """Buyers of up to two years, no two with the same times."""
    rng = np.random.default_rng(SEED)
    return buyers.simulate(rng, rng.uniform(0, 730, n), TRUTH).people


def by_the_day(people: Histories) -> Histories:
    """The same, as a shop's table of days has them."""
    return Histories(people.frequency, np.ceil(people.recency), np.ceil(people.age), people.value)


def fit_once(path: str) -> None:
    """One fit of ours: prints seconds and parameters as JSON."""
    stored = np.load(path)
    people = Histories(stored["frequency"], stored["recency"], stored["age"], stored["value"])
    for name in ("pandas", "scipy.optimize", "scipy.special", "threadpoolctl"):
        importlib.import_module(name)  # as theirs are, before the clock starts
    wall, cpu = time.perf_counter(), time.process_time()
    model = bg_nbd.fit(people)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    assert model.is_converged
    print(json.dumps({"cpu": cpu, "wall": wall, "peak": peak} | {name: getattr(model, name) for name in NAMES}))


def _run(command: list[str]) -> dict[str, Any]:
    one_thread = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=PROJECT_DIR, env=os.environ | one_thread, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def of_a_million(n: int, n_pairs: int) -> list[str]:
    peer = os.environ.get(PEER)
    exact = made_up(n)
    daily = by_the_day(exact)
    rows = distinct(daily)
    lines = [
        f"Fit of {n:,} simulated buyers (seed {SEED}, CDNOW's parameters, up to two years), {n_pairs} pairs in turn, "
        "one thread each; imports and reading are not in it, our putting equal histories together is.",
        "",
        "| histories | distinct | lifetimes, CPU s | ours, CPU s | ratio of CPU s, median of pairs, goal 4 "
        "| GiB, theirs | ours | greatest difference of a parameter |",
        "|---|---|---|---|---|---|---|---|",
    ]
    script = str(Path(__file__).with_name("_peer_lifetimes.py"))
    with tempfile.TemporaryDirectory() as folder:
        columns = ("frequency", "recency", "age")
        cases = {
            "whole days": (daily, {name: getattr(daily, name) for name in columns}),
            "whole days; theirs given distinct ones, weighted": (
                daily,
                {name: getattr(rows, name) for name in (*columns, "count")},
            ),
            "no two the same": (exact, {name: getattr(exact, name) for name in columns}),
        }
        for name, (people, theirs) in cases.items():
            ours_path, peer_path = Path(folder) / "ours.npz", Path(folder) / "theirs.npz"
            np.savez(ours_path, value=people.value, **{column: getattr(people, column) for column in columns})
            np.savez(peer_path, **theirs)
            pairs = []
            for _ in range(n_pairs):
                theirs_found = _run([peer, script, str(peer_path)]) if peer else None
                ours_found = _run([sys.executable, "-m", "benchmarks.lifetime_value", "--fit", str(ours_path)])
                print(name, theirs_found, ours_found, file=sys.stderr)
                pairs.append((theirs_found, ours_found))
            lines.append(_row(name, len(distinct(people).count), pairs))
    if not peer:
        lines += ["", f"lifetimes: skipped: {PEER} names no Python that has it."]
    return lines


def _row(name: str, n_distinct: int, pairs: list[tuple[dict[str, Any] | None, dict[str, Any]]]) -> str:
    ours = [found for _, found in pairs]
    theirs = [found for found, _ in pairs if found]
    off, ratio, cpu, peak = "", "", "", ""
    if theirs:
        difference = max(abs(t[key] / o[key] - 1) for t, o in zip(theirs, ours, strict=True) for key in NAMES)
        assert difference < SAME, (theirs, ours)
        off, ratio = (
            f"{difference:.1e}",
            f"{median(t['cpu'] / o['cpu'] for t, o in zip(theirs, ours, strict=True)):.1f}",
        )
        cpu, peak = f"{median(t['cpu'] for t in theirs):.2f}", f"{median(t['peak'] for t in theirs):.1f}"
    mine, gib = median(o["cpu"] for o in ours), median(o["peak"] for o in ours)
    return f"| {name} | {n_distinct:,} | {cpu} | {mine:.2f} | {ratio} | {peak} | {gib:.1f} | {off} |"


def predictions(n: int) -> list[str]:
    people = by_the_day(made_up(n))
    model, spend = bg_nbd.fit(people), gamma_gamma.fit(people)
    cpu = time.process_time()
    found = predict(model, spend, people)
    cpu = time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    columns = found.expected_purchases.shape[1]
    return [
        f"Predictions for the {n:,} in whole days at {columns} horizons, with the intervals of number and value: "
        f"{cpu:.1f} CPU s; peak of the process, which simulated and fitted them too, {peak:.1f} GiB."
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=1_000_000)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--fit", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.fit:
        fit_once(arguments.fit)
        return
    for part in (
        on_cdnow(),
        beside_trees(),
        of_a_million(arguments.people, arguments.pairs),
        predictions(arguments.people),
    ):
        print("\n".join(part))
        print()


if __name__ == "__main__":
    main()

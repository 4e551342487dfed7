"""The best hour to send: by everybody's clicks, by a person's own, and by these shrunk towards everybody's.

    python -m benchmarks.send_time

Simulated, because the true preference must be known. Hours are drawn at random, as for the randomized share of people.
Each method names an hour for each person; its figure is how often a mail at that hour is clicked in truth."""

from __future__ import annotations

import numpy as np

from ml_jobs.send_time.config import SendTimeConfig
from ml_jobs.send_time.features import HOURS, Sends
from ml_jobs.send_time.model import fit

PEOPLE = 200_000
COUNTS = (5, 20, 60, 200)
SEED = 20240229
BASE, PEAK, WIDTH = 0.13, 0.31, 1.75
"""Click rate far from a person's hour, what that hour adds, and how far around it (standard deviation, hours)."""
EVENING, CROWDED = 19, 1.2
"""Where most people's hours are, and how closely (von Mises)."""
AT_ONCE = 20_000


def click_rates(rng: np.random.Generator) -> np.ndarray:
    """True click rate of each person at each hour, (people, 24)."""
    hours = np.arange(HOURS)
    weight = np.exp(CROWDED * np.cos(2 * np.pi * (hours - EVENING) / HOURS))
    own = rng.choice(HOURS, PEOPLE, p=weight / weight.sum())
    off = np.abs(hours - own[:, None])
    return BASE + PEAK * np.exp(-0.5 * (np.minimum(off, HOURS - off) / WIDTH) ** 2)


def raw_argmax(sends: np.ndarray, clicks: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The hour of the greatest share of clicks, of several any one."""
    share = np.where(sends > 0, clicks / np.maximum(sends, 1), -1)
    return (share + rng.random(share.shape) * 1e-9).argmax(axis=1)


def shrunk(past: Sends, reach: int) -> np.ndarray:
    """What `ml_jobs.send_time` says, fitted to the same mails."""
    model = fit(past, SendTimeConfig(hour_reach=reach))
    people = (past.people(start, start + AT_ONCE) for start in range(0, PEOPLE, AT_ONCE))
    return np.concatenate([model.best(model.factors(some))[0] for some in people])


def main() -> None:
    rng = np.random.default_rng(SEED)
    truth = click_rates(rng)
    person = np.arange(PEOPLE)
    print(
        f"Simulated: {PEOPLE:,} people, each of whom has an hour of their own (seed {SEED}). Click rate at the best "
        f"hour of each person {truth.max(axis=1).mean():.3f}, at a random hour {truth.mean():.3f}, at the best hour of "
        f"all {truth.mean(axis=0).max():.3f}. By the hour that each method names, after so many mails at random "
        "hours:\n"
    )
    print(
        "| mails to each person | best hour of all | own best, raw | shrunk, each hour by itself | shrunk, as it is |"
    )
    print("|---|---|---|---|---|")
    for count in COUNTS:
        sends = rng.multinomial(count, np.full(HOURS, 1 / HOURS), size=PEOPLE)
        clicks = rng.binomial(sends, truth)
        who, hour = np.nonzero(sends)
        past = Sends(PEOPLE, who, hour, hour * 0, sends[who, hour], clicks[who, hour])
        of_all = np.full(PEOPLE, (clicks.sum(axis=0) / sends.sum(axis=0)).argmax())
        said = (of_all, raw_argmax(sends, clicks, rng), shrunk(past, 0), shrunk(past, SendTimeConfig().hour_reach))
        print(f"| {count} | " + " | ".join(f"{truth[person, hours].mean():.3f}" for hours in said) + " |")
    print(
        "\nThe standard error of a figure is below .0003. Goals for shrinkage: .256, .255, .283, .348, and nowhere "
        "below the best hour of all."
    )


if __name__ == "__main__":
    main()

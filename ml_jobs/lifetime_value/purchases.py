"""What BG/NBD says of the purchases to come of people with given histories: (people,) arrays.

Given the history and that a person is not gone, the rate is Gamma(r + x, alpha + T) and the chance to be gone after
the next purchase Beta(a, b + x), independently: all that is here follows from these two. Horizons and ages are in the
unit of time of the model.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_jobs.lifetime_value.bg_nbd import BgNbd
from ml_jobs.lifetime_value.histories import Histories, Timing

if TYPE_CHECKING:
    import numpy as np

_CELLS = 1 << 21
"""Numbers held at once in a matrix of people × nodes: 16 MB."""
_MOST_NODES = 400


def p_alive(model: BgNbd, people: Timing) -> np.ndarray:
    """Probability not to be gone yet (Fader, Hardie, Lee 2008, "Computing P(alive) using the BG/NBD model").

    It is 1 for all who never bought again, since one is gone after a repeat purchase only: 1 − P(alive) is no
    probability of churn. What ranks people is `p_purchase`.
    """
    import numpy as np
    from scipy.special import expit

    x = people.frequency
    with np.errstate(divide="ignore", invalid="ignore"):
        longer = np.log1p((people.age - people.recency) / (model.alpha + people.recency))
        u = np.log(model.a / (model.b + x - 1)) + (model.r + x) * longer
    return np.where(x > 0, expit(-u), 1.0)


def p_purchase(model: BgNbd, people: Timing, horizon: float) -> np.ndarray:
    """Probability of a purchase, one at least, within `horizon` after the cut-off.

    Who is not gone waits for the next purchase by the rate alone, and no purchase comes within h with probability
    E exp(−rate h) = ((alpha + T) / (alpha + T + h))^(r + x).
    """
    import numpy as np

    waits = -np.expm1(-(model.r + people.frequency) * np.log1p(horizon / (model.alpha + people.age)))
    return p_alive(model, people) * waits


def median_wait(model: BgNbd, people: Timing) -> np.ndarray:
    """Time after the cut-off by which the next purchase has come with probability one half: where `p_purchase` is 1/2.

    nan for whom it never reaches one half. It has no upper end: the slowest rates take it beyond any calendar.
    """
    import numpy as np

    alive = p_alive(model, people)
    shape = model.r + people.frequency
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        wait = (model.alpha + people.age) * np.expm1(-np.log1p(-0.5 / alive) / shape)
    return np.where(alive > 0.5, wait, np.nan)


def expected_purchases(model: BgNbd, people: Timing, horizon: float) -> np.ndarray:
    """Expected number of purchases within `horizon` after the cut-off (equation 10 of the paper of 2005).

    With chance p to be gone after each, one who is not gone makes (1 − E exp(−rate p h)) / p purchases. The mean of
    that over p ~ Beta(a, b + x) is taken by Gauss-Jacobi quadrature: the closed form's hypergeometric function
    overflows for many purchases, has a pole at a = 1, and is of no use near a limit of the model.
    """
    import numpy as np

    expected = np.empty(len(people.frequency))
    for x, rows in by_frequency(people):
        shape = model.r + x
        p, weight = _beta_rule(model.a, model.b + x, _n_nodes(shape, horizon / model.alpha))
        at_once = max(1, _CELLS // len(p))
        for start in range(0, len(rows), at_once):
            part = rows[start : start + at_once]
            reach = horizon / (model.alpha + people.age[part])
            expected[part] = (-np.expm1(-shape * np.log1p(reach[:, None] * p)) / p) @ weight
    return p_alive(model, people) * expected


def expected_of_new(model: BgNbd, age: float) -> float:
    """Expected repeat purchases until `age` of one of whom nothing else is known (equation 9)."""
    import numpy as np

    nothing = np.zeros(1)
    return float(expected_purchases(model, Histories(nothing, nothing, nothing, nothing), age)[0])


def p_at_least(
    model: BgNbd, x: float, age: np.ndarray, alive: np.ndarray, horizon: float, number: np.ndarray
) -> np.ndarray:
    """Probability of `number` purchases or more within `horizon`, of people with `x` repeat purchases.

    One who is not gone makes as many as the rate brings (negative binomial), but no more than are made when gone (a
    geometric number with chance p), and the two are independent. `number` ≥ 1, broadcast against the people's `age`
    and `alive`.
    """
    import numpy as np
    from scipy.special import betainc, betaln

    a, b = model.a, model.b + x
    by_rate = betainc(number, model.r + x, horizon / (model.alpha + age + horizon))
    return alive * by_rate * np.exp(betaln(a, b + number - 1) - betaln(a, b))


def by_frequency(people: Timing) -> Iterator[tuple[float, np.ndarray]]:
    """(x, positions of the people with x repeat purchases), ascending."""
    import numpy as np

    order = np.argsort(people.frequency, kind="stable")
    values, first = np.unique(people.frequency[order], return_index=True)
    for x, rows in zip(values, np.split(order, first)[1:], strict=True):
        yield float(x), rows


def _n_nodes(shape: float, reach: float) -> int:
    """Nodes for (1 + reach p)^−shape: its pole is at −1 / reach, and it falls off at 1 / (shape × reach).

    Of the model and the frequency alone, so that nobody's figures depend on whom else they are computed with.
    """
    return min(_MOST_NODES, 16 + int(min(12 * reach, 6 * ((1 + shape) * reach) ** 0.5)))


def _beta_rule(a: float, b: float, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes in (0, 1) and weights of the mean over Beta(a, b), exact for polynomials of degree 2n − 1.

    Eigenvalues of the Jacobi polynomials' recurrence (Golub, Welsch 1969, doi:10.1090/S0025-5718-69-99647-1); weights
    that sum to 1 have no constant to overflow.
    """
    import numpy as np
    from scipy.linalg import eigh_tridiagonal

    k = np.arange(1, n)
    total = 2 * k + a + b - 2
    diagonal = np.concatenate(([(a - b) / (a + b)], (a - b) * (a + b - 2) / (total * (total + 2))))
    # for k = 1 the factors a + b − 1 above and below cancel
    ratio = np.concatenate(([1.0], (k[1:] + a + b - 2) / (total[1:] - 1)))
    off = np.sqrt(4 * k * (k + a - 1) * (k + b - 1) * ratio / (total**2 * (total + 1)))
    nodes, vectors = eigh_tridiagonal(diagonal, off)
    return (1 + nodes) / 2, vectors[0] ** 2

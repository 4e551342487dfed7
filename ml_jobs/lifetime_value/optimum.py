"""Maximum likelihood of positive parameters: in their logarithms, within bounds, from several starts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

LogLikelihood = Callable[["np.ndarray"], tuple[float, "np.ndarray"]]
"""Parameters (k,) → the mean over people, and its gradient (k,) by the parameters."""

_STEEPEST = 1e-6
"""Slope of the mean log-likelihood, by logarithms and within the bounds, below which it has converged."""
_NEAR_BOUND = 1e-3
_VAGUE = 1.0
_STEP = 1e-4


@dataclass(frozen=True)
class Maximum:
    """Where the likelihood is greatest."""

    parameters: np.ndarray
    log_likelihood: float
    """Mean over people."""
    is_converged: bool
    at_boundary: tuple[str, ...]
    """Names of the parameters that lie on a bound: the data want a limit of the model."""
    undetermined: tuple[str, ...]
    """Names of those on no bound whose order of magnitude is open: their logarithm has a standard error above 1."""
    covariance: tuple[tuple[float, ...], ...] | None
    """Of the logarithms, from the curvature; None on a bound, or where the likelihood does not curve down."""


def maximize(
    log_likelihood: LogLikelihood,
    starts: Sequence[Sequence[float]],
    bounds: dict[str, tuple[float, float]],
    n: int,
    rough: LogLikelihood | None = None,
) -> Maximum:
    """The best of what is found from `starts`; with `rough`, that of some people, it is found there and then refined.

    `bounds`: name → (lower, upper) of each parameter, in order. `n`: people whose mean the likelihood is.
    """
    import numpy as np
    from scipy.optimize import minimize
    from threadpoolctl import threadpool_limits

    low, high = np.log(np.asarray(list(bounds.values()), np.float64)).T

    def climb(function: LogLikelihood, start: np.ndarray) -> tuple[float, np.ndarray]:
        found = minimize(
            lambda logs: _downhill(function, logs),
            np.clip(start, low, high),
            jac=True,
            method="L-BFGS-B",
            bounds=list(zip(low, high, strict=True)),
            options={"maxiter": 1000, "maxcor": 20, "ftol": 0.0, "gtol": _STEEPEST / 100},
        )
        return float(found.fun), found.x

    # threads take longer to meet than sums of vectors take, and would add up in another order
    with threadpool_limits(limits=1, user_api="blas"):
        climbed = [climb(rough or log_likelihood, np.log(np.asarray(start, np.float64))) for start in starts]
        logs = min(climbed, key=lambda found: found[0])[1]
        if rough is not None:
            logs = climb(log_likelihood, logs)[1]
        value, slope = _downhill(log_likelihood, logs)
        # on a bound, downhill may lead on
        inward = np.clip(logs - slope, low, high) - logs
        on_bound = np.minimum(logs - low, high - logs) < _NEAR_BOUND
        covariance = None if on_bound.any() else _covariance(log_likelihood, logs, n)
    if covariance is None:
        vague = np.full(len(low), not on_bound.any())
    else:
        vague = np.diag(covariance) > _VAGUE**2
    return Maximum(
        parameters=np.exp(logs),
        log_likelihood=-value,
        is_converged=bool(np.abs(inward).max() < _STEEPEST),
        at_boundary=tuple(name for name, is_there in zip(bounds, on_bound, strict=True) if is_there),
        undetermined=tuple(name for name, is_vague in zip(bounds, vague, strict=True) if is_vague),
        covariance=None if covariance is None else tuple(tuple(map(float, row)) for row in covariance),
    )


def _downhill(function: LogLikelihood, logs: np.ndarray) -> tuple[float, np.ndarray]:
    import numpy as np

    parameters = np.exp(logs)
    value, gradient = function(parameters)
    return -value, -gradient * parameters


def _covariance(function: LogLikelihood, logs: np.ndarray, n: int) -> np.ndarray | None:
    """Inverse of the Hessian, by central differences of the exact gradient: 2 k evaluations."""
    import numpy as np

    steps = np.eye(len(logs)) * _STEP
    hessian = np.stack([_downhill(function, logs + d)[1] - _downhill(function, logs - d)[1] for d in steps])
    hessian = (hessian + hessian.T) / (4 * _STEP)
    return np.linalg.inv(hessian) / n if (np.linalg.eigvalsh(hessian) > 0).all() else None

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
    information: np.ndarray | None
    """Minus the Hessian of the mean by the logarithms (k, k); None on a bound, or where it is not positive."""


def maximize(
    log_likelihood: LogLikelihood,
    starts: Sequence[Sequence[float]],
    bounds: dict[str, tuple[float, float]],
    rough: LogLikelihood | None = None,
) -> Maximum:
    """The best of what is found from `starts`; with `rough`, that of some people, it is found there and then refined.

    `bounds`: name → (lower, upper) of each parameter, in order.
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
        return Maximum(
            parameters=np.exp(logs),
            log_likelihood=-value,
            is_converged=bool(np.abs(inward).max() < _STEEPEST),
            at_boundary=tuple(name for name, is_there in zip(bounds, on_bound, strict=True) if is_there),
            information=None if on_bound.any() else _information(log_likelihood, logs),
        )


def _downhill(function: LogLikelihood, logs: np.ndarray) -> tuple[float, np.ndarray]:
    import numpy as np

    parameters = np.exp(logs)
    value, gradient = function(parameters)
    return -value, -gradient * parameters


def _information(function: LogLikelihood, logs: np.ndarray) -> np.ndarray | None:
    """Central differences of the exact gradient: 2 k evaluations."""
    import numpy as np

    steps = np.eye(len(logs)) * _STEP
    hessian = np.stack([_downhill(function, logs + d)[1] - _downhill(function, logs - d)[1] for d in steps])
    hessian = (hessian + hessian.T) / (4 * _STEP)
    return hessian if (np.linalg.eigvalsh(hessian) > 0).all() else None

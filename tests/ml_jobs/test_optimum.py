"""Maximum likelihood: the better of two peaks, bounds that are said, errors that are those of a normal."""

from __future__ import annotations

import numpy as np
import pytest

from ml_jobs.lifetime_value.optimum import LogLikelihood, maximize

WIDE = {"first": (1e-3, 1e3), "second": (1e-3, 1e3)}


def peak(first: float, second: float, spread: float = 1.0) -> LogLikelihood:
    """A normal in the logarithms around (first, second)."""

    def function(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        off = np.log(parameters / np.array([first, second]))
        return -0.5 * float(off @ off) / spread**2, -off / parameters / spread**2

    return function


def test_errors_are_those_of_a_normal() -> None:
    found = maximize(peak(2, 5, spread=3), [(1, 1)], WIDE, 100)
    np.testing.assert_allclose(found.parameters, [2, 5], rtol=1e-4)
    np.testing.assert_allclose(np.asarray(found.covariance), np.eye(2) * 9 / 100, atol=1e-6)
    assert (found.is_converged, found.at_boundary, found.undetermined) == (True, (), ())
    # of eight people: a standard error above 1
    assert maximize(peak(2, 5, spread=3), [(1, 1)], WIDE, 8).undetermined == ("first", "second")


def test_a_bound_is_said_and_has_no_errors() -> None:
    found = maximize(peak(2, 5e4), [(1, 1)], WIDE, 100)
    np.testing.assert_allclose(found.parameters, [2, 1e3], rtol=1e-4)
    assert (found.is_converged, found.at_boundary, found.covariance) == (True, ("second",), None)


def two_peaks(parameters: np.ndarray) -> tuple[float, np.ndarray]:
    """One at (0.1, 0.1), and one at (10, 10) that is twice as high."""
    value, slope = 0.0, np.zeros(2)
    for height, at in ((1.0, 0.1), (2.0, 10.0)):
        off = np.log(parameters / at)
        bell = height * float(np.exp(-0.5 * off @ off))
        value, slope = value + bell, slope - bell * off / parameters
    return value, slope


@pytest.mark.parametrize("order", [1, -1])
def test_the_better_of_two_peaks_is_taken(order: int) -> None:
    found = maximize(two_peaks, [(0.2, 0.2), (5, 5)][::order], WIDE, 100)
    np.testing.assert_allclose(found.parameters, [10, 10], rtol=1e-2)


def test_starts_are_tried_roughly_and_the_best_refined() -> None:
    asked = []

    def exact(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        asked.append(parameters)
        value, slope = two_peaks(parameters * 1.1)
        return value, slope * 1.1

    found = maximize(exact, [(0.2, 0.2), (5, 5)], WIDE, 100, rough=two_peaks)
    np.testing.assert_allclose(found.parameters, [10 / 1.1, 10 / 1.1], rtol=1e-2)
    np.testing.assert_allclose(asked[0], [10, 10], rtol=1e-2)


def test_a_slope_that_is_wrong_does_not_converge() -> None:
    def lying(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        value, slope = two_peaks(parameters)
        return value, slope + 0.1

    assert not maximize(lying, [(5, 5)], WIDE, 100).is_converged

"""Requests per window: never more than allowed, never later than needed, whoever asks."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from reverse_etl.limiter import Limiter, Window


class Clock:
    """Time that passes by sleeping alone; `waits` for callers that do not let it pass."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.waits: list[float] = []

    def read(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds


windows = st.lists(st.builds(Window, st.integers(1, 5), st.integers(1, 60)), min_size=1, max_size=3)


@given(windows, st.lists(st.integers(0, 10), min_size=1, max_size=40))
def test_no_window_is_exceeded_and_nobody_waits_longer_than_needed(kept: list[Window], gaps: list[int]) -> None:
    clock = Clock()
    limiter = Limiter(*kept, clock=clock.read, sleep=clock.sleep)
    went: list[float] = []
    for gap in gaps:
        clock.now += gap
        earliest = max([clock.now, *(went[-w.n] + w.seconds for w in kept if len(went) >= w.n)])
        limiter.acquire()
        went.append(clock.now)
        assert clock.now == earliest
    for window in kept:
        assert all(later - first >= window.seconds for first, later in zip(went, went[window.n :], strict=False))


def test_two_windows_at_once() -> None:
    """10 a second and 15 a minute: ten at once, five a second later, then a minute after the first."""
    clock = Clock()
    limiter = Limiter(Window(10, 1), Window(15, 60), clock=clock.read, sleep=clock.sleep)
    went = []
    for _ in range(16):
        limiter.acquire()
        went.append(clock.now - 1000)
    assert went == [0.0] * 10 + [1.0] * 5 + [60.0]


def test_threads_get_an_instant_each() -> None:
    """The clock stands still while they wait, so each wait tells which instant was reserved."""
    waits: list[float] = []
    limiter = Limiter(Window(2, 5), clock=lambda: 0.0, sleep=waits.append)
    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(limiter.acquire) for _ in range(40)]:
            done.result()
    assert sorted(waits) == [5.0 * (n // 2) for n in range(2, 40)]
    assert all(b - a in (0.0, 5.0) for a, b in pairwise(sorted(waits)))

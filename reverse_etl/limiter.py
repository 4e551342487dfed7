"""Requests per window of time, kept by whoever sends: waiting a little costs less than being refused."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Window:
    """At most `n` requests in any `seconds` seconds."""

    n: int
    seconds: float


class Limiter:
    """Lets requests through, first come first served, so that no window is ever exceeded. Thread-safe.

    It reserves the next instant that all windows allow, then sleeps until then: windows slide, so that a vendor who
    counts from full minutes, or from the first request, sees no more than it allows either.
    """

    def __init__(
        self, *windows: Window, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._windows = windows
        self._clock, self._sleep = clock, sleep
        self._lock = threading.Lock()
        self._granted: deque[float] = deque(maxlen=max(window.n for window in windows))

    def acquire(self) -> None:
        """Wait until one more request may go out."""
        with self._lock:
            now = self._clock()
            free = [self._granted[-w.n] + w.seconds for w in self._windows if len(self._granted) >= w.n]
            at = max([now, *free])
            self._granted.append(at)
        if at > now:
            self._sleep(at - now)

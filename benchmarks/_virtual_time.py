"""A clock that jumps: threads sleep on it, and when all of them do, it is the earliest of their wake-ups at once.

Whoever may sleep is counted: the main thread from the start, the threads of a `VirtualPool` while they have work. So
what takes hours by a vendor's limits is simulated in seconds, and comes out the same each time.
"""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Self


class VirtualClock:
    """Seconds since its making. Thread-safe."""

    def __init__(self) -> None:
        self._now = 0.0
        self._changed = threading.Condition()
        self._awake = 1
        self._asleep: list[float] = []

    def time(self) -> float:
        return self._now

    def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            return
        with self._changed:
            until = self._now + seconds
            heapq.heappush(self._asleep, until)
            self._leave(1)
            while self._asleep and self._asleep[0] <= until:  # whoever has come to its turn was taken out
                self._changed.wait()

    def _leave(self, n: int) -> None:
        self._awake -= n
        if self._awake == 0 and self._asleep:
            self._now = self._asleep[0]
            while self._asleep and self._asleep[0] <= self._now:
                heapq.heappop(self._asleep)
                self._awake += 1
            self._changed.notify_all()

    def join(self, n: int) -> None:
        """So many more threads are at work."""
        with self._changed:
            self._awake += n

    def leave(self) -> None:
        """This thread has no work any more, or waits for others."""
        with self._changed:
            self._leave(1)


def pool_on(clock: VirtualClock) -> type:
    """What takes the place of `ThreadPoolExecutor` for work that sleeps on the clock."""

    class VirtualPool:
        def __init__(self, workers: int, **_: object) -> None:
            self._workers = workers

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None:
            return None

        def map(self, work: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
            todo = list(items)
            results: list[Any] = [None] * len(todo)
            failed: list[BaseException] = []
            positions = iter(range(len(todo)))
            taking = threading.Lock()

            def run() -> None:
                try:
                    while True:
                        with taking:
                            position = next(positions, None)
                        if position is None:
                            return
                        results[position] = work(todo[position])
                except BaseException as error:
                    failed.append(error)
                finally:
                    clock.leave()

            threads = [threading.Thread(target=run, daemon=True) for _ in range(min(self._workers, len(todo)))]
            clock.join(len(threads))
            for thread in threads:
                thread.start()
            clock.leave()
            for thread in threads:
                thread.join()
            clock.join(1)
            if failed:
                raise failed[0]
            return iter(results)

    return VirtualPool

"""A clock that jumps: threads sleep on it, and when all of them do, it is the earliest of their wake-ups at once.

Whoever may sleep is counted: the main thread from the start, the threads of a `VirtualPool` while they have work. So
what takes hours by a vendor's limits is simulated in seconds, and comes out the same each time.
"""

from __future__ import annotations

import heapq
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
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


class VirtualFuture:
    """What becomes of one call in a virtual pool."""

    def __init__(self, pool: VirtualPool, call: Callable[[], Any]) -> None:
        self._pool, self.call = pool, call
        self.value: Any = None
        self.error: BaseException | None = None
        self.is_over = False
        self.awaited: threading.Event | None = None

    def done(self) -> bool:
        return self.is_over

    def cancel(self) -> bool:
        return self._pool.withdraw(self)

    def result(self) -> Any:
        self._pool.await_(self)
        if self.error is not None:
            raise self.error
        return self.value


class VirtualPool:
    """Takes the place of `ThreadPoolExecutor` for work that sleeps on the clock, and for one thread that waits for it.

    A thread counts while it works; the one that waits for a call does not, until the worker that ended the call counts
    it again: no instant is skipped in between.
    """

    def __init__(self, clock: VirtualClock, workers: int) -> None:
        self._clock, self._workers = clock, workers
        self._todo: deque[VirtualFuture] = deque()
        self._working = 0
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def submit(self, work: Callable[..., Any], *args: Any) -> VirtualFuture:
        future = VirtualFuture(self, partial(work, *args))
        with self._lock:
            self._todo.append(future)
            is_needed = self._working < self._workers
            self._working += is_needed
        if is_needed:
            self._clock.join(1)
            threading.Thread(target=self._run, daemon=True).start()
        return future

    def map(self, work: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
        futures = [self.submit(work, item) for item in items]
        return (future.result() for future in futures)

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._todo:
                    self._working -= 1
                    break
                future = self._todo.popleft()
            try:
                future.value = future.call()
            except BaseException as error:
                future.error = error
            with self._lock:
                future.is_over = True
                if future.awaited is not None:
                    self._clock.join(1)
                    future.awaited.set()
        self._clock.leave()

    def await_(self, future: VirtualFuture) -> None:
        with self._lock:
            if future.is_over:
                return
            future.awaited = threading.Event()
        self._clock.leave()
        future.awaited.wait()

    def withdraw(self, future: VirtualFuture) -> bool:
        with self._lock:
            is_waiting = future in self._todo
            if is_waiting:
                self._todo.remove(future)
            return is_waiting


def wait_on(clock: VirtualClock) -> Callable[..., None]:
    """What takes the place of `concurrent.futures.wait`, to within a tenth of a second."""

    def wait(futures: Sequence[VirtualFuture], timeout: float | None = None) -> None:
        until = None if timeout is None else clock.time() + timeout
        while not all(future.done() for future in futures) and (until is None or clock.time() < until):
            clock.sleep(0.1)

    return wait


def pool_on(clock: VirtualClock) -> Callable[..., VirtualPool]:
    """What makes such pools as `ThreadPoolExecutor` makes others."""

    def make(workers: int, **_: object) -> VirtualPool:
        return VirtualPool(clock, workers)

    return make

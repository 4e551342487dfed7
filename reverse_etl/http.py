"""The one HTTP client of all destinations: retries, throttling, connection limit, and no secret in any message.

Retries follow what is known about a request:
- never sent, or throttled: it did not happen, so it is sent again after a pause that doubles;
- sent and unanswered, or 5xx: it may have happened, so only a call that may be repeated is sent again.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx
from tenacity import RetryCallState, Retrying, retry_if_exception_type, wait_exponential_jitter

from reverse_etl.destination import Traffic
from reverse_etl.errors import DestinationDown, NoAnswer, without_secrets

logger = logging.getLogger(__name__)


class Throttled(DestinationDown):
    """The destination asked for patience; the request did not happen."""

    def __init__(self, what: str, retry_after: float | None = None) -> None:
        super().__init__(what, todo="run the sync again later; it goes on where it stopped")
        self.retry_after = retry_after


class _NotSent(DestinationDown):
    """No connection: the request did not happen."""


class _Unanswered(NoAnswer):
    """It may have happened, and this call must not be repeated blindly."""


class _UnansweredButRepeatable(NoAnswer):
    """It may have happened, and sending it again does no harm."""


@dataclass(frozen=True)
class RetryPolicy:
    """Attempts by what went wrong, and seconds of the pauses between them."""

    throttled: int = 8
    unreachable: int = 4
    unanswered: int = 3
    first_pause: float = 1.0
    longest_pause: float = 60.0


def retry_after_seconds(response: httpx.Response) -> float | None:
    """`Retry-After` in seconds; a date or nonsense counts as not given."""
    value = response.headers.get("retry-after", "")
    return float(value) if value.isdigit() else None


def is_throttle(response: httpx.Response) -> bool:
    """429 at all vendors; at Mailchimp also a 403 that has no JSON body."""
    if response.status_code == 429:
        return True
    return response.status_code == 403 and "json" not in response.headers.get("content-type", "")


class HttpClient:
    """A client for one account. Thread-safe; `close` it, or use it as a context manager."""

    def __init__(
        self,
        base_url: str,
        *,
        auth: httpx.Auth | tuple[str, str] | None,
        connections: int,
        timeout: float,
        secrets: tuple[str, ...] = (),
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
        retry: RetryPolicy | None = None,
    ) -> None:
        self.traffic = Traffic()
        self._secrets = secrets
        self._sleep = sleep
        self._policy = retry or RetryPolicy()
        self._slots = threading.BoundedSemaphore(connections)
        self._counting = threading.Lock()
        self._client = httpx.Client(
            base_url=base_url,
            auth=auth,
            timeout=httpx.Timeout(timeout, connect=min(timeout, 10.0)),
            limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
            transport=transport,
            headers={"User-Agent": "mailwright"},
            trust_env=False,
        )

    def close(self) -> None:
        self._client.close()

    def _count(self, **more: int) -> None:
        with self._counting:
            for name, by in more.items():
                setattr(self.traffic, name, getattr(self.traffic, name) + by)

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        repeatable: bool = True,
    ) -> httpx.Response:
        """The destination's answer: any status but throttles and 5xx, which are dealt with here.

        Raises:
            DestinationDown: it did not happen (no connection, or throttled to the end).
            NoAnswer: it may have happened.
        """

        doubts: list[NoAnswer] = []

        def once() -> httpx.Response:
            try:
                return self._once(method, path, params, json, repeatable)
            except NoAnswer as error:
                doubts.append(error)
                raise

        retrying = Retrying(
            retry=retry_if_exception_type((Throttled, _NotSent, _UnansweredButRepeatable)),
            stop=self._enough,
            wait=self._pause,
            sleep=self._sleep,
            before_sleep=lambda _: self._count(retried=1),
            reraise=True,
        )
        try:
            return retrying(once)
        except DestinationDown:
            if doubts:  # an earlier attempt may have taken effect, whatever became of the last one
                raise doubts[-1] from None
            raise

    def _enough(self, state: RetryCallState) -> bool:
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, Throttled):
            return state.attempt_number >= self._policy.throttled
        if isinstance(error, NoAnswer):
            return state.attempt_number >= self._policy.unanswered
        return state.attempt_number >= self._policy.unreachable

    def _pause(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, Throttled) and error.retry_after is not None:
            return error.retry_after
        backoff = wait_exponential_jitter(
            initial=self._policy.first_pause, max=self._policy.longest_pause, jitter=self._policy.first_pause
        )
        return backoff(state)

    def _once(
        self, method: str, path: str, params: Mapping[str, Any] | None, json: Any, repeatable: bool
    ) -> httpx.Response:
        with self._slots:
            self._count(requests=1, writes=0 if method == "GET" else 1)
            try:
                response = self._client.request(method, path, params=params, json=json)
            except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
                raise _NotSent(
                    f"The destination cannot be reached ({type(error).__name__}).",
                    where=self.where,
                    todo="check the network and the vendor's status page, then run the sync again",
                ) from None
            except httpx.TransportError as error:
                kind = _UnansweredButRepeatable if repeatable else _Unanswered
                raise kind(
                    f"The destination did not answer {method} ({type(error).__name__}).",
                    where=self.where,
                    todo="run the sync again; what was in doubt is sent again or looked up",
                ) from None
        if is_throttle(response):
            self._count(throttled=1)
            raise Throttled(f"The destination is throttling ({response.status_code}).", retry_after_seconds(response))
        if response.status_code >= 500:
            kind = _UnansweredButRepeatable if repeatable else _Unanswered
            raise kind(
                f"The destination failed with status {response.status_code}.",
                where=self.where,
                todo="run the sync again; what was in doubt is sent again or looked up",
            )
        return response

    @property
    def where(self) -> str:
        return f"{self._client.base_url.scheme}://{self._client.base_url.netloc.decode()}"

    def clean(self, text: str) -> str:
        """`text` without addresses and without this account's secrets."""
        return without_secrets(text, self._secrets)

"""The one HTTP client of all destinations: retries, throttling, connection limit, and no secret in any message.

Retries follow what is known about a request:
- never sent, or throttled: it did not happen, so it is sent again after a pause that doubles;
- sent and unanswered, or 5xx: it may have happened, so only a call that may be repeated is sent again.

How long to wait is what the destination asks for, in whatever header it says so; where it says nothing, a pause that
doubles.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import IO, Any

import httpx
from tenacity import RetryCallState, Retrying, retry_if_exception_type, wait_exponential_jitter

from reverse_etl.destination import BatchOutcome, Outcome, Traffic
from reverse_etl.errors import DestinationDown, NoAnswer, RejectedClass, without_secrets
from reverse_etl.limiter import Limiter

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
    longest_asked: float = 120.0
    """A destination that asks for more patience than this gets the run's next turn, not a sleeping run: a lease is
    stale after 15 minutes."""


EPOCH = 1_000_000_000
"""A number of seconds from here on is an instant (2001 and later), a smaller one is to go."""


def _instant(text: str) -> float | None:
    """An HTTP date in epoch seconds."""
    try:
        return parsedate_to_datetime(text).timestamp()
    except ValueError:
        return None


def pause_asked(response: httpx.Response, now: float) -> float | None:
    """For how many seconds the destination wants no request; None if it does not say. `now` in epoch seconds.

    `Retry-After` (RFC 9110: seconds or a date), else `RateLimit-Reset` (IETF draft: seconds), else `X-RateLimit-Reset`:
    an instant at most vendors, seconds in recorded traffic of one whose pages say instant. Instants are those of the
    destination's clock, where it shows it (`Date`).
    """
    now = _instant(response.headers.get("date", "")) or now
    for name in ("retry-after", "ratelimit-reset", "x-ratelimit-reset"):
        value = response.headers.get(name, "")
        number = float(value) if re.fullmatch(r"\d{1,15}(\.\d*)?", value) else _instant(value)
        if number is not None:
            return max(0.0, number - now) if number >= EPOCH else number
    return None


def body_of(response: httpx.Response) -> Any:
    """Parsed JSON, or None where there is none."""
    try:
        return response.json() if response.content else None
    except ValueError:
        return None


def transport_outcome(error: DestinationDown | NoAnswer) -> BatchOutcome:
    """How the records of a request ended that failed on its way."""
    if isinstance(error, NoAnswer):
        return BatchOutcome(Outcome("in_doubt", None, error.what), stop=error)
    return BatchOutcome(Outcome("rejected", RejectedClass.RETRYABLE, error.what), stop=error)


class Bearer(httpx.Auth):
    """`Authorization: Bearer …` on requests to the API, and on no others."""

    def __init__(self, token: str) -> None:
        self._token = token

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["Authorization"] = f"Bearer {self._token}"
        yield request


def is_throttle(response: httpx.Response) -> bool:
    """What all vendors mean by 429; one that has other signs brings its own function."""
    return response.status_code == 429


_HEADERS = {"User-Agent": "mailwright"}


class HttpClient:
    """A client for one account. Thread-safe; `close` it when done.

    `headers` go with every request to the API.
    """

    def __init__(
        self,
        base_url: str,
        *,
        auth: httpx.Auth | tuple[str, str] | None,
        connections: int,
        timeout: float,
        headers: Mapping[str, str] | None = None,
        secrets: tuple[str, ...] = (),
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.time,
        is_throttle: Callable[[httpx.Response], bool] = is_throttle,
        hopeless: Callable[[httpx.Response], DestinationDown | None] = lambda _: None,
        retry: RetryPolicy | None = None,
    ) -> None:
        """`hopeless`: the error for a refusal that no patience of a run outlasts (a day's quota that is used up)."""
        self.traffic = Traffic()
        self._secrets = secrets
        self._sleep = sleep
        self._clock = clock
        self._is_throttle = is_throttle
        self._hopeless = hopeless
        self._policy = retry or RetryPolicy()
        self._slots = threading.BoundedSemaphore(connections)
        self._counting = threading.Lock()
        limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
        self._transport = transport or httpx.HTTPTransport(limits=limits, trust_env=False)
        self._client = httpx.Client(
            base_url=base_url,
            auth=auth,
            timeout=httpx.Timeout(timeout, connect=min(timeout, 10.0)),
            transport=self._transport,
            headers={**_HEADERS, **(headers or {})},
            trust_env=False,
        )

    def close(self) -> None:
        self._client.close()

    def wait(self, seconds: float) -> None:
        """Let time pass, as between retries."""
        self._sleep(seconds)

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
        is_read: bool = False,
        limiter: Limiter | None = None,
    ) -> httpx.Response:
        """The destination's answer: any status but throttles and 5xx, which are dealt with here.

        `is_read`: a POST that asks and changes nothing. `limiter`: asked before each attempt.

        Raises:
            DestinationDown: it did not happen (no connection, or throttled to the end).
            NoAnswer: it may have happened.
        """

        def once() -> httpx.Response:
            if limiter is not None:
                limiter.acquire()
            request = self._client.build_request(method, path, params=params, json=json)
            return self._once(request, repeatable, is_write=not is_read and method != "GET")

        return self._insist(once)

    def download(self, url: str, into: IO[bytes]) -> int:
        """Write the file behind a link that the destination gave into the (empty) file `into`; the status.

        The link is its own permission, often at another host: it is asked without this account's credentials, and
        without its headers.

        Raises:
            DestinationDown, NoAnswer: no connection, throttled, or broken off, to the end.
        """
        try:
            request = httpx.Request(
                "GET", url, headers=_HEADERS, extensions={"timeout": self._client.timeout.as_dict()}
            )
        except httpx.InvalidURL:
            raise DestinationDown("The destination gave a link that is none.", where=self.where) from None

        def once() -> httpx.Response:
            into.seek(0)
            into.truncate()
            return self._once(request, True, into=into)

        return self._insist(once).status_code

    def _insist(self, attempt: Callable[[], httpx.Response]) -> httpx.Response:
        """Attempts until one is answered, as the policy says."""
        doubts: list[NoAnswer] = []

        def once() -> httpx.Response:
            try:
                return attempt()
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
            is_long = (error.retry_after or 0) > self._policy.longest_asked
            return is_long or state.attempt_number >= self._policy.throttled
        if isinstance(error, NoAnswer):
            return state.attempt_number >= self._policy.unanswered
        return state.attempt_number >= self._policy.unreachable

    def _pause(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, Throttled) and error.retry_after:
            return error.retry_after
        backoff = wait_exponential_jitter(
            initial=self._policy.first_pause, max=self._policy.longest_pause, jitter=self._policy.first_pause
        )
        return backoff(state)

    def _send(self, request: httpx.Request, into: IO[bytes] | None) -> httpx.Response:
        if into is None:
            return self._client.send(request)
        # not through the client: it would log the link, which is a secret
        response = self._transport.handle_request(request)
        try:
            for chunk in response.iter_bytes() if response.status_code == 200 else ():
                into.write(chunk)
        finally:
            response.close()
        return response

    def _once(
        self, request: httpx.Request, repeatable: bool, *, is_write: bool = False, into: IO[bytes] | None = None
    ) -> httpx.Response:
        """One attempt; the body goes `into` a file if one is given."""
        with self._slots:
            self._count(requests=1, writes=int(is_write))
            try:
                response = self._send(request, into)
            except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
                raise _NotSent(
                    f"The destination cannot be reached ({type(error).__name__}).",
                    where=self.where,
                    todo="check the network and the vendor's status page, then run the sync again",
                ) from None
            except httpx.RequestError as error:
                kind = _UnansweredButRepeatable if repeatable else _Unanswered
                raise kind(
                    f"The destination did not answer {request.method} ({type(error).__name__}).",
                    where=self.where,
                    todo="run the sync again; what was in doubt is sent again or looked up",
                ) from None
        if response.status_code == 429 or (into is None and self._is_throttle(response)):
            self._count(throttled=1)
            hopeless = None if into is not None else self._hopeless(response)
            if hopeless is not None:
                raise hopeless
            asked = pause_asked(response, self._clock())
            patience = f" and asks for {asked:.0f} seconds of patience" if asked else ""
            raise Throttled(f"The destination is throttling ({response.status_code}){patience}.", asked)
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

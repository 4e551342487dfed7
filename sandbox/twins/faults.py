"""Faults that a test, or a person who is curious, can ask a twin for; and the vendor's connection limit.

Faults are a thing of the twin, not of the vendor: they are set through `POST /__twin__/faults` or in process.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import re
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any, Literal

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

Kind = Literal["429", "403", "500", "close_before", "close_after", "hang", "die", "slow"]
HANG_SECONDS = 120.0


@dataclass
class Fault:
    """What shall go wrong, for which requests, how often.

    429: refused; 403: refused with an empty body; 500: an error before anything was done; close_before / close_after:
    the connection breaks without an answer, before or after the request took effect; hang: it took effect and the
    answer never comes; die: the server's process ends after the request took effect; slow: `seconds` of delay.
    """

    kind: Kind
    times: int = 1
    """How many matching requests it hits; -1: all."""
    skip: int = 0
    """How many matching requests go well before."""
    method: str = ""
    path: str = ""
    """A regular expression searched in the path."""
    seconds: float = 0.05

    def hits(self, method: str, path: str) -> bool:
        if self.times == 0 or (self.method and self.method != method) or not re.search(self.path, path):
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        self.times -= 1 if self.times > 0 else 0
        return True


class Faults:
    """The faults that are waiting to happen."""

    def __init__(self) -> None:
        self.waiting: list[Fault] = []

    def add(self, kind: Kind, **values: Any) -> None:
        self.waiting.append(Fault(kind, **values))

    def clear(self) -> None:
        self.waiting.clear()

    def next(self, method: str, path: str) -> Fault | None:
        for fault in self.waiting:
            if fault.hits(method, path):
                return fault
        return None


def is_authorized(authorization: str, api_key: str) -> bool:
    """Basic with any user name, or Bearer [spec, vendor's page]."""
    scheme, _, rest = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return rest.strip() == api_key
    if scheme.lower() == "basic":
        with contextlib.suppress(ValueError):
            return base64.b64decode(rest).decode().partition(":")[2] == api_key
    return False


async def _broken(send: Send) -> None:
    """Promise a body, send none: the server then closes the connection and the client has no answer."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1048576")]})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _swallow(_: Message) -> None:
    return None


async def inject(fault: Fault, app: App, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer (or do not answer) one request as `fault` says."""
    if fault.kind == "slow":
        await asyncio.sleep(fault.seconds)
        await app(scope, receive, send)
    elif fault.kind == "close_before":
        await _broken(send)
    elif fault.kind == "403":  # the vendor's other way to throttle: no JSON body (vendor's run-bulk-jobs guide)
        await send({"type": "http.response.start", "status": 403, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})
    elif fault.kind in {"close_after", "hang", "die"}:
        await app(scope, receive, _swallow)
        if fault.kind == "die":
            os._exit(1)
        if fault.kind == "hang":
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(_gone(receive), HANG_SECONDS)
        await _broken(send)
    else:
        raise ValueError(fault.kind)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass

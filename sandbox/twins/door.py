"""The way into a twin: authorization, limits, counters, faults and the request log, before the vendor's endpoints.

What is the twin's own (its page, counters and faults, under `/__twin__/`) needs no key and is no traffic, and is
answered to this machine alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from sandbox.twins.faults import Faults, Message, Receive, Scope, Send, inject
from sandbox.twins.holdings import Holdings
from sandbox.twins.page import page_routes
from sandbox.twins.store import FileStore

_HOST = re.compile(r"(127\.0\.0\.1|localhost|\[::1\])(:\d+)?", re.IGNORECASE)
_UNANSWERED = {"close_before", "close_after", "hang", "die"}


def carries(request: Request, records: int) -> None:
    """Tell the request log how many records a request brings, or its answer holds."""
    request.state.records = records


class Door:
    """What is common. A vendor's own door says who may come in, what is too much, and how the vendor words it."""

    has_empty_403 = False
    """Whether the fault 403 is answered without a body; else it is worded as the vendor words a 429."""

    def __init__(
        self,
        routes: Sequence[BaseRoute],
        store: FileStore,
        faults: Faults,
        api_key: str,
        holdings: Holdings,
        own_routes: Sequence[BaseRoute] = (),
    ) -> None:
        self.faults, self.api_key = faults, api_key
        self.store: Any = store
        self.open = self.most_open = 0
        own = [
            Route("/__twin__/stats", self._stats),
            Route("/__twin__/faults", self._set_faults, methods=["POST"]),
            Route("/__twin__/faults", self._clear_faults, methods=["DELETE"]),
        ]
        self.app = Starlette(
            routes=[*routes, *own, *own_routes, *page_routes(store, holdings)],
            exception_handlers={404: self._unknown},
        )

    # what a vendor says

    def refusal(self, headers: Mapping[str, str]) -> Response | None:
        """To whoever has no right to come in; names of headers in lower case."""
        raise NotImplementedError

    def admit(self, method: str, path: str, *, is_busy: bool) -> tuple[Response | None, Mapping[str, str]]:
        """(a refusal if it is too much or `is_busy`, headers of the answer to who is let in)."""
        raise NotImplementedError

    def failed(self) -> Response:
        """An error of the vendor's own."""
        raise NotImplementedError

    def not_found(self) -> Response:
        raise NotImplementedError

    def is_read(self, method: str, path: str) -> bool:
        """It changes nobody."""
        return method == "GET"

    def begin(self, method: str) -> None:
        """Before the endpoints see a request that was let in."""

    def every_answer(self) -> Mapping[str, str]:
        """Headers that all answers of the vendor have."""
        return {}

    def is_vendors(self, path: str) -> bool:
        return path != "/" and path != "/__twin__" and not path.startswith("/__twin__/")

    # what all do

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = str(scope.get("path", ""))
        if scope["type"] != "http":
            await self.app(scope, receive, send)
        elif self.is_vendors(path):
            self.open += 1
            self.most_open = max(self.most_open, self.open)
            try:
                await self._logged(scope, receive, send, path)
            finally:
                self.open -= 1
        elif _is_of_this_machine(scope):
            await self.app(scope, receive, send)
        else:
            refusal = PlainTextResponse("This page is for this machine alone: open it at http://127.0.0.1.\n", 421)
            await refusal(scope, receive, send)

    async def _logged(self, scope: Scope, receive: Receive, send: Send, path: str) -> None:
        state: dict[str, Any] = {"status": None, "is_throttled": False, "fault": ""}
        scope["state"] = state
        self.store.count("requests")
        seq = self.store.log_request(scope["method"], self._shown(path))

        async def noting(message: Message) -> None:
            if message["type"] == "http.response.start":
                state["status"] = message["status"]
            await send(message)

        try:
            await self._vendor(scope, receive, _with_headers(noting, self.every_answer()), scope["method"], path)
        finally:
            self.store.log_answer(
                seq,
                status=None if state["fault"] in _UNANSWERED else state["status"],
                records=state.get("records"),
                is_throttled=state["is_throttled"],
                fault=state["fault"],
            )

    async def _vendor(self, scope: Scope, receive: Receive, send: Send, method: str, path: str) -> None:
        refusal = self.refusal({n.decode("latin-1").lower(): v.decode("latin-1") for n, v in scope["headers"]})
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        state = scope["state"]
        fault = self.faults.next(method, path)
        kind = state["fault"] = fault.kind if fault else ""
        busy, headers = self.admit(method, path, is_busy=kind == "429" or (kind == "403" and not self.has_empty_403))
        if busy is not None:
            self._throttle(state)
            await busy(scope, receive, send)
            return
        if kind == "500":
            await self.failed()(scope, receive, send)
            return
        if kind == "403":
            self._throttle(state)
        elif kind != "close_before" and not self.is_read(method, path):
            self.store.count("writes")
        self.begin(method)
        send = _with_headers(send, headers)
        if fault:
            await inject(fault, self.app, scope, receive, send)
        else:
            await self.app(scope, receive, send)

    def _throttle(self, state: dict[str, Any]) -> None:
        self.store.count("throttled")
        state["is_throttled"] = True

    def _shown(self, path: str) -> str:
        """Without addresses, and without the key, should somebody have put it there."""
        parts = ["…" if "@" in part else part for part in path.replace(self.api_key, "…").split("/")]
        return "/".join(parts)[:300]

    async def _stats(self, _: Request) -> Response:
        counted = {"requests": 0, "writes": 0, "throttled": 0, **self.store.counters()}
        return JSONResponse({"simulated": True, **counted, "most_connections": self.most_open})

    async def _set_faults(self, request: Request) -> Response:
        for fault in await request.json():
            self.faults.add(**fault)
        return JSONResponse({"simulated": True, "waiting": len(self.faults.waiting)})

    async def _clear_faults(self, _: Request) -> Response:
        self.faults.clear()
        return JSONResponse({"simulated": True, "waiting": 0})

    async def _unknown(self, _: Request, __: Exception) -> Response:
        return self.not_found()


def bearer_is(headers: Mapping[str, str], api_key: str) -> bool:
    return headers.get("authorization") == f"Bearer {api_key}"


def _is_of_this_machine(scope: Scope) -> bool:
    """A page elsewhere can have its own name point here (DNS rebinding), or send something here itself; the name that
    was asked for, and the origin that a browser adds, tell."""
    given = [(name.lower(), value.decode("latin-1")) for name, value in scope["headers"]]
    hosts = [value for name, value in given if name == b"host"]
    origins = [value.partition("://")[2] for name, value in given if name == b"origin"]
    return len(hosts) == 1 and all(_HOST.fullmatch(one) for one in [*hosts, *origins])


def _with_headers(send: Send, headers: Mapping[str, str]) -> Send:
    extra = [(name.lower().encode(), value.encode()) for name, value in headers.items()]

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", []), *extra]}
        await send(message)

    return sending

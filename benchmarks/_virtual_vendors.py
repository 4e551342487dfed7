"""The four vendors' writing calls on a virtual clock: their limits, an assumed time per request, and an answer.

Simulations of what `reverse_etl/limits.yml` and the twins say of the vendors, not measurements of any vendor. The time
that a request takes is an assumption, as the vendors state none.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from benchmarks._reverse_etl_tables import COLUMNS
from benchmarks._virtual_time import VirtualClock

FIELDS = tuple(f"mw_{column}" for column in COLUMNS)
Answer = Callable[[httpx.Request, "VirtualVendor"], tuple[int, Any]]


@dataclass(frozen=True)
class Rule:
    """Requests that match `operation` share windows of (requests, seconds), counted from whole multiples of them."""

    operation: str
    windows: tuple[tuple[int, int], ...]


@dataclass
class VirtualVendor(httpx.BaseTransport):
    """One account; counts requests, and refuses what goes beyond its windows or connections with a 429."""

    clock: VirtualClock
    answer: Answer
    rules: Sequence[Rule] = ()
    connections: int | None = None
    seconds: float = 1.0
    """Of one request."""
    job_seconds: float = 0.0
    requests: int = 0
    refused: int = 0
    writes: int = 0
    written: int = 0
    """Bytes of the writes' bodies."""
    last_write: float = 0.0
    people: int = 0
    jobs: dict[str, float] = field(default_factory=dict)
    """Job → when it ends."""
    _open: int = 0
    _seen: dict[tuple[str, int, int], int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        now = self.clock.time()
        with self._lock:
            self.requests += 1
            wait = self._wait(f"{request.method} {request.url.path}", now)
            if wait is not None:
                self.refused += 1
            else:
                self._open += 1
        if wait is not None:
            return httpx.Response(429, headers={"retry-after": str(wait)}, json={}, request=request)
        self.clock.sleep(self.seconds)
        with self._lock:
            self._open -= 1
            status, body = self.answer(request, self)
            if request.method != "GET":
                self.writes += 1
                self.written += len(request.content)
                self.last_write = self.clock.time()
        return httpx.Response(status, content=json.dumps(body).encode(), request=request)

    def _wait(self, operation: str, now: float) -> int | None:
        """Seconds until there is room, if there is none."""
        if self.connections is not None and self._open >= self.connections:
            return 1
        rule = next((r for r in self.rules if re.fullmatch(r.operation, operation)), None)
        if rule is None:
            return None
        counters = [((rule.operation, seconds, int(now // seconds)), most) for most, seconds in rule.windows]
        for (_, seconds, number), most in counters:
            if self._seen.get((rule.operation, seconds, number), 0) >= most:
                return int((number + 1) * seconds - now) + 1
        for counter, _ in counters:
            self._seen[counter] = self._seen.get(counter, 0) + 1
        return None

    def begin_job(self) -> str:
        name = f"job{len(self.jobs)}"
        self.jobs[name] = self.clock.time() + self.job_seconds
        return name


def shortest(n_requests: int, windows: Sequence[tuple[int, int]], seconds: float, connections: int | None) -> float:
    """Seconds in which a vendor would take so many requests, if each came at the first instant that it may."""
    at = 0.0
    seen: dict[tuple[int, int], int] = {}
    free = [0.0] * (connections or 0)
    for n in range(n_requests):
        at = max(at, free[n % len(free)]) if free else at
        while True:
            full = [w for m, w in windows if seen.get((w, int(at // w)), 0) >= m]
            if not full:
                break
            at = max((int(at // w) + 1) * w for w in full)
        for _, w in windows:
            seen[w, int(at // w)] = seen.get((w, int(at // w)), 0) + 1
        if free:
            free[n % len(free)] = at + seconds
    return at + seconds


def mailchimp(request: httpx.Request, vendor: VirtualVendor) -> tuple[int, Any]:
    members = json.loads(request.content)["members"]
    vendor.people += len(members)
    there = [{"email_address": m["email_address"]} for m in members]
    return 200, {"new_members": [], "updated_members": there, "errors": []}


def hubspot(request: httpx.Request, vendor: VirtualVendor) -> tuple[int, Any]:
    inputs = json.loads(request.content)["inputs"]
    vendor.people += len(inputs)
    results = [
        {
            "id": str(n),
            "new": False,
            "objectWriteTraceId": one["objectWriteTraceId"],
            "properties": {"email": one["id"]},
        }
        for n, one in enumerate(inputs)
    ]
    return 200, {"status": "COMPLETE", "results": results}


def sendgrid(request: httpx.Request, vendor: VirtualVendor) -> tuple[int, Any]:
    path = request.url.path
    if path.endswith("/marketing/field_definitions"):
        return 200, {"custom_fields": [{"id": name, "name": name} for name in FIELDS]}
    if request.method == "PUT":
        vendor.people += len(json.loads(request.content)["contacts"])
        return 202, {"job_id": vendor.begin_job()}
    is_over = vendor.clock.time() >= vendor.jobs[path.rsplit("/", 1)[1]]
    return 200, {"status": "completed" if is_over else "pending", "results": {}}


def klaviyo(request: httpx.Request, vendor: VirtualVendor) -> tuple[int, Any]:
    path = request.url.path.removeprefix("/api")
    if request.method == "POST":
        body = json.loads(request.content)
        n = len(body["data"]["attributes"]["profiles"]["data"])
        vendor.people += n
        name = vendor.begin_job()
        return 202, {"data": {"id": name, "attributes": {"total_count": n}}}
    now = vendor.clock.time()

    def job(name: str) -> dict[str, Any]:
        is_over = now >= vendor.jobs[name]
        counts = {"total_count": 1, "completed_count": int(is_over), "failed_count": 0}
        return {"id": name, "attributes": {"status": "complete" if is_over else "processing", **counts}}

    if path != "/profile-bulk-import-jobs":
        return 200, {"data": job(path.rsplit("/", 1)[1])}
    query = dict(request.url.params)
    names = list(reversed(vendor.jobs)) if query.get("sort") == "-created_at" else []  # else: older ones, of nobody
    first = int(query.get("page[cursor]", 0))
    last = first + int(query["page[size]"])
    links = {"next": f"https://vendor.test?page[cursor]={last}"} if last < len(names) else {}
    return 200, {"data": [job(name) for name in names[first:last]], "links": links}


ANSWERS: Mapping[str, Answer] = {
    "mailchimp": mailchimp,
    "hubspot": hubspot,
    "sendgrid": sendgrid,
    "klaviyo": klaviyo,
}

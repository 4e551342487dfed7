"""How fast people are sent, as far as the vendors' limits let them: a simulation on a virtual clock."""

from __future__ import annotations

import resource
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from benchmarks import _virtual_vendors as vendors
from benchmarks._reverse_etl_tables import SYNC, AllThere, change, installation
from benchmarks._virtual_time import VirtualClock, pool_on
from benchmarks._virtual_vendors import ANSWERS, Rule, VirtualVendor, shortest
from reverse_etl import runner, sending
from reverse_etl.destination import Record
from reverse_etl.destinations.hubspot import HubSpot
from reverse_etl.destinations.klaviyo import Klaviyo
from reverse_etl.destinations.mailchimp import Mailchimp
from reverse_etl.destinations.sendgrid import SendGrid
from reverse_etl.limits import keep_to, limits_of

PEOPLE = 1_000_000
THROUGH_THE_ENGINE = 100_000
VALUE = "a value of usual length"


@dataclass(frozen=True)
class Case:
    """One vendor's limits, and what a request is assumed to take."""

    kind: str
    make: Any
    arguments: tuple[str, ...]
    windows: tuple[tuple[int, int], ...]
    """(requests, seconds) of the call that people go out with."""
    operation: str
    rules: tuple[Rule, ...]
    connections: int | None
    """That the vendor takes, if it says."""
    seconds: float
    job_seconds: float = 0.0
    used: int | None = None
    """Connections that we use, if other than by default."""


_MAILCHIMP = Case("mailchimp", Mailchimp, ("key-us0", "bench"), (), r"POST .*", (), connections=10, seconds=2.5)
_BULK, _EACH = ((10, 1), (150, 60)), ((75, 1), (750, 60))
CASES = (
    _MAILCHIMP,
    replace(_MAILCHIMP, used=10),
    Case(
        "klaviyo", Klaviyo, ("key", "Bench1"), _BULK, r"POST .*/profile-bulk-import-jobs",
        (Rule(r"POST .*/profile-bulk-import-jobs", _BULK), Rule(r"GET .*/profile-bulk-import-jobs", _BULK),
         Rule(r"GET .*/profile-bulk-import-jobs/[^/]+", _BULK), Rule(r"GET .*/import-errors", _BULK),
         Rule(r".*", _EACH)),
        connections=None, seconds=1.0, job_seconds=8.0,
    ),
    Case(
        "sendgrid", SendGrid, ("key", "bench"), ((200, 60),), r"PUT .*",
        (Rule(r"PUT .*", ((200, 60),)), Rule(r".*", ((600, 60),))),
        connections=None, seconds=1.0, job_seconds=8.0,
    ),
    Case(
        "hubspot", HubSpot, ("token", "1", "bench"), ((100, 10),), r"POST .*", (Rule(r"POST .*", ((100, 10),)),),
        connections=None, seconds=1.0,
    ),
)  # fmt: skip


def _use(case: Case) -> None:
    """For this process alone: the connections of an account that nobody else uses."""
    keep_to(case.kind, {} if case.used is None else {"connections_used": case.used})


def _destination(case: Case, clock: VirtualClock, transport: VirtualVendor, n: int) -> Any:
    there: Any = type("There", (AllThere, case.make), {"n_members": n})
    timing: dict[str, Any] = {"sleep": clock.sleep}
    if case.kind != "mailchimp":  # has no windows of requests, and so no clock
        timing["clock"] = clock.time
    if case.kind == "klaviyo":
        timing["now"] = clock.time
    made = there(*case.arguments, transport=transport, base_url="https://vendor.test/api", **timing)
    if case.kind == "klaviyo":
        made.upsert("update", [])  # looks for older imports, once and under a lock, on which nobody may sleep here
    return made


def _vendor(case: Case, clock: VirtualClock) -> VirtualVendor:
    return VirtualVendor(
        clock, ANSWERS[case.kind], case.rules, case.connections, seconds=case.seconds, job_seconds=case.job_seconds
    )


def _bound(case: Case, n_people: int, n_requests: int) -> float:
    return shortest(n_requests, case.windows, case.seconds, case.connections)


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def send(case: Case, n: int) -> tuple[int, float, float, int, int, float]:
    """(writing requests, seconds, the least that the vendor would take, requests, refused, GiB) of `n` updates through
    the destination's own sending, without the engine."""
    _use(case)
    clock = VirtualClock()
    vendor = _vendor(case, clock)
    destination = _destination(case, clock, vendor, n)
    size = destination.batch_size("update")
    fields = [f"mw_{column}" for column in vendors.COLUMNS]

    def batch(position: int) -> Iterator[Record]:
        for i in range(position * size, min(n, (position + 1) * size)):
            yield Record(str(i), f"person{i}@shop.test", dict.fromkeys(fields, VALUE))

    def one(position: int) -> int:
        records = list(batch(position))
        outcome = destination.upsert("update", records)
        if outcome.stop is not None:
            raise outcome.stop
        return sum(outcome.of(r.key).kind in {"confirmed", "accepted"} for r in records)

    n_batches = -(-n // size)
    with pool_on(clock)(destination.concurrency) as pool:
        taken = sum(pool.map(one, range(n_batches)))
    if not taken == vendor.people == n:
        sys.exit(f"{case.kind}: {n} people were sent, {taken} were taken, {vendor.people} came")
    return (
        n_batches, vendor.last_write, _bound(case, n, n_batches), vendor.requests, vendor.refused, _peak()
    )  # fmt: skip


def sync(case: Case, n: int) -> tuple[int, float, float, int, int, float]:
    """The same of the whole engine: plan, waves, ledger, jobs to their end."""
    _use(case)
    clock = VirtualClock()
    vendor = _vendor(case, clock)
    destination = _destination(case, clock, vendor, n)
    with tempfile.TemporaryDirectory() as folder:
        settings = installation(folder, case.kind, n, destination.key)
        change(settings, 1)
        sending.ThreadPoolExecutor = pool_on(clock)  # pyright: ignore[reportAttributeAccessIssue]
        report = runner.sync(settings, SYNC, gate=lambda *_: None, destination=destination)
    if not report.updated == vendor.people == n:
        sys.exit(f"{case.kind}: {n} people changed, {report.updated} were updated, {vendor.people} came")
    n_batches = -(-n // destination.batch_size("update"))
    took = clock.time()
    return n_batches, took, _bound(case, n, n_batches), vendor.requests, vendor.refused, _peak()


def _name(case: Case) -> str:
    used = int(limits_of(case.kind)["connections_used"].value) if case.used is None else case.used
    return f"{case.kind}, {used} connections"


def _line(case: Case, n: int, found: tuple[int, float, float, int, int, float]) -> str:
    writes, took, least, requests, refused, gib = found
    return (
        f"| {_name(case)} | {n:,} | {writes:,} | {requests:,} | {took:,.0f} | {least:,.0f} | {least / took:.0%} "
        f"| {refused / requests:.1%} | {gib:.1f} |"
    )


def measure(most: int) -> list[str]:
    """Lines of Markdown."""
    from benchmarks.reverse_etl import apart

    head = (
        "| vendor | people | writes | requests | seconds | least by its limits | share, goal 95 % "
        "| throttled, goal 1 % | GiB |"
    )
    lines = [
        "A **simulation on a virtual clock**: the connectors, with their own pace and connections, against models of",
        "the vendors' windows and connections (`limits.yml`; counted from full seconds and minutes, as twins do).",
        "No vendor was measured. Assumed is that a request takes "
        + ", ".join(f"{c.seconds:g} s at {c.kind}" for c in CASES if c.used is None)
        + f", and a job {max(c.job_seconds for c in CASES):g} s.",
        "*Least*: the same writing requests, each at the first instant that the vendor's windows and connections let",
        "it, however many connections we use. The ledger's own time is not in it.",
        "",
        "Sending alone, up to the last answer (jobs are not waited for):",
        "",
        head,
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for n in sorted({min(THROUGH_THE_ENGINE, most), most}):
        for case in CASES:
            found = apart(send, case, n)
            print(case.kind, n, found, file=sys.stderr)
            lines.append(_line(case, n, found))
    n = min(THROUGH_THE_ENGINE, most)
    lines += [
        "",
        "The whole engine: plan, waves, ledger, and jobs to their end.",
        "",
        head,
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for case in CASES:
        found = apart(sync, case, n)
        print(case.kind, n, found, file=sys.stderr)
        lines.append(_line(case, n, found))
    return lines

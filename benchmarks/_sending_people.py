"""How fast people are sent, as far as the vendors' limits let them: a simulation on a virtual clock."""

from __future__ import annotations

import resource
import sys
import tempfile
from dataclasses import dataclass, replace
from typing import Any

from benchmarks import _virtual_vendors as vendors
from benchmarks._reverse_etl_tables import SYNC, AllThere, change, installation
from benchmarks._virtual_time import VirtualClock, pool_on, wait_on
from benchmarks._virtual_vendors import ANSWERS, Rule, VirtualVendor, shortest
from reverse_etl import runner, sending
from reverse_etl.destination import Record
from reverse_etl.destinations.hubspot import HubSpot
from reverse_etl.destinations.klaviyo import Klaviyo
from reverse_etl.destinations.mailchimp import Mailchimp
from reverse_etl.destinations.sendgrid import SendGrid
from reverse_etl.limits import keep_to, limits_of
from warehouse.settings import Settings

PEOPLE = 1_000_000
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
    kept: tuple[tuple[str, int], ...] = ()
    """Limits that we keep to, if other than by default."""
    most: int = PEOPLE
    """People."""


_MAILCHIMP = Case(
    "mailchimp", Mailchimp, ("key-us0", "bench"), (), r"POST .*", (),
    connections=10, seconds=2.5, kept=(("connections_used", 10),),
)  # fmt: skip
_BULK, _EACH, _HUBSPOT = ((10, 1), (150, 60)), ((75, 1), (750, 60)), ((10, 1), (100, 10))
_KLAVIYO = Case(
    "klaviyo", Klaviyo, ("key", "Bench1"), _BULK, r"POST .*/profile-bulk-import-jobs",
    (Rule(r"POST .*/profile-bulk-import-jobs", _BULK), Rule(r"GET .*/profile-bulk-import-jobs", _BULK),
     Rule(r"GET .*/profile-bulk-import-jobs/[^/]+", _BULK), Rule(r"GET .*/import-errors", _BULK),
     Rule(r".*", _EACH)),
    connections=None, seconds=1.0, job_seconds=8.0,
)  # fmt: skip
_SENDGRID = Case(
    "sendgrid", SendGrid, ("key", "bench"), ((200, 60),), r"PUT .*",
    (Rule(r"PUT .*", ((200, 60),)), Rule(r".*", ((600, 60),))),
    connections=None, seconds=1.0, job_seconds=8.0,
)  # fmt: skip
_WORDS = {
    "connections_used": "connections", "records_per_import": "to a batch", "records_per_batch": "to a batch",
}  # fmt: skip
CASES = (
    replace(_MAILCHIMP, kept=(), most=PEOPLE // 10),
    _MAILCHIMP,
    _KLAVIYO,
    replace(_KLAVIYO, kept=(("records_per_import", 100),), most=PEOPLE // 10),
    _SENDGRID,
    replace(_SENDGRID, kept=(("records_per_batch", 50),), most=PEOPLE // 10),
    Case(
        "hubspot", HubSpot, ("token", "1", "bench"), _HUBSPOT, r"POST .*", (Rule(r"POST .*", _HUBSPOT),),
        connections=None, seconds=1.0,
    ),
)  # fmt: skip


def _use(case: Case) -> None:
    """For this process alone."""
    keep_to(case.kind, dict(case.kept))


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


def _bound(case: Case, destination: Any, vendor: VirtualVendor, n: int) -> float:
    """The least that the vendor's limits allow, of records and of bytes too, for what it was sent."""
    most_bytes, _ = destination.most_bytes("update")
    n_requests = -(-n // destination.batch_size("update"))
    if most_bytes is not None:
        n_requests = max(n_requests, -(-vendor.written // most_bytes))
    return shortest(n_requests, case.windows, case.seconds, case.connections)


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


@dataclass(frozen=True)
class Found:
    """How it went."""

    writes: int
    took: float
    least: float
    """Seconds that the vendor would take at least."""
    requests: int
    refused: int
    gib: float


def send(case: Case, n: int) -> Found:
    """`n` updates through the destination's own sending, without the engine."""
    _use(case)
    clock = VirtualClock()
    vendor = _vendor(case, clock)
    destination = _destination(case, clock, vendor, n)
    fields = [f"mw_{column}" for column in vendors.COLUMNS]

    def record(i: int) -> Record:
        return Record(str(i), f"person{i}@shop.test", dict.fromkeys(fields, VALUE))

    size = destination.batch_size("update")
    most_bytes, _ = destination.most_bytes("update")
    if most_bytes is not None:
        size = min(size, most_bytes // destination.bytes_of("update", record(n)))

    def one(position: int) -> int:
        records = [record(i) for i in range(position * size, min(n, (position + 1) * size))]
        outcome = destination.upsert("update", records)
        if outcome.stop is not None:
            raise outcome.stop
        return sum(outcome.of(r.key).kind in {"confirmed", "accepted"} for r in records)

    with pool_on(clock)(destination.concurrency) as pool:
        taken = sum(pool.map(one, range(-(-n // size))))
    if not taken == vendor.people == n:
        sys.exit(f"{case.kind}: {n} people were sent, {taken} were taken, {vendor.people} came")
    least = _bound(case, destination, vendor, n)
    return Found(vendor.writes, vendor.last_write, least, vendor.requests, vendor.refused, _peak())


def prepare(case: Case, n: int, folder: str) -> Settings:
    """Tables of so many people, of whom everybody has changed."""
    clock = VirtualClock()
    settings = installation(folder, case.kind, n, _destination(case, clock, _vendor(case, clock), n).key)
    change(settings, 1)
    return settings


def sync(case: Case, n: int, settings: Settings) -> Found:
    """The same of the whole engine: plan, waves, ledger, jobs to their end. Nobody can know that before the last job
    has ended and was asked about."""
    _use(case)
    clock = VirtualClock()
    vendor = _vendor(case, clock)
    destination = _destination(case, clock, vendor, n)
    sending.ThreadPoolExecutor = pool_on(clock)  # pyright: ignore[reportAttributeAccessIssue]
    sending.wait = wait_on(clock)  # pyright: ignore[reportAttributeAccessIssue]
    report = runner.sync(settings, SYNC, gate=lambda *_: None, destination=destination)
    if not report.updated == vendor.people == n:
        sys.exit(f"{case.kind}: {n} people changed, {report.updated} were updated, {vendor.people} came")
    least = _bound(case, destination, vendor, n) + (case.job_seconds + case.seconds if case.job_seconds else 0)
    return Found(vendor.writes, clock.time(), least, vendor.requests, vendor.refused, _peak())


def _name(case: Case) -> str:
    declared = {name: int(one.value) for name, one in limits_of(case.kind).items()}
    kept = {"connections_used": declared["connections_used"], **dict(case.kept)}
    return ", ".join([case.kind, *(f"{value:,} {_WORDS[name]}" for name, value in kept.items())])


def _line(case: Case, n: int, found: Found) -> str:
    return (
        f"| {_name(case)} | {n:,} | {found.writes:,} | {found.requests:,} | {found.took:,.0f} | {found.least:,.0f} "
        f"| {found.least / found.took:.0%} | {found.refused / found.requests:.1%} | {found.gib:.1f} |"
    )


def measure(most: int) -> list[str]:
    """Lines of Markdown."""
    from benchmarks.reverse_etl import apart

    head = [
        "| vendor | people | writes | requests | seconds | least by its limits | share, goal 95 % "
        "| throttled, goal 1 % | GiB |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    lines = [
        "A **simulation on a virtual clock**: the connectors, with their own pace and connections, against models of",
        "the vendors' windows and connections (`limits.yml`; counted from full seconds and minutes, as twins do).",
        "No vendor was measured. Assumed is that a request takes "
        + ", ".join(f"{seconds:g} s at {kind}" for kind, seconds in {c.kind: c.seconds for c in CASES}.items())
        + f", and a job {max(c.job_seconds for c in CASES):g} s.",
        "*Least*: as few writing requests as the vendor's limits of records and bytes let it be, each at the first",
        "instant that its windows and connections let it, however many connections we use; with the whole engine,",
        "a job and one look at it more. The ledger's own time is not in it. In smaller batches fewer people stand for",
        "more: 100,000 in batches of 100 fill as many of Klaviyo's windows as 10M in batches of 10,000 would.",
    ]
    sizes = sorted({min(most // 10, PEOPLE // 10), min(most, PEOPLE)})
    cases = [(case, n) for n in sizes for case in CASES if n <= case.most]
    lines += ["", "Sending alone, up to the last answer (jobs are not waited for):", "", *head]
    for case, n in cases:
        lines.append(_line(case, n, apart(send, case, n)))
        print(lines[-1], file=sys.stderr)
    lines += ["", "The whole engine: plan, waves, ledger, and jobs to their end.", "", *head]
    for case, n in cases:
        with tempfile.TemporaryDirectory() as folder:
            lines.append(_line(case, n, apart(sync, case, n, apart(prepare, case, n, folder))))
        print(lines[-1], file=sys.stderr)
    return lines

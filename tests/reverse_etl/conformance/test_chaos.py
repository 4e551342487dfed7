"""Many people to each twin, and every fifth answer is faulty, in all the kinds that the vendor really gives: all are
confirmed or rejected with a reason, nothing is lost, and the requests are as many as the docs say.

`make chaos` does it with 100,000 people at each vendor.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import cycle
from math import ceil
from pathlib import Path
from typing import Any

import pytest

from reverse_etl import lease as leases
from sandbox.twins.faults import Fault
from tests.reverse_etl.conformance.capabilities import VENDORS
from tests.reverse_etl.conformance.conftest import from_template
from tests.reverse_etl.conformance.port import Port
from tests.reverse_etl.conformance.vendors import PORTS
from warehouse.connection import connect
from warehouse.errors import MailwrightError

# read here: a test itself does not see MAILWRIGHT_* variables
PEOPLE = int(os.environ.get("MAILWRIGHT_CHAOS", "1500"))
ONE_IN = 5
WRONG_EVERY = 500
MOST_RUNS = 10


class Storm:
    """Every fifth answer is faulty."""

    def __init__(self, port: Port) -> None:
        kinds: list[Any] = [*port.can().throttles, "500", "close_before", "close_after"]
        self._kinds = cycle(kinds)
        self._throttles = port.can().throttles
        self.requests = self.faulty = self.unanswered_subscriptions = 0

    def next(self, _: str, path: str) -> Fault | None:
        self.requests += 1
        if self.requests % ONE_IN:
            return None
        self.faulty += 1
        kind = next(self._kinds)
        self.unanswered_subscriptions += "subscription-bulk-create" in path and kind not in self._throttles
        return Fault(kind)


@dataclass(frozen=True)
class Step:
    """People of a job of Klaviyo's, and of the imports behind it, who were accepted at once."""

    kind: str
    """import or subscribe"""
    people: int
    imported: int
    are_unaddressed: bool
    """A run broke off, and the next one has to read their addresses: no plan has seen them since."""
    ended_at: datetime


@dataclass(frozen=True)
class Done:
    """What the formulas are about: how many people each plan read, batches that were sent (and of the segments' those
    that were taken), of those the unanswered creations (which are not repeated, but looked up), records that were
    refused, jobs, runs that broke off, and subscriptions asked for without an answer."""

    read: tuple[int, ...]
    batches: Mapping[str, int]
    taken: int
    unanswered: int
    refused: int
    jobs: int
    broken_off: int
    unanswered_subscriptions: int
    steps: tuple[Step, ...]


def _mailchimp(done: Done) -> int:
    """docs/syncs.md: one field and one segment are created."""
    reads = sum(2 + 1 + max(1, ceil(m / 1000)) + 1 + 1 for m in done.read)
    return reads + sum(done.batches.values()) + 2 - done.unanswered


def _sendgrid(done: Done) -> int:
    """docs/sendgrid.md: all plans export; a refusal names all wrong records at once; two looks at a job here."""
    reads = len(done.read) * (2 + 1 + 1 + 4 + 3)
    return reads + sum(done.batches.values()) + 1 + 2 * done.jobs + 2


def _hubspot(done: Done) -> int:
    """docs/hubspot.md: a field takes three requests the first time (its group is looked for and made), a list one."""
    reads = sum(2 + max(1, 2 * ceil(m / 100)) + 1 + 1 for m in done.read)
    return reads + 5 * done.batches.get("create", 0) + done.batches.get("update", 0) + done.batches["add"] + 3 + 1


def _klaviyo(done: Done) -> int:
    """docs/klaviyo.md: refused imports go out again without the one at fault; no more lists than a page has."""
    reads = sum(2 + max(1, ceil(m / 100)) for m in done.read)
    imports = [step for step in done.steps if step.kind == "import"]
    looks = 1 + done.broken_off + len({step.ended_at for step in imports})
    asked = sum(ceil(step.people / 100) + ceil(step.people / 1000) for step in imports)
    seen = sum(ceil(step.people / 100) for step in done.steps if step.kind == "subscribe")
    addresses = sum(ceil(step.imported / 100) for step in done.steps if step.are_unaddressed)
    in_vain = done.broken_off + done.unanswered_subscriptions * 10  # the key; up to 1,000 people each
    writes = done.batches["create"] + done.refused + done.taken + 1
    return reads + looks + asked + seen + addresses + in_vain + writes


FORMULAS: Mapping[str, Callable[[Done], int]] = {
    "mailchimp": _mailchimp,
    "klaviyo": _klaviyo,
    "sendgrid": _sendgrid,
    "hubspot": _hubspot,
}
"""Of the answers that are not faulty."""


STEPS = """
    with attempts as (
        select *, split_part(remote_job, ':', 1) as step, split_part(remote_job, ':', 2) as imports,
            lead(sync_run_id) over later as next_run, lead(outcome_at) over later as ended_at
        from ledger.sync_attempts
        window later as (partition by object, record_key order by attempt_number)
    ),
    taken_over as (
        select a.*, a.next_run <> a.sync_run_id and r.status <> 'incomplete' as is_broken_off
        from attempts as a inner join ledger.sync_runs as r on a.sync_run_id = r.sync_run_id
    ),
    imported as (
        select imports, count(*) as n, bool_or(is_broken_off) as is_broken_off
        from taken_over where outcome = 'accepted' and step = 'import' group by imports
    )
    select a.step, count(*), any_value(i.n), bool_or(a.is_broken_off or i.is_broken_off), max(a.ended_at)
    from taken_over as a inner join imported as i on a.imports = i.imports
    where a.outcome = 'accepted'
    group by a.step, a.remote_job, a.outcome_at"""
"""Of the jobs of creations; what came next of a record is how its step ended."""


@contextmanager
def _storm(port: Port) -> Iterator[Storm]:
    storm = Storm(port)
    port.twin.faults.next = storm.next
    yield storm
    port.twin.faults.__dict__.pop("next")


def _desire(port: Port) -> None:
    """Everybody is new and in one segment; every five hundredth address is wrong."""
    with connect(port.settings, purpose="test") as con:
        con.execute(
            f"""create or replace temp table people as
                select 'C' || n % 7 as city,
                    case when n % {WRONG_EVERY} = 0 then 'no address ' || n else 'p' || n || '@shop.test' end as email
                from range({PEOPLE}) as r(n)"""
        )
        for columns, table in (
            ("email, city, 'subscribe' as consent_verdict, timestamp '2011-12-10' as as_of", "members"),
            ("email, 'vip' as segment_name, 'subscribe' as consent_verdict", "segment_members"),
        ):
            con.execute(
                f"""insert into "{port.settings.schema}".sync_esp__{table} by name
                    select {columns}, md5(lower(email)) as subscriber_hash, md5(email) as profile_id from people"""
            )


def _until_done(port: Port) -> int:
    """Runs until one has nothing left to do; how many."""
    for number in range(1, MOST_RUNS + 1):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(leases, "_is_alive", lambda *_: False)
            try:
                if port.sync().is_complete:
                    return number
            except MailwrightError:
                continue
    raise AssertionError(f"{MOST_RUNS} runs were not enough")


def _done(port: Port, storm: Storm) -> Done:
    batches = dict(
        port.rows(
            "select operation, count(distinct batch_id) from ledger.sync_attempts where outcome = 'sent' group by 1"
        )
    )
    unanswered = port.rows(
        """select count(distinct batch_id) from ledger.sync_attempts
           where outcome = 'in_doubt' and operation = 'create'"""
    )
    taken = port.rows(
        "select count(distinct batch_id) from ledger.sync_attempts where outcome = 'confirmed' and operation = 'add'"
    )
    refused = port.rows("select count(*) from ledger.sync_attempts where rejected_class = 'data'")
    jobs = port.rows("select count(distinct remote_job) from ledger.sync_attempts where remote_job is not null")
    broken_off = port.rows("select count(*) from ledger.sync_runs where status not in ('succeeded', 'incomplete')")
    read = port.rows("select n_members from ledger.remote_pulls order by pulled_at")
    return Done(
        tuple(row[0] for row in read),
        batches,
        taken[0][0],
        unanswered[0][0],
        refused[0][0],
        jobs[0][0],
        broken_off[0][0],
        storm.unanswered_subscriptions,
        tuple(Step(*row) for row in port.rows(STEPS)),
    )


@pytest.mark.timeout(7200)
@pytest.mark.parametrize("vendor", VENDORS)
def test_nothing_is_lost(vendor: str, template: Path, tmp_path: Path) -> None:
    port = PORTS[vendor].make(from_template(template, tmp_path / "home"))
    port.declare()
    wrong = ceil(PEOPLE / WRONG_EVERY)
    with port.twin.in_process(), connect(port.settings, purpose="test"):
        port.desire()
        _desire(port)
        with _storm(port) as storm:
            runs = _until_done(port)
        states = dict(port.rows("select state, count(*) from ledger.sync_state where object = 'member' group by state"))
        assert states == {"confirmed": PEOPLE - wrong, "rejected": wrong}
        reasons = port.rows("select rejected_class, message from ledger.sync_state where state = 'rejected'")
        assert {row[0] for row in reasons} == {"data"}
        assert all(row[1] for row in reasons)
        assert len(port.inside("mw:vip")) == PEOPLE - wrong
        print(f"{vendor}: {PEOPLE} people, {runs} runs, {storm.requests} requests, {storm.faulty} faulty answers")
        if vendor in FORMULAS:
            expected = FORMULAS[vendor](_done(port, storm)) + storm.faulty  # each faulty answer is one request more
            print(f"    the docs' formula: {expected}")
            assert storm.requests == pytest.approx(expected, rel=0.05)
        port.settled()

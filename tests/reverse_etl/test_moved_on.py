"""What moves on while a job runs, or between two plans of one run: nobody is lost, raised or sent what none saw."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from reverse_etl import lease as leases
from reverse_etl import runner, sending
from reverse_etl.context import stopping
from reverse_etl.destination import CONFIRMED, BatchOutcome, Jobs, Operation, Outcome, Record
from reverse_etl.destinations.sendgrid import SendGrid
from reverse_etl.errors import DestinationConfigError, GuardTripped, Stopped
from reverse_etl.repair import skip
from tests.reverse_etl.folds import check_folds
from tests.reverse_etl.klaviyo_world import KlaviyoWorld
from tests.reverse_etl.sendgrid_world import SendGridWorld
from tests.reverse_etl.world import Person, World, hash_of, small_declaration
from warehouse.clock import utcnow
from warehouse.connection import connect
from warehouse.errors import RefusedError

A = {"city": "A"}
P0, P1 = Person("p0@shop.test", columns=A), Person("p1@shop.test", columns=A)
NEVER = 10_000
"""Looks at a job that does not end."""


@pytest.fixture
def slow(sendgrid: SendGridWorld, monkeypatch: pytest.MonkeyPatch) -> SendGridWorld:
    """Jobs go on until a test ends them, and a run soon stops waiting."""
    monkeypatch.setattr(SendGrid, "jobs", Jobs(most_open=4, pause=5, patience=15))
    sendgrid.twin.store.job_looks = NEVER
    return sendgrid


def _end_jobs(world: SendGridWorld) -> None:
    world.twin.store.job_looks = 1
    world.twin.store._rows("update jobs set looks_left = 0")


def _states(world: World, *columns: str) -> list[tuple[Any, ...]]:
    names = ", ".join(columns)
    return world.rows(f"select {names} from ledger.sync_state where object = 'member' order by record_key")


def test_who_was_lowered_meanwhile_is_not_accepted_again(slow: SendGridWorld) -> None:
    for person in (P0, P1):
        slow.twin.put(person.email)
    slow.desire(P0, P1)
    slow.sync()
    slow.desire(Person(P0.email, "unsubscribe", columns=A), P1)
    assert slow.sync().lowered == 1
    _end_jobs(slow)
    slow.sync()
    check_folds(slow.rows)
    assert ("confirmed", "lowered") in _states(slow, "state", "confirmed_hash")
    slow.desire(P1)  # she is gone from the model: her fields are emptied
    assert slow.sync().cleared == 1
    assert slow.sync().is_complete


def test_an_old_end_does_not_undo_a_newer_one(slow: SendGridWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one job p0 is decided first; she moves on; when p1's end comes, p0 stays as she is."""
    slow.desire(P0, P1)
    real, is_first = SendGrid.poll, [True]

    def poll(self: SendGrid, job: str, operation: Operation, records: list[Record]) -> BatchOutcome | None:
        if operation != "create" or not is_first[0]:
            return real(self, job, operation, records)
        real(self, job, operation, records)
        known = {record.key: CONFIRMED for record in records if record.key == hash_of(P0.email)}
        return BatchOutcome(Outcome("accepted"), known, job=job) if known else None

    monkeypatch.setattr(SendGrid, "poll", poll)
    slow.twin.store.job_looks = 1
    slow.sync()
    slow.desire(Person(P0.email, columns={"city": "B"}), P1)
    assert slow.sync().updated == 1
    is_first[0] = False
    slow.desire(P0, P1)
    report = slow.sync()
    assert (report.updated, report.is_complete) == (1, True)
    assert slow.twin.fields_of(P0.email)["mw_city"] == "A"
    assert slow.sync().writes == 0
    check_folds(slow.rows)


def test_one_error_does_not_lose_what_others_answered(slow: SendGridWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    for person in (P0, P1):
        slow.twin.put(person.email)
    slow.desire(P0, P1)
    monkeypatch.setattr(SendGrid, "batch_size", lambda *_: 1)
    answers: list[BatchOutcome] = [BatchOutcome(CONFIRMED)]

    def poll(*_: object) -> BatchOutcome:
        if not answers:
            raise DestinationConfigError("The key was revoked.")
        return answers.pop()

    monkeypatch.setattr(SendGrid, "poll", poll)
    with pytest.raises(DestinationConfigError):
        slow.sync()
    assert sorted(_states(slow, "state")) == [("accepted",), ("confirmed",)]


def test_an_answer_is_written_before_others_are_waited_for(
    slow: SendGridWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow.twin.put(P0.email)
    slow.desire(P0, P1)  # p1's creation is a job that goes on; p0's update is answered at once
    real = SendGrid.upsert

    def upsert(self: SendGrid, operation: Operation, records: list[Record]) -> BatchOutcome:
        outcome = real(self, operation, records)
        if operation != "update":
            return outcome
        stopping._asked.set()
        return BatchOutcome(CONFIRMED)

    monkeypatch.setattr(SendGrid, "upsert", upsert)
    with pytest.raises(Stopped):
        slow.sync()
    assert sorted(_states(slow, "state", "is_doubtful")) == [("accepted", True), ("confirmed", False)]


def test_a_run_that_waits_in_vain_is_incomplete_each_time(slow: SendGridWorld) -> None:
    slow.desire(P0)
    for _ in range(2):
        report = slow.sync()
        assert (report.waiting, report.is_complete) == (1, False)
    assert slow.rows("select distinct status from ledger.sync_runs") == [("incomplete",)]


def test_a_newer_look_outweighs_an_older_job(slow: SendGridWorld) -> None:
    """She unsubscribed after her creation and before we learnt of its end; a plan saw it."""
    slow.desire(Person(P0.email, columns=A, segments=("vip",)), P1)
    slow.sync()
    _end_jobs(slow)
    target = slow.destination()
    for job in slow.twin.store.jobs():
        target._api.send("GET", f"/marketing/contacts/imports/{job.id}")
    target.close()
    slow.twin.store.suppress("unsubscribes", P0.email, created=int(utcnow().timestamp()) - 5)
    slow.plan()
    with connect(slow.settings) as con:  # another change was pulled since: the next look does not show her again
        con.execute("update ledger.remote_pulls set newest_change_at = newest_change_at + interval 2 hour")
    slow.sync()
    assert slow.rows("select status from ledger.remote_members where subscriber_hash = ?", hash_of(P0.email)) == [
        ("unsubscribed",)
    ]
    assert slow.twin.inside("mw:vip") == set()


def test_a_creation_that_is_still_open_is_not_closed(slow: SendGridWorld) -> None:
    """Her row vanishes while she is being created: when she turns out to be there, her fields are emptied."""
    slow.twin.put(P1.email)
    slow.desire(P0, P1)
    slow.sync()
    slow.desire(P1)
    report = slow.sync()
    assert (report.retired, report.is_complete) == (0, False)
    _end_jobs(slow)
    target = slow.destination()
    for job in slow.twin.store.jobs():
        target._api.send("GET", f"/marketing/contacts/imports/{job.id}")
    target.close()
    with connect(slow.settings) as con:
        con.execute("delete from ledger.remote_pulls")
    assert slow.sync().cleared == 1
    assert slow.twin.fields_of(P0.email) == {}
    check_folds(slow.rows)


def test_a_creation_that_never_was_is_closed_in_the_end_and_may_come_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_declaration(world.settings, segments=None)
    world.sync_name = "small"
    monkeypatch.setattr(leases, "_is_alive", lambda *_: False)

    class Killed(BaseException):
        pass

    def kill(name: str) -> None:
        if name == "sync.before_send":
            raise Killed

    finish = runner._finish
    world.desire(P0, P1)
    with monkeypatch.context() as patch:
        patch.setattr(sending, "failpoint", kill)
        patch.setattr(runner, "_finish", lambda *args: None if args[3] == "Killed" else finish(*args))
        with pytest.raises(Killed):
            world.sync()
    world.desire(P1)
    assert world.sync().retired == 0
    with connect(world.settings) as con:
        con.execute("update ledger.sync_state set updated_at = updated_at - ?", [timedelta(days=2)])
    assert world.sync().retired == 1
    world.desire(P0, P1)
    report = world.sync()
    assert (report.created, dict(report.blocked)) == (1, {})


def test_guards_hold_for_every_plan_of_a_run(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    small_declaration(world.settings)
    world.sync_name = "small"
    emails = [f"q{n}@shop.test" for n in range(60)]
    world.desire(*(Person(email, columns=A) for email in emails))
    world.sync()
    create = runner._create_what_is_missing

    def run_while_the_model_becomes(*people: Person) -> None:
        world.desire(*(Person(email, segments=("vip",), columns=A) for email in emails))
        made = world.plan()

        def rebuilt(job: Any, plan: Any) -> None:
            create(job, plan)
            world.desire(*people)

        monkeypatch.setattr(runner, "_create_what_is_missing", rebuilt)
        world.sync(plan=made)

    with pytest.raises(GuardTripped, match="empty_source"):
        run_while_the_model_becomes()
    assert all(world.twin.member(email).merge_fields["MW_CITY"] == "A" for email in emails)  # pyright: ignore[reportOptionalMemberAccess]
    world.twin.store._rows("delete from segments")
    with pytest.raises(RefusedError, match="data moved"):
        run_while_the_model_becomes(*(Person(email, segments=("vip",), columns={"city": "B"}) for email in emails))
    assert world.twin.inside("mw:vip") == set()


def test_who_leaves_elsewhere_between_plan_and_sending_is_not_created(world: World) -> None:
    small_declaration(world.settings, addresses="sync_esp__addresses")
    world.sync_name = "small"
    world.desire(P0)

    def leaves(what: str, done: int, _: int) -> None:
        if what == "send" and done == 0:
            with connect(world.settings) as con:
                con.execute(
                    "insert into ledger.remote_suppressions values ('x', 'klaviyo/L', ?, ?, 'unsubscribe', ?, ?)",
                    [hash_of(P0.email), P0.email, utcnow(), utcnow()],
                )

    assert world.sync(on_progress=leaves).created == 0
    assert world.twin.status(P0.email) is None


def test_a_status_that_is_not_understood_holds_no_withdrawal_back(klaviyo_world: KlaviyoWorld) -> None:
    klaviyo_world.twin.put(P0.email, "SOMETHING_NEW")
    klaviyo_world.desire(Person(P0.email, "unsubscribe"))
    assert klaviyo_world.sync().lowered == 1
    assert klaviyo_world.twin.consent(P0.email) == "UNSUBSCRIBED"


def test_an_exit_cannot_be_skipped(world: World) -> None:
    small_declaration(world.settings)
    world.sync_name = "small"
    inside = Person(P1.email, segments=("vip",))
    world.desire(Person(P0.email, segments=("vip",)), inside)
    world.sync()
    world.desire(Person(P0.email), inside)
    target = world.destination()
    silent = BatchOutcome(Outcome("in_doubt", None, "No answer."))
    target.set_membership = lambda *_: silent  # pyright: ignore[reportAttributeAccessIssue]
    world.sync(destination=target)
    assert skip(world.settings, "small", "why", people=[hash_of(P0.email)]) == 0
    assert world.sync().leaving == 1
    assert world.twin.inside("mw:vip") == {hash_of(P1.email)}


def test_a_plan_that_was_looked_at_creates_nobody_else(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The model becomes another while fields and segments are created: as many people as before, and others."""
    small_declaration(world.settings)
    world.sync_name = "small"
    world.desire(Person("ann@shop.test", segments=("vip",), columns=A), Person("bob@shop.test", columns=A))
    made = world.plan()
    create = runner._create_what_is_missing

    def rebuilt(job: Any, plan: Any) -> None:
        create(job, plan)
        world.desire(*people)

    monkeypatch.setattr(runner, "_create_what_is_missing", rebuilt)
    same = [Person("ann@shop.test", segments=("vip",), columns=A)]
    for people in ([Person("eve@shop.test", segments=("vip",), columns=A)], same):
        people.append(Person("bob@shop.test", columns={"city": "seen by nobody"} if people is same else A))
        with pytest.raises(RefusedError, match="data moved"):
            world.sync(plan=made)
        assert world.twin.member("bob@shop.test") is None
        world.desire(Person("ann@shop.test", segments=("vip",), columns=A), Person("bob@shop.test", columns=A))
        world.twin.store._rows("delete from segments")
        made = world.plan()
    people = [Person("ann@shop.test", segments=("vip",), columns=A), Person("bob@shop.test", columns=A)]
    assert world.sync(plan=made).created == 2

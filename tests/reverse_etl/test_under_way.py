"""What is under way at once: waves that follow each other, and jobs that are looked at together."""

from __future__ import annotations

import concurrent.futures
import threading
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, cast

import pytest

from reverse_etl import lease as leases
from reverse_etl import runner, sending
from reverse_etl.context import new_context, stopping
from reverse_etl.destination import BatchOutcome, Jobs, Operation, Outcome, Record
from reverse_etl.destinations.klaviyo import Klaviyo
from reverse_etl.destinations.mailchimp import Mailchimp
from reverse_etl.destinations.sendgrid import SendGrid
from reverse_etl.diff import Scope
from reverse_etl.errors import DestinationConfigError, DestinationDown, NoAnswer, RejectedClass, Stopped
from tests.reverse_etl.folds import check_folds
from tests.reverse_etl.klaviyo_world import KlaviyoWorld, klaviyo_declaration
from tests.reverse_etl.sendgrid_world import SendGridWorld, declare
from tests.reverse_etl.world import Person, World, small_declaration
from warehouse.errors import DataError, MailwrightError

PATIENCE = 30.0
"""Seconds after which a test gives up on what never comes."""
SIX = [Person(f"p{n}@shop.test", "subscribe", (), {"city": "A"}) for n in range(6)]


@pytest.fixture
def small_waves(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch is one person, and a wave one batch."""
    monkeypatch.setattr(sending, "BATCHES_PER_WAVE", 1)
    monkeypatch.setattr(sending, "PEOPLE_PER_WAVE", 0)
    monkeypatch.setattr(Mailchimp, "batch_size", lambda *_: 1)


@pytest.mark.usefixtures("small_waves")
def test_a_wave_follows_the_one_under_way(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second one is not answered before the third has come: with a barrier between them neither would go on."""
    small_declaration(world.settings, segments=None)
    world.sync_name = "small"
    world.desire(*SIX)
    send, third, in_time, number = Mailchimp.upsert, threading.Event(), list[bool](), [0]

    def upsert(self: Mailchimp, operation: Operation, records: Sequence[Record]) -> BatchOutcome:
        number[0] += 1
        if number[0] == 2:
            in_time.append(third.wait(PATIENCE))
        elif number[0] == 3:
            third.set()
        return send(self, operation, records)

    monkeypatch.setattr(Mailchimp, "upsert", upsert)
    assert world.sync().is_complete
    assert in_time == [True]
    check_folds(world.rows)


@pytest.mark.usefixtures("small_waves")
@pytest.mark.parametrize(("fails", "sent"), [(1, 1), (2, 3)])
def test_what_is_under_way_is_written_down_when_another_wave_ends_the_run(
    world: World, monkeypatch: pytest.MonkeyPatch, fails: int, sent: int
) -> None:
    """The first wave goes alone: what is wrong with all of them shows there. Later, one more may be under way."""
    small_declaration(world.settings, segments=None)
    world.sync_name = "small"
    world.desire(*SIX)
    send, number, waits, is_waiting = Mailchimp.upsert, [0], [0], threading.Event()

    def wait(*args: Any, **options: Any) -> Any:
        waits[0] += 1
        if waits[0] == fails:
            is_waiting.set()
        return concurrent.futures.wait(*args, **options)

    def upsert(self: Mailchimp, operation: Operation, records: Sequence[Record]) -> BatchOutcome:
        number[0] += 1
        if number[0] != fails:
            return send(self, operation, records)
        is_waiting.wait(PATIENCE)  # the engine has sent whatever it sends before the answer
        return BatchOutcome(Outcome("in_doubt", None, "?"), stop=DestinationConfigError("Enough."))

    monkeypatch.setattr(sending, "wait", wait)
    monkeypatch.setattr(Mailchimp, "upsert", upsert)
    with pytest.raises(DestinationConfigError, match="Enough"):
        world.sync()
    assert number == [sent]
    states = dict(world.rows("select state, count(*) from ledger.sync_state group by all"))
    assert states == {"in_doubt": 1, **({"confirmed": sent - 1} if sent > 1 else {})}
    check_folds(world.rows)


def _changed_jobs(world: SendGridWorld, n: int) -> None:
    small_declaration(
        world.settings, destination="sendgrid", segments=None, fields=[{"column": "city", "field": "city", "name": "C"}]
    )
    world.sync_name = "small"
    people = [Person(f"p{k}@shop.test", "update_only", (), {"city": "A"}) for k in range(n)]
    for person in people:
        world.twin.put(person.email)
    world.desire(*people)


def test_jobs_are_looked_at_at_once(sendgrid: SendGridWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two looks wait for each other: one after the other they would wait for ever."""
    _changed_jobs(sendgrid, 2)
    both, look = threading.Barrier(2, timeout=PATIENCE), SendGrid.poll

    def poll(*args: Any) -> BatchOutcome | None:
        both.wait()
        return look(*args)

    monkeypatch.setattr(SendGrid, "batch_size", lambda *_: 1)
    monkeypatch.setattr(SendGrid, "poll", poll)
    assert sendgrid.sync().is_complete
    check_folds(sendgrid.rows)


@pytest.mark.parametrize(
    "error", [NoAnswer("It did not answer."), DestinationDown("It is down.")], ids=lambda e: e.what
)
def test_a_look_that_fails_loses_nothing_of_the_others(
    sendgrid: SendGridWorld, monkeypatch: pytest.MonkeyPatch, error: MailwrightError
) -> None:
    """Of two jobs that ended, both looked at, one answer is lost: the other one is written down."""
    _changed_jobs(sendgrid, 2)
    both, look = threading.Barrier(2, timeout=PATIENCE), SendGrid.poll
    lost: list[str] = []

    def poll(self: SendGrid, job: str, operation: Operation, records: Sequence[Record]) -> BatchOutcome | None:
        outcome = look(self, job, operation, records)
        if not lost and both.wait() == 0 and outcome is not None:
            lost.append(job)
            raise error
        return outcome

    with monkeypatch.context() as patch:
        patch.setattr(SendGrid, "batch_size", lambda *_: 1)
        patch.setattr(SendGrid, "poll", poll)
        if isinstance(error, NoAnswer):  # it is looked at again
            report = sendgrid.sync()
            assert (report.updated, report.is_complete) == (2, True)
        else:
            with pytest.raises(DestinationDown):
                sendgrid.sync()
            states = sendgrid.rows("select state, count(*) from ledger.sync_state group by state order by state")
            assert states == [("accepted", 1), ("confirmed", 1)]
    assert len(lost) == 1
    report = sendgrid.sync()
    assert (report.is_complete, report.writes) == (True, 0)
    check_folds(sendgrid.rows)


def test_a_destination_that_answers_no_look_is_left_alone(
    sendgrid: SendGridWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    _changed_jobs(sendgrid, 12)
    looks: list[str] = []

    def poll(self: SendGrid, job: str, *_: object) -> BatchOutcome | None:
        looks.append(job)
        raise NoAnswer("It did not answer.")

    with monkeypatch.context() as patch:
        patch.setattr(SendGrid, "batch_size", lambda *_: 1)
        patch.setattr(SendGrid, "concurrency", 3)
        patch.setattr(SendGrid, "poll", poll)
        with pytest.raises(NoAnswer):
            sendgrid.sync()
    assert len(looks) == 2 * 3
    assert sendgrid.sync().is_complete
    assert len(sendgrid.twin.store.jobs()) == 12
    check_folds(sendgrid.rows)


def test_a_job_that_takes_long_is_looked_at_less_often(
    sendgrid: SendGridWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the run shows all the while that it is alive."""
    _changed_jobs(sendgrid, 1)
    sendgrid.twin.store.job_looks = 10_000
    renewed: list[float] = []
    renew = leases.renew

    def noted(*args: Any) -> None:
        renewed.append(sum(sendgrid.naps))
        renew(*args)

    monkeypatch.setattr(SendGrid, "jobs", Jobs(most_open=4, pause=2, patience=600))
    monkeypatch.setattr(leases, "renew", noted)
    report = sendgrid.sync()
    assert report.waiting == 1
    assert sendgrid.naps[0] == 2
    assert 600 <= sum(sendgrid.naps) < 800
    assert len(sendgrid.naps) < 40  # not 300
    assert max(later - earlier for earlier, later in pairwise([*renewed, sum(sendgrid.naps)])) < 300


@pytest.mark.parametrize(("most_open", "most_people", "allowed"), [(4, 1000, 4), (40, 2, 3)])
def test_no_more_is_open_than_wanted(
    sendgrid: SendGridWorld, monkeypatch: pytest.MonkeyPatch, most_open: int, most_people: int, allowed: int
) -> None:
    """Of jobs, and of people in them: there one wave is sent while another one is."""
    _changed_jobs(sendgrid, 12)
    sendgrid.twin.store.job_looks = 3
    most: list[int] = []
    send = SendGrid.upsert

    def upsert(self: SendGrid, operation: Operation, records: Sequence[Record]) -> BatchOutcome:
        outcome = send(self, operation, records)
        most.append(len(sendgrid.twin.store.jobs(only_pending=True)))
        return outcome

    monkeypatch.setattr(SendGrid, "batch_size", lambda *_: 1)
    monkeypatch.setattr(SendGrid, "jobs", Jobs(most_open=most_open, pause=2, patience=600))
    monkeypatch.setattr(sending, "MOST_PEOPLE_OPEN", most_people)
    monkeypatch.setattr(sending, "PEOPLE_PER_WAVE_OF_JOBS", 1)
    monkeypatch.setattr(SendGrid, "upsert", upsert)
    assert sendgrid.sync().is_complete
    assert len(most) == 12
    assert max(most) <= allowed


def test_who_is_created_is_not_sent_where_to_while_her_job_runs(klaviyo_world: KlaviyoWorld) -> None:
    """A membership follows the end of the creation, however much else may be under way."""
    world = klaviyo_world
    klaviyo_declaration(world.settings)
    world.twin.door.worker.polls = 5
    world.desire(*(Person(p.email, p.verdict, ("vip",), p.columns) for p in SIX))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Klaviyo, "batch_size", lambda *_: 1)
        report = world.sync()
    assert (report.created, report.entering, report.is_complete) == (6, 6, True)
    created = world.rows("select max(attempt_number) from ledger.sync_attempts where operation = 'create'")
    added = world.rows("select min(attempt_number) from ledger.sync_attempts where operation = 'add'")
    assert created < added
    check_folds(world.rows)


def test_the_lease_is_renewed_while_answers_are_waited_for(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A vendor that is slow for a quarter of an hour must not let another run take over."""
    small_declaration(world.settings, segments=None)
    world.sync_name = "small"
    world.desire(*SIX)
    send, renew, enough, renewals = Mailchimp.upsert, leases.renew, threading.Event(), [0]

    def upsert(self: Mailchimp, operation: Operation, records: Sequence[Record]) -> BatchOutcome:
        assert enough.wait(PATIENCE)
        return send(self, operation, records)

    def counted(*args: Any) -> None:
        renewals[0] += 1
        if renewals[0] == 9:  # more than a run has of its own
            enough.set()
        renew(*args)

    monkeypatch.setattr(sending, "RENEWED_EVERY", 0.0)
    monkeypatch.setattr(Mailchimp, "upsert", upsert)
    monkeypatch.setattr(sending.leases, "renew", counted)
    assert world.sync().created == 6


def test_a_halt_amid_looks_waits_for_what_is_under_way(sendgrid: SendGridWorld) -> None:
    """What was answered and not written down would count as possibly done: an event of that kind stays in doubt."""
    answered = threading.Event()

    def answer() -> BatchOutcome:
        answered.wait(PATIENCE)
        return BatchOutcome(Outcome("confirmed"))

    declaration = declare(sendgrid.settings)
    ctx = new_context(sendgrid.settings, declaration.name, sendgrid.destination(), None, (), None)
    scope = Scope("plan", "analytics", declaration, ctx.destination.key)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        line = sending._Line(ctx, scope, cast(Any, None), sending.Tally(), pool)
        line._flying.append(sending._Wave([], [], [pool.submit(answer)]))
        line._n_due, line.halt = 1, NoAnswer("A look failed.")
        threading.Timer(0.05, answered.set).start()
        assert line._is_answer_come()


def test_a_run_that_is_asked_to_end_makes_no_further_plan(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the wish is not the next run's."""
    small_declaration(world.settings, segments=None)
    world.sync_name = "small"
    world.desire(*SIX)
    made, make_plan = [0], runner.make_plan

    def counted(*args: Any) -> Any:
        made[0] += 1
        return make_plan(*args)

    def upsert(*_: object) -> BatchOutcome:
        stopping._asked.set()  # the signal itself comes to the main thread, sooner or later
        return BatchOutcome(Outcome("rejected", RejectedClass.RETRYABLE, "Later."))

    with monkeypatch.context() as patch:
        patch.setattr(runner, "_create_what_is_missing", lambda *_: None)
        patch.setattr(runner, "make_plan", counted)
        patch.setattr(Mailchimp, "missing_fields", lambda *_: ())
        patch.setattr(Mailchimp, "upsert", upsert)
        with pytest.raises(Stopped):
            world.sync()
    assert made == [1]
    assert world.sync().is_complete


def test_a_model_that_is_dropped_while_jobs_run(klaviyo_world: KlaviyoWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether somebody withdrew meanwhile cannot be known: nobody is subscribed, and the next run goes on."""
    world = klaviyo_world
    klaviyo_declaration(world.settings)
    world.desire(*SIX)
    members = f'"{world.settings.schema}".sync_esp__members'
    running = Klaviyo.still_running

    def drop(*args: Any) -> Any:
        world.rows(f"alter table if exists {members} rename to elsewhere")
        return running(*args)

    with monkeypatch.context() as patch:
        patch.setattr(Klaviyo, "still_running", drop)
        with pytest.raises(DataError, match="was rebuilt"):
            world.sync()
    assert {world.twin.consent(p.email) for p in SIX} == {"NEVER_SUBSCRIBED"}
    world.rows(f'alter table "{world.settings.schema}".elsewhere rename to sync_esp__members')
    assert world.sync().is_complete
    check_folds(world.rows)

"""Jobs: what was accepted is known when it ended; until then it is neither done nor sent again, whoever was killed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from reverse_etl import lease as leases
from reverse_etl import payload, runner, sending
from reverse_etl.destination import Jobs, Record
from reverse_etl.destinations.sendgrid import SendGrid
from reverse_etl.errors import DestinationDown, RejectedClass
from tests.reverse_etl.folds import check_folds
from tests.reverse_etl.sendgrid_world import SendGridWorld, declare
from tests.reverse_etl.test_sendgrid_sync import PEOPLE, VIP, _settled, with_full_pull
from tests.reverse_etl.world import Person, hash_of

NUMBER = {"column": "rfm_score", "field": "mw_score", "name": "Score", "type": "number", "on_null": "keep"}


class Killed(BaseException):
    """Stands for SIGKILL inside one process: no handler of ours may clean up after it."""


def _sync_until(world: SendGridWorld, name: str, nth: int = 1) -> None:
    """A run that is killed when it passes the failpoint for the nth time."""
    passed = [0]

    def failpoint(here: str) -> None:
        passed[0] += here == name
        if passed[0] == nth:
            raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sending, "failpoint", failpoint)
        patch.setattr(runner, "_finish", lambda *_: None)
        with pytest.raises(Killed):
            world.sync()


@pytest.fixture(autouse=True)
def _dead_holders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "_is_alive", lambda *_: False)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> Jobs:
    """Four looks at a job and no more."""
    jobs = Jobs(most_open=4, pause=5, patience=15)
    monkeypatch.setattr(SendGrid, "jobs", jobs)
    return jobs


def _upserts(world: SendGridWorld) -> list[list[str]]:
    return [
        [contact["email"] for contact in job.payload["contacts"]]
        for job in world.twin.store.jobs()
        if job.kind == "upsert" and not job.payload.get("list_ids")
    ]


@pytest.mark.parametrize("failpoint", ["sync.committed", "sync.polled_uncommitted"])
def test_killed_between_accepted_and_known_nothing_is_sent_again(sendgrid: SendGridWorld, failpoint: str) -> None:
    sendgrid.desire(*PEOPLE)
    sendgrid.twin.store.job_looks = 3
    _sync_until(sendgrid, failpoint)
    assert sendgrid.rows("select distinct state, is_doubtful from ledger.sync_state") == [("accepted", True)]
    assert len(_upserts(sendgrid)) == 1
    report = sendgrid.sync()
    assert report.is_complete
    assert (report.created, report.entering) == (4, 4)
    assert len(_upserts(sendgrid)) == 1
    assert sendgrid.twin.inside("mw:vip") == VIP
    _settled(sendgrid)


def test_killed_when_the_answer_was_not_written_down(sendgrid: SendGridWorld) -> None:
    """A job runs that nobody knows: the next run sends the same once more, and the outcome is one."""
    sendgrid.desire(*PEOPLE)
    _sync_until(sendgrid, "sync.answered_uncommitted")
    report = sendgrid.sync()
    assert report.is_complete
    assert len(_upserts(sendgrid)) == 2
    assert len(sendgrid.twin.store.contacts()) == 4
    _settled(sendgrid)


@pytest.mark.usefixtures("impatient")
def test_who_withdraws_while_her_job_runs_is_lowered_at_once(sendgrid: SendGridWorld) -> None:
    sendgrid.twin.put("p0@shop.test")
    sendgrid.desire(*PEOPLE)
    sendgrid.twin.store.job_looks = 10_000
    sendgrid.sync()
    sendgrid.desire(Person("p0@shop.test", "unsubscribe"), *PEOPLE[1:])
    assert sendgrid.sync().lowered == 1
    assert sendgrid.twin.status("p0@shop.test") == "unsubscribed"


def test_records_that_a_job_refuses_are_named_and_held(sendgrid: SendGridWorld) -> None:
    """Two contacts have an identifier of somebody else's making: they cannot be updated by address alone."""
    sendgrid.twin.put("p0@shop.test", {"external_id": "7"})
    sendgrid.twin.put("p1@shop.test", {"phone_number_id": "+4912345"})
    people = [Person(p.email, p.verdict, (), p.columns) for p in PEOPLE]
    sendgrid.desire(*people)
    report = sendgrid.sync()
    assert (report.created, report.updated, report.rejected) == (2, 0, {"data": 2})
    assert sendgrid.rows("select distinct message from ledger.sync_state where state = 'rejected'") == [
        ("The destination's job refused it: all existing identifiers must be present",)
    ]
    again = sendgrid.sync()
    assert (again.writes, again.held) == (0, {"data": 2})
    check_folds(sendgrid.rows)


@pytest.mark.parametrize("trouble", [None, "other_file"])
def test_what_a_job_refuses_in_part_is_not_taken_for_the_old_state(sendgrid: SendGridWorld, trouble: Any) -> None:
    """Confirmed A; of B the number is refused, the rest was written; desired A again: A has to be sent."""
    declare(sendgrid.settings, [NUMBER | {"column": "rec_1_price"}])
    sendgrid.desire(Person("p@shop.test", "subscribe", (), {"city": "A", "rec_1_price": 1}))
    sendgrid.sync()
    sendgrid.desire(Person("p@shop.test", "subscribe", (), {"city": "B", "rec_1_price": 2}))
    with pytest.MonkeyPatch.context() as patch:
        # as no plan lets it be: the vendor's job has to be the one that finds it
        formatted = payload.format_value
        patch.setattr(
            payload, "format_value", lambda m, value: "not a number" if m.type == "number" else formatted(m, value)
        )
        if trouble:
            sendgrid.twin.app.troubles.append(trouble)
        report = sendgrid.sync()
        assert (report.updated, report.rejected) == (0, {"data": 1})
        assert sendgrid.sync().writes == 0
    assert sendgrid.twin.fields_of("p@shop.test")["mw_city"] == "B"
    check_folds(sendgrid.rows)
    sendgrid.desire(Person("p@shop.test", "subscribe", (), {"city": "A", "rec_1_price": 1}))
    assert sendgrid.sync().updated == 1
    assert sendgrid.twin.fields_of("p@shop.test")["mw_city"] == "A"
    _settled(sendgrid)


@pytest.mark.parametrize("trouble", ["no_file", "no_host", "odd_file"])
def test_without_a_readable_file_nobody_is_told_apart(sendgrid: SendGridWorld, trouble: Any) -> None:
    """One of four was refused, and nobody can read who: all are in doubt, and sent again; then the file is there."""
    sendgrid.twin.put("p0@shop.test", {"external_id": "7"})
    sendgrid.desire(*(Person(p.email, "update_only", (), p.columns) for p in PEOPLE))
    for person in PEOPLE[1:]:
        sendgrid.twin.put(person.email)
    sendgrid.twin.app.troubles.append(trouble)
    report = sendgrid.sync()
    assert (report.updated, report.rejected, report.passes) == (3, {"data": 1}, 2)
    assert len(_upserts(sendgrid)) == 2
    assert sendgrid.sync().writes == 0


@pytest.mark.parametrize("trouble", ["failed", "forgotten"])
def test_a_job_that_ends_without_a_word_leaves_doubt_and_is_sent_again(sendgrid: SendGridWorld, trouble: Any) -> None:
    sendgrid.desire(*PEOPLE)
    sendgrid.twin.app.troubles.append(trouble)
    report = sendgrid.sync()
    assert report.is_complete
    assert report.passes == 2
    assert len(_upserts(sendgrid)) == 2
    assert sendgrid.twin.inside("mw:vip") == VIP
    _settled(sendgrid)


def _records(n: int) -> list[Record]:
    emails = [f"p{at}@shop.test" for at in range(n)]
    return [Record(f"k{at}", email, subscriber_hash=hash_of(email)) for at, email in enumerate(emails)]


def _answering(target: SendGrid, answer: Callable[[list[str]], tuple[int, Any]]) -> list[int]:
    """Let `answer` decide over the addresses of each request; the sizes of the requests."""
    sizes: list[int] = []

    def send(method: str, path: str, *, json: Any, **_: Any) -> tuple[int, Any]:
        emails = json.get("recipient_emails") or [contact["email"] for contact in json["contacts"]]
        sizes.append(len(emails))
        return answer(emails)

    target._api.send = send  # pyright: ignore[reportAttributeAccessIssue]
    return sizes


@pytest.mark.parametrize(
    ("operation", "status"), [("create", 400), ("create", 413), ("add", 400), ("add", 413), ("lower", 400)]
)
def test_a_refusal_that_names_nobody_is_halved(sendgrid: SendGridWorld, operation: Any, status: int) -> None:
    """Until the record at fault is alone; one more than it takes is never sent."""
    target = sendgrid.destination()
    good = {"lower": (201, "recipient_emails")}.get(operation, (202, "job_id"))

    def answer(emails: list[str]) -> tuple[int, Any]:
        if "p3@shop.test" in emails:
            return status, {"errors": [{"message": "p3@shop.test is wrong"}]}
        return good[0], {good[1]: emails if operation == "lower" else "job"}

    sizes = _answering(target, answer)
    records = _records(8)
    if operation == "add":
        outcome = target.set_membership("list", operation, records)
    else:
        outcome = target.upsert(operation, records)
    kinds = {r.key: outcome.of(r.key).kind for r in records}
    assert kinds.pop("k3") == "rejected"
    assert outcome.of("k3").rejected_class == "data"
    assert "@" not in outcome.of("k3").message
    assert set(kinds.values()) == {"confirmed" if operation == "lower" else "accepted"}
    assert sizes == [8, 4, 2, 2, 1, 1, 4]
    target.close()


def test_halving_has_an_end_and_the_innocent_are_sent_again(sendgrid: SendGridWorld) -> None:
    target = sendgrid.destination()
    sizes = _answering(target, lambda _: (400, {"errors": [{"message": "no"}]}))
    records = _records(1000)
    outcome = target.upsert("create", records)
    assert len(sizes) == 81
    classes = [outcome.of(record.key).rejected_class for record in records]
    assert set(classes) == {"data", "retryable"}
    assert classes.count(RejectedClass.DATA) < 41
    target.close()


def test_answers_that_say_less_than_they_should(sendgrid: SendGridWorld) -> None:
    """Accepted without a job: nobody can tell; an unsubscribe that is not confirmed by name: not done."""
    target = sendgrid.destination()
    records = _records(2)
    _answering(target, lambda _: (202, {}))
    assert target.upsert("create", records).of("k0").kind == "in_doubt"
    _answering(target, lambda emails: (201, {"recipient_emails": emails[:1]}))
    outcome = target.upsert("lower", records)
    assert (outcome.of("k0").kind, outcome.of("k1").rejected_class) == ("confirmed", "retryable")
    target.close()


def test_a_job_that_nobody_knows_yet_is_asked_about_again(sendgrid: SendGridWorld) -> None:
    sendgrid.desire(*PEOPLE)
    sendgrid.twin.app.troubles.append("late")
    report = sendgrid.sync()
    assert (report.created, report.passes) == (4, 1)
    assert len(_upserts(sendgrid)) == 1


def test_half_an_unsubscribe_is_not_undone_by_the_other_half(sendgrid: SendGridWorld) -> None:
    """One half was taken, then nobody answered: the first is confirmed, the second did not happen."""
    target = sendgrid.destination()
    records = _records(4)

    def answer(emails: list[str]) -> tuple[int, Any]:
        if len(emails) == 4:
            return 400, {"errors": [{"message": "no"}]}
        if "p3@shop.test" in emails:
            raise DestinationDown("gone")
        return 201, {"recipient_emails": emails}

    _answering(target, answer)
    outcome = target.upsert("lower", records)
    assert [outcome.of(r.key).kind for r in records] == ["confirmed", "confirmed", "rejected", "rejected"]
    assert isinstance(outcome.stop, DestinationDown)
    target.close()


def test_parts_of_a_batch_are_polled_together(sendgrid: SendGridWorld) -> None:
    """A refusal that names nobody halves the batch: two jobs, one answer."""
    target = sendgrid.destination()
    records = _records(4)
    sent: list[int] = []
    real = target._api.send

    def send(method: str, path: str, **options: Any) -> Any:
        if method == "PUT":
            sent.append(len(options["json"]["contacts"]))
            if len(sent) == 1:
                return 400, {"errors": [{"message": "something is wrong"}]}
        return real(method, path, **options)

    target._api.send = send
    outcome = target.upsert("create", records)
    assert sent == [4, 2, 2]
    assert {outcome.of(r.key).kind for r in records} == {"accepted"}
    assert outcome.job is not None
    sendgrid.twin.store.job_looks = 1
    assert target.poll(outcome.job, "create", records) is None
    while (end := target.poll(outcome.job, "create", records)) is None:
        pass
    assert {end.of(r.key).kind for r in records} == {"confirmed"}
    target.close()


@pytest.mark.usefixtures("impatient")
def test_removals_are_jobs_too(sendgrid: SendGridWorld) -> None:
    sendgrid.desire(*PEOPLE)
    sendgrid.sync()
    with_full_pull(sendgrid)
    sendgrid.twin.store.job_looks = 10_000
    sendgrid.desire(Person("p0@shop.test", "subscribe", (), {"city": "A"}), *PEOPLE[1:])
    report = sendgrid.sync()
    assert (report.leaving, report.waiting) == (0, 1)
    sendgrid.twin.store._rows("update jobs set looks_left = 0")
    report = sendgrid.sync()
    assert (report.leaving, report.writes) == (1, 0)
    assert sendgrid.twin.inside("mw:vip") == VIP - {"p0@shop.test"}
    _settled(sendgrid)

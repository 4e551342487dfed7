"""Whole syncs to Klaviyo: jobs to their end, fields, segments, one bad record, throttles, kills."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from reverse_etl import lease as leases
from reverse_etl import runner, sending
from reverse_etl.connect import make_destination
from reverse_etl.destination import Outcome
from reverse_etl.destinations import klaviyo_jobs
from reverse_etl.destinations.klaviyo import Klaviyo
from reverse_etl.destinations.klaviyo_client import Client, Delivery
from reverse_etl.errors import DestinationConfigError, DestinationDown, RejectedClass
from tests.reverse_etl.folds import check_folds
from tests.reverse_etl.klaviyo_world import API_KEY, Clock, KlaviyoServer, KlaviyoWorld, klaviyo_declaration
from tests.reverse_etl.world import Person
from warehouse.connection import connect
from warehouse.settings import Settings

PEOPLE = [Person(f"p{n}@shop.test", "subscribe", ("vip",), {"city": "A"}) for n in range(6)]
EMAILS = {p.email for p in PEOPLE}


class Killed(BaseException):
    """Stands for SIGKILL inside one process: no handler of ours may clean up after it."""


@pytest.fixture
def killing(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A run that is killed writes nothing afterwards, and its lease is taken over."""
    finish = runner._finish

    def unless_killed(con: object, lease: object, status: str, message: str | None, report: str | None) -> None:
        if message != "Killed":
            finish(con, lease, status, message, report)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(runner, "_finish", unless_killed)
    monkeypatch.setattr(leases, "_is_alive", lambda *_: False)
    return monkeypatch


def _kill_at(patch: pytest.MonkeyPatch, name: str, passage: int = 1) -> None:
    passed = [0]

    def failpoint(here: str) -> None:
        passed[0] += here == name
        if here == name and passed[0] == passage:
            raise Killed

    patch.setattr(sending, "failpoint", failpoint)


def _folds(world: KlaviyoWorld) -> None:
    check_folds(world.rows)


def _converged(world: KlaviyoWorld, emails: set[str] = EMAILS) -> None:
    assert world.sync().is_complete
    assert {e: world.twin.consent(e) for e in emails} == dict.fromkeys(emails, "SUBSCRIBED")
    assert world.twin.inside("mw:vip") == emails
    assert world.sync().writes == 0
    _folds(world)


def test_changes_go_by_a_job_and_what_empties_a_field_goes_alone(klaviyo_world: KlaviyoWorld) -> None:
    """A bulk import leaves nulls out of account: the city would stay, and the ledger would say that it is gone."""
    world = klaviyo_world
    world.desire(*PEOPLE)
    world.sync()
    world.twin.put("p1@shop.test", theirs="kept")
    changed = [Person(p.email, p.verdict, p.segments, {"city": "B"}) for p in PEOPLE]
    changed[1] = Person("p1@shop.test", "subscribe", ("vip",), {"city": None})
    world.desire(*changed)
    report = world.sync()
    assert (report.updated, report.created, report.waiting) == (6, 0, 0)
    assert {e: world.twin.city(e) for e in EMAILS} == {**dict.fromkeys(EMAILS, "B"), "p1@shop.test": None}
    found = world.twin.profile("p1@shop.test")
    assert found is not None
    assert found.properties == {"theirs": "kept"}
    if world.transport:
        assert len(world.requests("profile-import")) == 1
        assert len(world.requests("profile-bulk-import-jobs")) == 2
    assert world.sync().writes == 0
    _folds(world)


def test_segments_are_taken_by_the_oldest_list_and_never_by_the_newsletter(klaviyo_world: KlaviyoWorld) -> None:
    world = klaviyo_world
    world.twin.store._run("update lists set name = 'mw:vip'")
    first = world.twin.store.add_list("mw:vip", "single_opt_in")
    world.twin.store.add_list("mw:vip", "single_opt_in")
    target = world.destination()
    assert target.list_segments("mw:") == {"mw:vip": first}
    with pytest.raises(AssertionError, match="no segment"):
        target.set_membership("KlDemo", "remove", [])
    target.close()


def test_a_request_that_is_refused_as_a_whole_goes_on_without_the_culprit(klaviyo_world: KlaviyoWorld) -> None:
    world = klaviyo_world
    world.desire(*PEOPLE, Person("no address at all", "subscribe", (), {"city": "A"}))
    report = world.sync()
    assert (report.created, report.rejected) == (6, {"data": 1})
    if world.transport:
        assert [one[3] for one in world.requests("profile-bulk-import-jobs")] == [400, 202]
    _converged(world)


def test_the_vendors_windows_are_kept(tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The twin counts as the vendor does, by the same clock: a client that keeps the windows is never refused."""
    from sandbox.twins.klaviyo_rates import VENDOR_RATES

    # time passes here while others sleep: of several at once, one could arrive later than it was allowed to
    monkeypatch.setattr(Klaviyo, "concurrency", 1)
    clock = Clock()
    klaviyo_declaration(settings, segments=None)
    with KlaviyoServer(tmp_path / "rated.sqlite", rates=VENDOR_RATES, clock=clock) as twin, connect(settings):
        world = KlaviyoWorld(settings, twin, clock=clock)
        people = [Person(f"p{n}@shop.test", "subscribe", (), {"city": "A"}) for n in range(200)]
        world.desire(*people)
        world.sync()
        world.desire(*(Person(p.email, "subscribe", (), {"city": None}) for p in people))
        report = world.sync()  # one request each, 75 a second
        assert (report.updated, report.throttled) == (200, 0)
        assert clock.naps


def test_a_quota_of_a_day_is_not_waited_for(klaviyo_world: KlaviyoWorld) -> None:
    world = klaviyo_world
    world.twin.store.count("lists_created", 150)
    world.desire(*PEOPLE)
    with pytest.raises(DestinationDown, match="throttling"):
        world.sync()
    assert sum(world.clock.naps) < 60


def test_the_next_run_goes_on_with_a_job_without_sending_again(
    klaviyo_world: KlaviyoWorld, killing: pytest.MonkeyPatch
) -> None:
    """Killed between accepted and polled: one import job in all, and she is subscribed all the same."""
    world = klaviyo_world
    world.desire(*PEOPLE)
    _kill_at(killing, "sync.committed")
    with pytest.raises(Killed):
        world.sync()
    killing.setattr(sending, "failpoint", lambda _: None)
    assert world.rows("select distinct state from ledger.sync_state") == [("accepted",)]
    assert world.twin.subscribers == set()
    report = world.sync()
    assert (report.created, report.is_complete) == (6, True)
    assert len(world.twin.job_ids) == 1
    assert world.twin.subscribers == EMAILS


def test_the_next_run_goes_on_with_a_withdrawal(klaviyo_world: KlaviyoWorld, killing: pytest.MonkeyPatch) -> None:
    """Asked for by the run that was killed, read back by the next one, which knows her address from the pull."""
    world = klaviyo_world
    world.desire(*PEOPLE)
    world.sync()
    world.desire(Person("p0@shop.test", "unsubscribe"), *PEOPLE[1:])
    _kill_at(killing, "sync.committed")
    with pytest.raises(Killed):
        world.sync()
    killing.setattr(sending, "failpoint", lambda _: None)
    report = world.sync()
    assert (report.lowered, report.in_doubt, report.is_complete) == (1, 0, True)
    assert world.twin.consent("p0@shop.test") == "UNSUBSCRIBED"
    assert len(world.twin.store._rows("select 1 from jobs where kind = 'unsubscribe'")) == 1
    _folds(world)


def test_people_whom_an_update_brings_back_are_reported(klaviyo_world: KlaviyoWorld) -> None:
    """Deleted there since the last full pull; the rest of her batch goes by a job."""
    world = klaviyo_world
    world.desire(*PEOPLE)
    world.sync()
    world.sync()
    world.twin.store.drop_profile("p0@shop.test")
    changed = [Person(p.email, p.verdict, p.segments, {"city": "B"}) for p in PEOPLE[1:]]
    world.desire(Person("p0@shop.test", "subscribe", ("vip",), {"city": None}), *changed)
    report = world.sync()
    assert report.updated == 6
    assert [note for note in report.notes if "created them anew" in note]
    assert world.twin.consent("p0@shop.test") == "NEVER_SUBSCRIBED"


def test_a_key_that_is_withdrawn_half_way_ends_the_run(klaviyo_world: KlaviyoWorld) -> None:
    """The first request of a batch is taken, the next one refused: the run says so, and the next one goes on."""
    world = klaviyo_world
    klaviyo_declaration(world.settings, segments=None)
    people = [Person(f"p{n:04}@shop.test", "update_only", (), {"city": "A"}) for n in range(401)]
    for person in people:
        world.twin.put(person.email)
    world.desire(*people)
    taken: list[int] = []
    accept = world.twin.door.worker.accept

    def once(kind: str, body: dict[str, Any], total: int) -> Any:
        taken.append(total)
        world.twin.door.api_key = "another"
        return accept(kind, body, total)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world.twin.door.worker, "accept", once)
        patch.setattr(Klaviyo, "concurrency", property(lambda _: 1))
        patch.setattr(Klaviyo, "batch_size", lambda *_: 200)
        with pytest.raises(DestinationConfigError, match="does not accept the API key"):
            world.sync()
    assert taken == [200]
    world.twin.door.api_key = API_KEY
    assert world.sync().is_complete
    assert {world.twin.city(p.email) for p in people} == {"A"}
    assert world.sync().writes == 0


def test_a_job_that_is_forgotten_leaves_its_records_in_doubt(
    klaviyo_world: KlaviyoWorld, killing: pytest.MonkeyPatch
) -> None:
    world = klaviyo_world
    world.desire(*PEOPLE)
    _kill_at(killing, "sync.committed")
    with pytest.raises(Killed):
        world.sync()
    killing.setattr(sending, "failpoint", lambda _: None)
    world.twin.store.forget_jobs()
    _converged(world)


def test_a_list_that_asks_for_confirmation_is_asked_once(tmp_path: Path, settings: Settings) -> None:
    """Double opt-in: everybody gets the list's mail once; she is in no segment before she has answered it."""
    klaviyo_declaration(settings)
    with KlaviyoServer(tmp_path / "double.sqlite", double_opt_in=True) as twin, connect(settings):
        world = KlaviyoWorld(settings, twin)
        world.desire(*PEOPLE)
        twin.put("p3@shop.test", "NEVER_SUBSCRIBED")
        report = world.sync()
        assert (report.created, report.entering, report.is_complete) == (6, 0, True)
        for _ in range(2):
            report = world.sync()
            assert (report.created, report.writes, report.is_complete) == (0, 0, True)
        assert twin.store.counters()["confirmations_asked"] == 6
        assert twin.inside("mw:vip") == set()
        twin.put("p0@shop.test", mw_city="A")
        assert world.sync().entering == 1
        assert twin.inside("mw:vip") == {"p0@shop.test"}


@pytest.mark.parametrize("fault", ["close_before", "close_after"])
@pytest.mark.parametrize("nth", [0, 1, 2])
@pytest.mark.parametrize("is_settled", [False, True], ids=["a job of this run", "a job of an older run"])
def test_a_request_to_confirm_that_is_not_answered_is_not_repeated(
    tmp_path: Path, settings: Settings, killing: pytest.MonkeyPatch, fault: Any, nth: int, is_settled: bool
) -> None:
    """Of three requests for the people of one import: they may have the mail, and a second one would be another."""
    klaviyo_declaration(settings)
    _in_groups_of_two(killing)
    clock = Clock()
    with KlaviyoServer(tmp_path / "double.sqlite", double_opt_in=True, clock=clock) as twin, connect(settings):
        world = KlaviyoWorld(settings, twin, clock=clock)
        world.desire(*PEOPLE)
        if is_settled:
            _kill_at(killing, "sync.committed")
            with pytest.raises(Killed):
                world.sync()
            killing.setattr(sending, "failpoint", lambda _: None)
        twin.faults.add(fault, path="subscription-bulk-create", skip=nth)
        report = world.sync()
        assert (report.waiting, report.is_complete) == (2, False)
        for _ in range(2):
            assert (world.sync().waiting, len(_asked(twin))) == (2, 3)
        assert twin.store.counters()["confirmations_asked"] == (6 if fault == "close_after" else 4)
        for email in EMAILS:
            twin.put(email, "SUBSCRIBED")
        assert world.sync().is_complete


def test_a_subscription_that_is_not_answered_is_asked_for_again(
    klaviyo_world: KlaviyoWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without double opt-in it does no harm, once she has been looked up again; the others of the import go on."""
    world = klaviyo_world
    klaviyo_declaration(world.settings)
    _in_groups_of_two(monkeypatch)
    world.desire(*PEOPLE)
    world.twin.faults.add("500", path="subscription-bulk-create", skip=1)
    assert world.sync().is_complete
    _converged(world)
    assert len(_asked(world.twin)) == 2 + 2  # the third group was left with the second


def test_who_is_refused_for_now_is_not_waited_for(klaviyo_world: KlaviyoWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """The vendor answered, and named one person: her outcome is known, and the next pass or run asks again."""
    world, deliver, asked = klaviyo_world, Client.deliver, [0]
    klaviyo_declaration(world.settings)
    world.desire(*PEOPLE)
    for_now = Outcome("rejected", RejectedClass.RETRYABLE, "Try again later.")

    def refusing(self: Client, method: str, path: str, records: Any, *args: Any, **options: Any) -> Delivery:
        asked[0] += (is_subscription := "subscription-bulk-create" in path)
        assert asked[0] < 20
        if not is_subscription:
            return deliver(self, method, path, records, *args, **options)
        delivery = deliver(self, method, path, list(records)[1:], *args, **options)
        delivery.exceptions[records[0].key] = for_now
        return delivery

    with monkeypatch.context() as patch:
        patch.setattr(Client, "deliver", refusing)
        report = world.sync()
    assert (report.waiting, report.is_complete) == (0, False)
    assert asked[0] <= runner.MOST_PASSES
    _converged(world)


def _in_groups_of_two(patch: pytest.MonkeyPatch) -> None:
    declared = klaviyo_jobs.limit
    patch.setattr(
        klaviyo_jobs, "limit", lambda kind, name: 2 if name == "records_per_subscription" else declared(kind, name)
    )


def _asked(twin: KlaviyoServer) -> list[Any]:
    return twin.store.read("select * from request_log where path like '%subscription-bulk-create%'")


def test_a_look_that_ends_the_run_forgets_nobody_who_was_asked(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key is withdrawn between two requests of one import, at a list that asks by mail: the first two are not asked
    again by the next run."""
    klaviyo_declaration(settings)
    _in_groups_of_two(monkeypatch)
    clock = Clock()
    with KlaviyoServer(tmp_path / "double.sqlite", double_opt_in=True, clock=clock) as twin, connect(settings):
        world = KlaviyoWorld(settings, twin, clock=clock)
        world.desire(*PEOPLE)
        willing, passages = klaviyo_jobs.JobFollower._willing, [0]

        def withdrawn_at_the_second(self: Any, *values: Any) -> Any:
            passages[0] += 1
            if passages[0] == 2:
                twin.door.api_key = "another"
            return willing(self, *values)

        with monkeypatch.context() as patch:
            patch.setattr(klaviyo_jobs.JobFollower, "_willing", withdrawn_at_the_second)
            with pytest.raises(DestinationConfigError, match="does not accept the API key"):
                world.sync()
        assert len(_asked(twin)) == 1
        check_folds(world.rows)
        twin.door.api_key = API_KEY
        world.sync()
        assert twin.store.counters().get("confirmations_asked") == len(PEOPLE)
        check_folds(world.rows)


def test_wrong_credentials_and_fields(klaviyo_world: KlaviyoWorld) -> None:
    world = klaviyo_world
    world.desire(*PEOPLE)
    secret = "pk_wrongwrongwrongwrong"
    with pytest.raises(DestinationConfigError, match="does not accept the API key") as caught:
        world.sync(destination=world.destination(api_key=secret))
    assert secret not in str(caught.value)
    with pytest.raises(DestinationConfigError, match="does not know this list"):
        world.sync(destination=world.destination(list_id="other"))
    with pytest.raises(DestinationConfigError, match="KLAVIYO_API_KEY and KLAVIYO_LIST_ID not set"):
        make_destination("klaviyo", {})
    with pytest.raises(DestinationConfigError, match="not the id of a list"):
        make_destination("klaviyo", {"KLAVIYO_API_KEY": "x", "KLAVIYO_LIST_ID": "../x"})
    fields = [{"column": "city", "field": "$consent", "name": "Consent"}]
    klaviyo_declaration(world.settings, fields=fields)
    with pytest.raises(DestinationConfigError, match="speaks of their consent"):
        world.sync()
    assert world.rows("select count(*) from ledger.sync_attempts") == [(0,)]
    assert API_KEY not in str(world.rows("select * from ledger.sync_runs"))


def test_many_updates_are_one_request(klaviyo_world: KlaviyoWorld) -> None:
    """2,300 updates: one job, not 2,300 requests; but those that empty a field go apart, in waves that end soon."""
    world = klaviyo_world
    klaviyo_declaration(world.settings, segments=None)
    people = [Person(f"p{n:04}@shop.test", "update_only", (), {"city": "A", "first_name": "N"}) for n in range(2300)]
    for person in people:
        world.twin.put(person.email)
    world.desire(*people)
    report = world.sync()
    assert (report.updated, report.writes) == (2300, 1)
    changed = [
        Person(p.email, p.verdict, (), {"city": None if n < 250 else "B", "first_name": "N"})
        for n, p in enumerate(people)
    ]
    world.desire(*changed)
    report = world.sync()
    assert (report.updated, report.writes) == (2300, 1 + 250)
    sizes = world.rows(
        """select count(*) from ledger.sync_attempts
           where outcome = 'sent' and sync_run_id = (select max(sync_run_id) from ledger.sync_attempts)
           group by batch_id order by 1"""
    )
    assert sizes == [(50,), (100,), (100,), (2050,)]
    assert {world.twin.city(p.email) for p in changed[:250]} == {None}
    assert world.sync().writes == 0

"""plan → sync against SendGrid's twin: jobs, suppressions, lists; what arrives, and what must not."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest

from reverse_etl import runner, sending
from reverse_etl.destination import BatchOutcome, Outcome
from reverse_etl.errors import DestinationConfigError, RejectedClass
from sandbox.twins.sendgrid import Rate
from tests.reverse_etl.folds import check_folds
from tests.reverse_etl.sendgrid_world import SENDGRID_KEY, SendGridWorld
from tests.reverse_etl.world import Person

PEOPLE = [Person(f"p{n}@shop.test", "subscribe", ("vip",), {"city": "A"}) for n in range(4)]
VIP = {person.email for person in PEOPLE}


def _settled(world: SendGridWorld) -> None:
    """A further run writes nothing, and the ledger's state is the fold of its attempts."""
    report = world.sync()
    assert report.is_complete
    assert report.writes == 0
    check_folds(world.rows)


def with_full_pull(world: SendGridWorld) -> None:
    """As if the last export were a day old."""
    world.rows("delete from ledger.remote_pulls")


def test_emptying_never_creates_who_is_suppressed_and_gone(sendgrid: SendGridWorld) -> None:
    """She was deleted there, and her unsubscribe stayed: her row vanishes, and nothing is sent."""
    twin = sendgrid.twin
    sendgrid.desire(*PEOPLE)
    sendgrid.sync()
    gone = twin.contact("p0@shop.test")
    assert gone is not None
    twin.store.suppress("unsubscribes", "p0@shop.test")
    twin.store.drop_contact(gone.id)
    sendgrid.desire(*PEOPLE[1:])
    report = sendgrid.sync()
    assert (report.cleared, report.leaving, report.retired, report.writes) == (0, 0, 2, 0)
    assert twin.contact("p0@shop.test") is None
    _settled(sendgrid)


def test_people_whom_an_update_created_are_told(sendgrid: SendGridWorld) -> None:
    """Deleted there after the look: there is no update that does not create."""
    sendgrid.desire(*PEOPLE)
    sendgrid.sync()
    gone = sendgrid.twin.contact("p0@shop.test")
    assert gone is not None
    sendgrid.desire(*(Person(p.email, p.verdict, p.segments, {"city": "B"}) for p in PEOPLE))
    apply = runner.apply

    def deleted_before(*arguments: Any) -> int:
        sendgrid.twin.store.drop_contact(gone.id)
        return apply(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner, "apply", deleted_before)
        report = sendgrid.sync()
    assert report.updated == 4
    assert any("1 people who were to be updated had been deleted" in note for note in report.notes)


def test_one_bad_record_costs_nobody_else(sendgrid: SendGridWorld) -> None:
    """The refusal names two positions; the others go out in a second request, and the two are held."""
    bad = [Person("a@bad", "subscribe", ("vip",)), Person("z bad@shop.test", "subscribe")]
    sendgrid.desire(*PEOPLE, *bad)
    report = sendgrid.sync()
    assert (report.created, report.rejected) == (4, {"data": 2})
    assert report.writes == 5  # the field, the list, the refused batch, the rest of it, the memberships
    assert {c.email for c in sendgrid.twin.store.contacts()} == VIP
    messages = sendgrid.rows("select message from ledger.sync_state where state = 'rejected'")
    assert all("email" in str(row) and "@" not in str(row) for row in messages)
    again = sendgrid.sync()
    assert (again.writes, again.held) == (0, {"data": 2})
    sendgrid.desire(*PEOPLE, Person("a@bad", "subscribe", (), {"city": "new"}))
    assert sendgrid.sync().rejected == {"data": 1}


def test_values_that_the_vendor_does_not_take_are_not_sent(sendgrid: SendGridWorld) -> None:
    long = Person("long@shop.test", "subscribe", (), {"first_name": "x" * 51})
    sendgrid.desire(*PEOPLE, long)
    report = sendgrid.sync()
    assert (report.created, report.rejected) == (4, {"data": 1})
    assert sendgrid.rows("select message from ledger.sync_state where state = 'rejected'") == [
        ("first_name has 51 characters; the destination takes 50.",)
    ]


def test_a_person_created_by_this_ledger_leaves_by_a_lookup(sendgrid: SendGridWorld) -> None:
    """Between two exports nobody has told her id: she is looked up, and does leave."""
    sendgrid.desire(*PEOPLE)
    sendgrid.sync()
    sendgrid.desire(*PEOPLE, Person("ann@shop.test", "subscribe", ("vip",)))
    sendgrid.sync()
    assert sendgrid.rows("select remote_id from ledger.remote_members where email = 'ann@shop.test'") == [(None,)]
    sendgrid.desire(*PEOPLE, Person("ann@shop.test", "subscribe"))
    report = sendgrid.sync()
    assert (report.leaving, report.is_complete) == (1, True)
    assert sendgrid.twin.inside("mw:vip") == VIP
    _settled(sendgrid)


def test_an_id_that_is_out_of_date_is_looked_up(sendgrid: SendGridWorld) -> None:
    """Deleted and signed up again there: the removal of everybody is refused with 404, and sent with her new id."""
    twin = sendgrid.twin
    sendgrid.desire(*PEOPLE)
    sendgrid.sync()
    with_full_pull(sendgrid)
    sendgrid.sync()
    old = twin.contact("p0@shop.test")
    assert old is not None
    twin.store.drop_contact(old.id)
    twin.put("p0@shop.test")
    twin.put_inside("mw:vip", "p0@shop.test")
    sendgrid.desire(*(Person(p.email, "subscribe", (), p.columns) for p in PEOPLE))
    report = sendgrid.sync(overrides={"share_leaving"})
    assert (report.leaving, report.is_complete) == (4, True)
    assert twin.inside("mw:vip") == set()
    _settled(sendgrid)


def test_a_list_that_was_deleted_there_is_made_anew(sendgrid: SendGridWorld) -> None:
    sendgrid.desire(*PEOPLE)
    sendgrid.sync()
    sendgrid.twin.store.drop_list(sendgrid.twin.store.lists()[0]["id"])
    report = sendgrid.sync()
    assert (report.entering, report.writes) == (4, 2)
    assert sendgrid.twin.inside("mw:vip") == VIP
    _settled(sendgrid)


def test_the_url_of_a_removal_stays_short(sendgrid: SendGridWorld) -> None:
    people = [Person(f"p{n:03}@shop.test", "subscribe", ("vip",)) for n in range(450)]
    sendgrid.desire(*people)
    sendgrid.sync()
    with_full_pull(sendgrid)
    sendgrid.desire(*(Person(p.email) for p in people))
    urls: list[str] = []
    inner = sendgrid.transport or httpx.HTTPTransport()

    class Watching(httpx.BaseTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            if request.method == "DELETE":
                urls.append(str(request.url))
            return inner.handle_request(request)

    sendgrid.transport = Watching()
    report = sendgrid.sync(overrides={"share_leaving"})
    assert report.leaving == 450
    assert sorted(url.count("%2C") + 1 for url in urls) == [50, 200, 200]  # several at once, in any order
    assert max(map(len, urls)) < 8000
    assert sendgrid.twin.inside("mw:vip") == set()


def test_batches_keep_to_their_bytes(sendgrid: SendGridWorld) -> None:
    """Thirty people with 300 kB each are 9 MB: two batches; one with 7 MB is refused here and named."""
    people = [Person(f"p{n}@shop.test", "subscribe", (), {"city": "é" * 150_000}) for n in range(30)]
    sendgrid.desire(*people, Person("huge@shop.test", "subscribe", (), {"city": "x" * 7_000_000}))
    report = sendgrid.sync()
    assert (report.created, report.rejected) == (30, {"data": 1})
    assert len(sendgrid.twin.jobs()) == 2
    message = sendgrid.rows("select message from ledger.sync_state where state = 'rejected'")[0][0]
    assert re.fullmatch(r"The record has 7000\d\d\d bytes; the destination takes 5999000\.", message)


@pytest.mark.parametrize("resets", ["seconds", "epoch"])
def test_a_window_that_is_full_is_waited_for(sendgrid: SendGridWorld, resets: Any) -> None:
    """The twin's clock goes on with our pauses: two requests a minute and path are enough, whatever form it tells."""
    twin = sendgrid.twin
    passed = [0.0]
    began = twin.store.clock()
    twin.store.clock = lambda: began + passed[0]
    twin.app.rate = Rate(2, 60, resets)
    target = sendgrid.destination()
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        passed[0] += seconds

    target._api.http._sleep = wait
    for _ in range(5):
        assert target.count_members() == 0
    target.close()
    assert len(waits) == 2
    assert all(55 <= seconds <= 61 for seconds in waits)
    assert target.traffic.throttled == 2


def test_key_revoked_half_way(sendgrid: SendGridWorld) -> None:
    """One batch of the wave was taken, then the key is refused: the run ends, and the next goes on from there."""
    sendgrid.desire(*PEOPLE)
    send = sending._send

    def revoke(destination: Any, batch: Any) -> Any:
        if batch.operation == "add":
            sendgrid.twin.app.api_key = "another"
        return send(destination, batch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sending, "_send", revoke)
        with pytest.raises(DestinationConfigError, match="API key"):
            sendgrid.sync()
    sendgrid.twin.app.api_key = SENDGRID_KEY
    report = sendgrid.sync()
    assert (report.created, report.entering) == (0, 4)
    _settled(sendgrid)


def test_a_wave_that_ends_in_an_error_and_in_jobs_ends_the_run(sendgrid: SendGridWorld) -> None:
    """Of two lists one was taken and the other met a wrong key: what was taken is known, and no more is sent."""
    sendgrid.desire(*(Person(p.email, p.verdict, ("a", "b"), p.columns) for p in PEOPLE))
    send = sending._send
    refusal = DestinationConfigError("The key was revoked.")

    def half(destination: Any, batch: Any) -> BatchOutcome:
        if batch.operation == "add" and batch.segment_id == sendgrid.twin.store.lists()[0]["id"]:
            return BatchOutcome(Outcome("rejected", RejectedClass.RETRYABLE, refusal.what), stop=refusal)
        return send(destination, batch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sending, "_send", half)
        with pytest.raises(DestinationConfigError, match="revoked"):
            sendgrid.sync()
    states = sendgrid.rows("select state, count(*) from ledger.sync_state where object <> 'member' group by all")
    assert sorted(states) == [("accepted", 4), ("rejected", 4)]
    report = sendgrid.sync()
    assert (report.entering, report.writes) == (8, 1)
    _settled(sendgrid)


def test_accounts_have_ledgers_of_their_own(sendgrid: SendGridWorld) -> None:
    assert sendgrid.destination(account="shop-eu").key == "sendgrid/shop-eu"
    with pytest.raises(DestinationConfigError, match="SENDGRID_ACCOUNT"):
        sendgrid.destination(account="../x")

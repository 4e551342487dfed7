"""Nobody is subscribed without evidence, nobody is re-subscribed, statuses only go down.

The twin *would* re-subscribe whom the API unsubscribed, and *would* drop tags: a sync that asks for it is caught.
"""

from __future__ import annotations

import itertools

import pytest

from reverse_etl import diff, runner
from reverse_etl.destination import Record
from sandbox.twins.mailchimp_store import DEFAULT_LIST
from tests.reverse_etl.world import Person, World, hash_of

VERDICTS = ("subscribe", "update_only", "unsubscribe", None, "yes please")
STATUSES = (None, "subscribed", "unsubscribed", "cleaned", "pending", "transactional", "archived")


def _address(verdict: str | None, status: str | None) -> str:
    return f"{(verdict or 'none').replace(' ', '-')}.{status or 'absent'}@shop.test"


def _expected(verdict: str | None, status: str | None) -> str | None:
    """The whole policy as a table: the status afterwards."""
    if verdict == "unsubscribe" and status in {"subscribed", "pending", "transactional"}:
        return "unsubscribed"
    if verdict == "subscribe" and status is None:
        return "subscribed"
    return status


def test_every_verdict_meets_every_status(world: World) -> None:
    pairs = list(itertools.product(VERDICTS, STATUSES))
    for verdict, status in pairs:
        if status:
            by = "api" if status == "unsubscribed" else None  # the kind that the vendor would let us raise
            world.twin.put(_address(verdict, status), status, by, FNAME="Theirs")
    world.desire(*(Person(_address(v, s), v, ("vip",), {"first_name": "Ours"}) for v, s in pairs))
    report = world.sync()
    after = {(v, s): world.twin.status(_address(v, s)) for v, s in pairs}
    assert after == {(v, s): _expected(v, s) for v, s in pairs}
    written = {
        (v, s) for v, s in pairs
        if (m := world.twin.member(_address(v, s))) is not None and m.merge_fields.get("FNAME") == "Ours"
    }  # fmt: skip
    assert written == {
        ("subscribe", None),
        *itertools.product(("subscribe", "update_only"), ("subscribed", "transactional")),
    }
    assert world.twin.inside("mw:vip") == {hash_of(_address(v, s)) for v, s in written}
    assert report.blocked == {
        "archived_in_destination": 2,
        "cleaned_in_destination": 2,
        "consent_withdrawn": 4,
        "no_consent_verdict": 14,
        "no_opt_in_evidence": 1,
        "pending_in_destination": 2,
        "unsubscribed_in_destination": 2,
    }
    assert sum(report.blocked.values()) + report.created + report.updated + report.lowered == len(pairs)
    assert world.sync().writes == 0


def test_who_leaves_between_pull_and_push_is_not_raised(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """She was absent when we looked; she signed up and left before we wrote: a create does not touch her."""
    world.desire(Person("race@shop.test", "subscribe", ("vip",)), Person("calm@shop.test", "subscribe"))
    original = runner._send

    def late(destination: object, batch: object) -> object:
        if world.twin.member("race@shop.test") is None:
            world.twin.put("race@shop.test", "unsubscribed", "api")
        return original(destination, batch)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(runner, "_send", late)
    report = world.sync()
    assert world.twin.status("race@shop.test") == "unsubscribed"
    assert world.twin.status("calm@shop.test") == "subscribed"
    assert report.created == 1
    assert world.sync().blocked == {"unsubscribed_in_destination": 1}


def test_a_status_is_sent_only_to_create_or_to_lower() -> None:
    from reverse_etl.destinations.mailchimp import _member

    record = Record("k", "a@shop.test", {"FNAME": "A"})
    assert {op: _member(op, record).get("status") for op in ("create", "update", "lower", "clear")} == {
        "create": "subscribed",
        "update": None,
        "lower": "unsubscribed",
        "clear": None,
    }


def test_verdict_is_read_again_when_sending(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Consent is withdrawn between plan and push: the hash is the same, the record is still not sent."""
    world.desire(Person("a@shop.test", "subscribe"), Person("b@shop.test", "subscribe"))
    original = runner._create_what_is_missing

    def withdraw(*arguments: object) -> None:
        original(*arguments)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(runner, "_create_what_is_missing", withdraw)
    apply = runner._apply

    def late(*arguments: object) -> object:
        world.desire(Person("a@shop.test", "update_only"), Person("b@shop.test", "subscribe"))
        return apply(*arguments)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(runner, "_apply", late)
    world.sync()
    assert world.twin.member("a@shop.test") is None
    assert world.twin.status("b@shop.test") == "subscribed"


def test_a_deleted_member_is_not_created_again(world: World) -> None:
    world.desire(Person("a@shop.test", "subscribe"), Person("b@shop.test", "subscribe"))
    world.sync()
    world.twin.store.forget(DEFAULT_LIST, hash_of("a@shop.test"))
    report = world.sync()
    assert report.blocked == {"deleted_in_destination": 1}
    assert report.writes == 0
    assert world.twin.member("a@shop.test") is None


def test_whom_the_vendor_has_forgotten_is_rejected_once(world: World) -> None:
    world.twin.put("a@shop.test")
    world.twin.store.forget(DEFAULT_LIST, hash_of("a@shop.test"))
    world.desire(Person("a@shop.test", "subscribe", ("vip",)))
    first = world.sync()
    assert first.rejected == {"consent": 1}
    assert first.is_complete
    again = world.sync()
    assert (again.writes, again.held) == (0, {"consent": 1})
    message = world.rows("select message from ledger.sync_state where state = 'rejected'")[0][0]
    assert "permanently deleted" in message
    assert "@" not in message


def test_foreign_members_fields_and_tags_stay(world: World) -> None:
    world.twin.put("theirs@shop.test", FNAME="Theirs")
    world.twin.put("both@shop.test", FNAME="Both", LNAME="Family")
    world.twin.put_inside("mw:vip", "theirs@shop.test", "both@shop.test")  # somebody used our very name
    world.twin.put_inside("newsletter", "theirs@shop.test", "both@shop.test")
    world.desire(Person("both@shop.test", "update_only", ("vip",), {"first_name": "B"}))
    world.sync()
    world.desire(Person("other@shop.test", "subscribe", ("vip",)))
    world.sync(overrides=["share_leaving"])
    both = world.twin.member("both@shop.test")
    assert both is not None
    assert (both.status, both.merge_fields) == ("subscribed", {"FNAME": "B", "LNAME": "Family"})
    theirs = world.twin.member("theirs@shop.test")
    assert theirs is not None
    assert theirs.merge_fields == {"FNAME": "Theirs"}
    assert world.twin.inside("newsletter") == {hash_of("theirs@shop.test"), hash_of("both@shop.test")}
    # only memberships that we confirmed ourselves are taken away
    assert world.twin.inside("mw:vip") == {hash_of("theirs@shop.test"), hash_of("other@shop.test")}


def test_a_name_that_we_do_not_know_empties_nobodys(world: World) -> None:
    """FNAME is the audience's own field: forms fill it. Ours is "there" for people whom we create, and no more."""
    world.twin.put("known@shop.test", FNAME="Anna")
    world.desire(Person("known@shop.test", "update_only"), Person("new@shop.test"))
    world.sync()
    new, known = world.twin.member("new@shop.test"), world.twin.member("known@shop.test")
    assert new is not None
    assert known is not None
    assert new.merge_fields["FNAME"] == "there"
    assert known.merge_fields["FNAME"] == "Anna"
    world.desire(Person("new@shop.test"))
    world.sync()
    known = world.twin.member("known@shop.test")
    assert known is not None
    assert known.merge_fields["FNAME"] == "Anna"


def test_a_refusal_ends_the_subscription_of_every_address(world: World) -> None:
    """Subscribed with an address that was in use once; refused with another one."""
    world.desire(Person("old@shop.test", "subscribe", ("vip",)))
    world.sync()
    world.desire(Person("new@shop.test", "subscribe"))
    world.sync()
    assert world.twin.status("old@shop.test") == "subscribed"
    world.twin.put("gone@shop.test", "cleaned")
    world.twin.put("foreign@shop.test")
    refused = ("old@shop.test", "gone@shop.test", "never@shop.test", "foreign@shop.test")
    world.desire(Person("new@shop.test", "unsubscribe"), refusals=refused)
    report = world.sync()
    assert report.lowered == 3
    assert [world.twin.status(e) for e in ("new@shop.test", *refused)] == [
        "unsubscribed", "unsubscribed", "cleaned", None, "unsubscribed",
    ]  # fmt: skip
    assert world.twin.inside("mw:vip") == set()
    assert world.sync().writes == 0
    # she comes back with the one in use: the others stay as they are
    world.desire(Person("new@shop.test", "subscribe"))
    world.sync()
    assert world.twin.status("old@shop.test") == "unsubscribed"


def test_an_unsubscribe_there_binds_all_her_addresses(world: World) -> None:
    """Unsubscribed by herself at the ESP with one address; now another is in use, and a third is subscribed there."""
    world.desire(Person("a@shop.test", "subscribe"))
    world.sync()
    world.twin.put("a@shop.test", "unsubscribed")
    world.twin.put("c@shop.test", "subscribed")
    moved = Person("b@shop.test", "subscribe", ("vip",), other_addresses=("a@shop.test", "c@shop.test"))
    world.desire(moved, Person("stranger@shop.test", "subscribe"))
    assert world.plan().lowered == 1
    report = world.sync()
    assert [world.twin.status(e) for e in ("a@shop.test", "b@shop.test", "c@shop.test", "stranger@shop.test")] == [
        "unsubscribed", None, "unsubscribed", "subscribed",
    ]  # fmt: skip
    assert (report.created, report.lowered, report.blocked) == (1, 1, {"unsubscribed_in_destination": 2})
    assert world.sync().writes == 0


def test_once_weighed_consent_decides(world: World) -> None:
    """The build has weighed the unsubscribe, and newer evidence outranks it: nothing binds beside consent."""
    world.twin.put("a@shop.test", "unsubscribed")
    world.desire(Person("b@shop.test", "subscribe", other_addresses=("a@shop.test",)))
    assert world.sync().created == 0
    seen_at = world.rows("select seen_at from ledger.remote_suppressions")[0][0]
    world.desire(Person("b@shop.test", "subscribe", other_addresses=("a@shop.test",), weighed_to=seen_at))
    assert world.sync().created == 1
    # unsubscribed once more: that is news again
    world.twin.put("a@shop.test", "subscribed")
    world.sync()
    world.twin.put("a@shop.test", "unsubscribed")
    assert world.sync().lowered == 1
    assert world.twin.status("b@shop.test") == "unsubscribed"


def test_what_we_lowered_ourselves_is_no_evidence(world: World) -> None:
    """Else a refusal would renew itself with the instant at which we carried it out."""
    world.twin.put("a@shop.test", "subscribed")
    world.twin.put("bounced@shop.test", "cleaned")
    world.desire(Person("a@shop.test", "unsubscribe"))
    assert world.sync().lowered == 1
    world.rows("delete from ledger.remote_pulls returning 1")  # the next pull is a full one
    world.sync()
    assert world.rows("select email, kind from ledger.remote_suppressions") == [("bounced@shop.test", "bounce")]


def test_a_suppression_is_kept_once(world: World) -> None:
    """However often it is pulled; and never dated later than it was seen, whatever the vendor's clock says."""
    world.twin.put("a@shop.test", "unsubscribed")
    world.desire(Person("b@shop.test", "subscribe"))
    for _ in range(2):
        world.sync()
        world.rows("delete from ledger.remote_pulls returning 1")
    rows = world.rows("select email, kind, suppressed_at <= seen_at from ledger.remote_suppressions")
    assert rows == [("a@shop.test", "unsubscribe", True)]


def test_the_address_in_use_has_its_own_verdict(world: World) -> None:
    """A model that names it in both places: the verdict of the person counts, once."""
    world.twin.put("a@shop.test")
    world.desire(Person("a@shop.test", "subscribe"), refusals=["a@shop.test"])
    assert world.sync().lowered == 0


def test_policies_name_each_status_once() -> None:
    assert set(diff.MAILABLE) < set(diff.LOWERABLE)
    assert "unsubscribed" not in diff.LOWERABLE
    assert "cleaned" not in diff.LOWERABLE

"""Nobody is subscribed without evidence, nobody is re-subscribed, statuses only go down.

The twin *would* re-subscribe whom the API unsubscribed, and *would* drop tags: a sync that asks for it is caught.
"""

from __future__ import annotations

from reverse_etl import diff
from reverse_etl.destination import Record
from sandbox.twins.mailchimp_store import DEFAULT_LIST
from tests.reverse_etl.world import Person, World, hash_of

VERDICTS = ("subscribe", "update_only", "unsubscribe", None, "yes please")
STATUSES = (None, "subscribed", "unsubscribed", "cleaned", "pending", "transactional", "archived")


def test_a_status_is_sent_only_to_create_or_to_lower() -> None:
    from reverse_etl.destinations.mailchimp import _member

    record = Record("k", "a@shop.test", {"FNAME": "A"})
    assert {op: _member(op, record).get("status") for op in ("create", "update", "lower", "clear")} == {
        "create": "subscribed",
        "update": None,
        "lower": "unsubscribed",
        "clear": None,
    }


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

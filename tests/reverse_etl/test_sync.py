"""plan → sync against the twin: what arrives, what does not, and that a second run writes nothing."""

from __future__ import annotations

from decimal import Decimal

from sandbox.twins.mailchimp_store import DEFAULT_LIST
from tests.reverse_etl.world import Person, World, hash_of, small_declaration


def test_first_run_creates_updates_and_blocks(world: World) -> None:
    world.twin.put("old@shop.test", FNAME="Old")
    world.twin.put("left@shop.test", "unsubscribed", "member")
    world.desire(
        Person("new@shop.test", "subscribe", ("vip", "cart"), {"first_name": "Zoë", "city": "Köln"}),
        Person("old@shop.test", "update_only", ("vip",), {"city": "Oslo", "rec_1_price": Decimal("12.50")}),
        Person("stranger@shop.test", "update_only", ("vip",)),
        Person("left@shop.test", "subscribe", ("vip",)),
        Person("nobody@shop.test", "unsubscribe"),
    )
    planned = world.plan()
    assert (planned.created, planned.updated, planned.entering) == (1, 1, 3)
    assert world.twin.writes == 0
    report = world.sync()
    assert (report.created, report.updated, report.entering, report.lowered) == (1, 1, 3, 0)
    assert report.blocked == {
        "no_opt_in_evidence": 1,
        "unsubscribed_in_destination": 1,
        "consent_withdrawn": 1,
    }
    assert report.blocked == planned.blocked
    new = world.twin.member("new@shop.test")
    assert new is not None
    assert new.status == "subscribed"
    assert new.merge_fields == {"FNAME": "Zoë", "MW_CITY": "Köln"}
    old = world.twin.member("old@shop.test")
    assert old is not None
    assert old.merge_fields == {"FNAME": "Old", "MW_CITY": "Oslo", "MW_R1PRICE": "12.50"}
    assert world.twin.status("left@shop.test") == "unsubscribed"
    assert world.twin.member("stranger@shop.test") is None
    assert world.twin.inside("mw:vip") == {hash_of("new@shop.test"), hash_of("old@shop.test")}
    assert world.twin.inside("mw:cart") == {hash_of("new@shop.test")}
    assert report.writes == planned.requests

    writes = world.twin.writes
    again = world.sync()
    assert world.twin.writes == writes
    assert (again.writes, again.unchanged, again.memberships_unchanged) == (0, 2, 3)
    assert "nothing was written" in again.notes[0]
    assert world.plan().is_empty


def test_changes_leavers_and_tombstones(world: World) -> None:
    people = [Person(f"p{n}@shop.test", "subscribe", ("vip",), {"city": "A", "first_name": f"N{n}"}) for n in range(4)]
    world.desire(*people)
    world.sync()
    world.twin.put_inside("theirs", "p0@shop.test", "p3@shop.test")
    world.desire(
        Person("p0@shop.test", "subscribe", (), {"city": "A", "first_name": "N0"}),
        Person("p1@shop.test", "subscribe", ("vip",), {"city": "B", "first_name": "N1"}),
        Person("p2@shop.test", "unsubscribe", ("vip",), {"city": "A", "first_name": "N2"}),
    )
    report = world.sync()
    assert (report.updated, report.lowered, report.cleared, report.leaving) == (1, 1, 1, 3)
    assert world.twin.inside("mw:vip") == {hash_of("p1@shop.test")}
    assert world.twin.inside("theirs") == {hash_of("p0@shop.test"), hash_of("p3@shop.test")}
    assert world.twin.status("p2@shop.test") == "unsubscribed"
    gone = world.twin.member("p3@shop.test")
    assert gone is not None
    assert (gone.status, gone.merge_fields) == ("subscribed", {"FNAME": "N3"})  # what is not ours alone stays
    assert world.sync().writes == 0

    world.desire(*people)  # everybody is back; the one who withdrew is not raised again
    report = world.sync()
    assert world.twin.status("p2@shop.test") == "unsubscribed"
    assert report.blocked == {"unsubscribed_in_destination": 1}
    back = world.twin.member("p3@shop.test")
    assert back is not None
    assert back.merge_fields["MW_CITY"] == "A"
    assert world.sync().writes == 0
    assert len(world.twin.store.segments(DEFAULT_LIST)) == 2


def test_requests_follow_the_formula_of_the_docs(world: World) -> None:
    """docs/syncs.md, "Requests"; the numbers of batches at 500 records each."""
    small_declaration(world.settings)
    world.sync_name = "small"
    people = [
        Person(f"p{n:04}@shop.test", "subscribe", ("even", "all") if n % 2 == 0 else ("all",)) for n in range(1100)
    ]
    world.desire(*people)
    planned = world.plan()
    report = world.sync()
    created_things = 1 + 2  # MW_CITY, and two segments
    assert report.writes == planned.requests == 3 + 2 + 3 + created_things
    first_look = 1 + 1 + 1 + 1 + 1 + 1  # list, fields, members, archived members, total, segments: all empty
    assert report.requests - report.writes == 2 * first_look  # it plans again once the segments exist
    again = world.sync()
    assert again.requests == 1 + 1 + 2 + 1 + 1 + 1  # two pages of members; in full, since nothing was there before
    assert again.writes == 0

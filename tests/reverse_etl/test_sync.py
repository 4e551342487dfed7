"""plan → sync against the twin: what arrives, what does not, and that a second run writes nothing."""

from __future__ import annotations

from tests.reverse_etl.world import Person, World, small_declaration


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

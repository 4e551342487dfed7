"""Suppressions joined with members: one per address, whatever the order in which the lists are read."""

from __future__ import annotations

from datetime import datetime
from itertools import permutations

import pytest

from reverse_etl.suppressed import Suppressed, Suppression

EARLY, LATE = datetime(2026, 1, 1), datetime(2026, 2, 1)


def _one(status: str, at: datetime | None, name: str = "a") -> Suppression:
    return Suppression(name, f"{name}@shop.test", status, at)


@pytest.mark.parametrize(
    ("found", "kept"),
    [
        ([_one("cleaned", LATE), _one("unsubscribed", EARLY)], _one("unsubscribed", EARLY)),
        ([_one("cleaned", EARLY), _one("cleaned", LATE)], _one("cleaned", LATE)),
        ([_one("unsubscribed", EARLY), _one("cleaned", LATE), _one("unsubscribed", None)], _one("unsubscribed", EARLY)),
        ([_one("unsubscribed", None), _one("cleaned", LATE)], _one("unsubscribed", None)),
    ],
)
def test_her_word_outranks_a_bounce_and_the_newest_counts(found: list[Suppression], kept: Suppression) -> None:
    for order in permutations(found):
        with Suppressed() as suppressed:
            suppressed.add(order)
            assert suppressed.take(["a", "b"]) == {"a": kept}
            assert list(suppressed.rest(10)) == []


def test_those_whom_nobody_took_come_in_pages() -> None:
    with Suppressed() as suppressed:
        suppressed.add(_one("cleaned", EARLY, f"n{n:02}") for n in range(25))
        assert suppressed.take(["n03", "n20", "other"]).keys() == {"n03", "n20"}
        pages = list(suppressed.rest(10))
    assert [len(page) for page in pages] == [10, 10, 3]
    assert len({one.subscriber_hash for page in pages for one in page} | {"n03", "n20"}) == 25

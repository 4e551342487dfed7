"""What people did with their mail, as a destination tells it when it is asked: pages of rows, as webhooks make them.

A destination tells it in *streams*, each read in an order of its own (a metric, a list, a type of event, a mailing),
and each with a cursor. Items are told again in the next pull, come late and out of order: keys are made of the vendor's
own, so none of it does harm.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from reverse_etl.webhooks.reading import Malformed
from reverse_etl.webhooks.rows import ConsentEvent, EmailEvent, Found, Unaddressed

Since = Callable[[str], datetime | None]
"""Stream → the instant (naive UTC) from which it is asked for again; None: it was never read."""


@dataclass(frozen=True)
class EngagementPage:
    """A part of one stream."""

    stream: str
    found: tuple[Found, ...] = ()
    rejected: tuple[str, ...] = ()
    """Why an item could not be read, once per item; no value of it."""
    reached: datetime | None = None
    """What happened until then is in the pages so far; None: that is known only when more of them are read."""


def read_page(
    stream: str, items: Iterable[Any], read: Callable[[Any], Found], reached: datetime | None = None
) -> EngagementPage:
    """A page whose malformed items are put aside."""
    found: list[Found] = []
    rejected: list[str] = []
    for item in items:
        try:
            found.append(read(item))
        except Malformed as error:
            rejected.append(str(error))
    return EngagementPage(stream, tuple(found), tuple(rejected), reached)


def newest(page: EngagementPage, now: datetime, before: datetime | None = None) -> datetime | None:
    """The latest date in a page, or `before`. Not one that lies ahead (a clock that is wrong would hide what follows),
    nor that of a refusal which has none and is dated by its arrival."""
    rows = (one.event if isinstance(one, Unaddressed) else one for one in page.found)
    dates = [row.occurred_at for row in rows if isinstance(row, EmailEvent | ConsentEvent) and row.occurred_at < now]
    return max([*dates, *([before] if before else [])], default=None)

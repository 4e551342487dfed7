"""What destinations share that take events one by one and know them by no key: each is sent once, and never again."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from reverse_etl.destination import CONFIRMED, BatchOutcome, Event, Outcome
from reverse_etl.errors import DestinationConfigError, DestinationDown, NoAnswer, RejectedClass
from reverse_etl.http import transport_outcome

NOT_SENT = Outcome("rejected", RejectedClass.RETRYABLE, "Not sent: the destination stopped answering before.")


def as_text(value: Any) -> str:
    """A property where every value is a string."""
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else format(Decimal(repr(value)), "f")
    return json.dumps(value, ensure_ascii=False)


def one_by_one(events: Sequence[Event], send: Callable[[Event], Outcome]) -> BatchOutcome:
    """One request each. The first that is not answered, or refused for reasons that are not the event's, ends it: the
    others were certainly not sent."""
    outcomes: dict[str, Outcome] = {}
    for event in events:
        try:
            outcomes[event.key] = send(event)
        except (DestinationDown, NoAnswer) as error:
            failed = transport_outcome(error)
        except DestinationConfigError as error:
            failed = BatchOutcome(Outcome("rejected", RejectedClass.RETRYABLE, error.what), stop=error)
        else:
            continue
        outcomes[event.key] = failed.default
        return replace(failed, default=NOT_SENT, exceptions=outcomes)
    return BatchOutcome(CONFIRMED, outcomes)

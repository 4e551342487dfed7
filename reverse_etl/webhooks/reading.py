"""Values out of a payload that is signed, and may still hold anything."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

from reverse_etl.errors import WebhookRefused
from reverse_etl.limits import limit
from reverse_etl.webhooks.rows import REFUSALS, EmailEvent, EventKind, Found, Unaddressed

_EPOCH = datetime(1970, 1, 1)
_EARLIEST, _LATEST = datetime(2000, 1, 1), datetime(2100, 1, 1)
"""An instant out of these has another unit than was thought."""
_SECONDS_DIGITS = 10
_KEY_LENGTH = 300


class Malformed(ValueError):
    """An item that cannot be read; its text names the field and never a value."""


def json_of(body: bytes) -> Any:
    """The body's JSON.

    Raises:
        WebhookRefused: it is none.
    """
    try:
        return json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError):
        raise not_understood("it is not JSON") from None


def not_understood(why: str) -> WebhookRefused:
    return WebhookRefused(
        f"The webhook's body is not understood: {why}.",
        todo="check that the webhook of this vendor was pointed here, and that its body arrives unchanged",
    )


def bounded(items: list[Any]) -> list[Any]:
    """The items of a body.

    Raises:
        WebhookRefused: more than any vendor sends at once.
    """
    most = limit("webhook", "items")
    if len(items) > most:
        raise not_understood(f"it holds more than {most:,} items")
    return items


def fields(value: Any, what: str = "item") -> Mapping[str, Any]:
    """`value` if it is an object.

    Raises:
        Malformed: it is not.
    """
    if not isinstance(value, dict):
        raise Malformed(f"{what}: not an object")
    return value


def inner(value: Any, *path: str) -> Any:
    """What lies at a path of keys; None where there is nothing."""
    for key in path:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value


def text(value: Any) -> str | None:
    """Text, or a whole number as text; None for anything else and for blanks.

    Half surrogate pairs are replaced: `mailwright load` would put the whole row aside for them.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        return None
    return value.encode("utf-8", "replace").decode("utf-8").strip() or None


def required(value: Any, what: str) -> str:
    """`text(value)`.

    Raises:
        Malformed: there is none.
    """
    found = text(value)
    if found is None:
        raise Malformed(f"{what}: missing or not text")
    return found


def flag(value: Any) -> bool | None:
    """True or false, as such or in letters; None for anything else."""
    if isinstance(value, bool):
        return value
    return {"true": True, "false": False}.get((text(value) or "").lower())


def instant_of_epoch(value: Any, per_second: int = 1) -> datetime | None:
    """Naive UTC of Unix time in seconds (or in parts of one); None if it is none."""
    number = text(value)
    if number is None or not re.fullmatch("[0-9]+", number) or len(number) > _SECONDS_DIGITS + len(str(per_second)) - 1:
        return None
    return _plausible(_EPOCH + timedelta(microseconds=int(number) * 1_000_000 // per_second))


def instant_of_text(value: Any) -> datetime | None:
    """Naive UTC of an ISO 8601 instant, one without offset being UTC; None if it is none."""
    written = text(value)
    if written is None:
        return None
    try:
        return _plausible(naive_utc(datetime.fromisoformat(written)))
    except (ValueError, OverflowError):
        return None


def naive_utc(instant: datetime) -> datetime:
    return instant.astimezone(UTC).replace(tzinfo=None) if instant.tzinfo else instant


def _plausible(instant: datetime) -> datetime | None:
    return instant if _EARLIEST <= instant < _LATEST else None


def key_of(vendor: str, parts: tuple[Any, ...], content: Any) -> str:
    """The key of an event: the vendor's own where all of its parts are there, else a hash of its content.

    Raises:
        Malformed: there is too much nested in it.
    """
    named = [text(part) for part in parts]
    key = "/".join(quote(part, safe=":=+ ") for part in named if part is not None)
    if None in named or len(key) > _KEY_LENGTH:
        try:
            key = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
        except RecursionError:
            raise Malformed("item: nested too deeply") from None
    return f"{vendor}:{key}"


def occurred(event: EventKind | None, instant: datetime | None, received_at: datetime) -> datetime:
    """When it happened. A refusal whose date cannot be read was made when it arrived: it is never lost for that.

    Raises:
        Malformed: no readable date of anything else.
    """
    if instant is None and event not in REFUSALS:
        raise Malformed("date: missing, or not one")
    return received_at if instant is None else instant


def addressed(event: EmailEvent, person_id: Any) -> Found:
    """The row, or an event to be looked up where the payload gives a person's id alone.

    Raises:
        Malformed: it gives neither.
    """
    if event.email:
        return event
    return Unaddressed(required(person_id, "address, or id of a person"), event)

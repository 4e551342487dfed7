"""What came back from SendGrid's mail, as far as it can be asked for: its lists of suppressions.

Source: Suppressions specification 1.0.0. Who opened and clicked what is told by the Event Webhook alone: the Email
Activity API is a paid add-on that shows a message at a time and some days of them. An entry of a list has no id that
the webhook knows too; list, address and date are its key.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from reverse_etl.destinations.sendgrid_api import KIND, Api
from reverse_etl.engagement import EngagementPage, Since, newest, read_page
from reverse_etl.limits import limit
from reverse_etl.webhooks import sendgrid as webhook
from reverse_etl.webhooks.reading import fields, text
from reverse_etl.webhooks.rows import Found

_LISTS: dict[str, dict[str, str]] = {
    "bounces": {"event": "bounce", "type": "bounce"},
    "blocks": {"event": "bounce", "type": "blocked"},
    "spam_reports": {"event": "spamreport"},
    "unsubscribes": {"event": "unsubscribe"},
}
"""List → the event that the webhook calls the same. Not here, on purpose: `invalid_emails`, to whom nothing was sent (a
sync's look at the suppressions keeps them)."""
GROUPS = "groups"


def pull(api: Api, since: Since, now: datetime) -> Iterator[EngagementPage]:
    """Pages of each list, and who left a group of mailings: those are always all of them."""
    for name, event in _LISTS.items():
        yield from _of_list(api, name, event, since, now)
    rows = api.ask("GET", "/asm/suppressions") or []
    page = read_page(
        GROUPS, rows, lambda row: _read(row, "created_at", {"event": "group_unsubscribe"}, f"group/{_group(row)}", now)
    )
    yield EngagementPage(GROUPS, page.found, page.rejected, newest(page, now))


def _of_list(api: Api, name: str, event: dict[str, str], since: Since, now: datetime) -> Iterator[EngagementPage]:
    size, offset, after = limit(KIND, "suppression_page_size"), 0, since(name)
    window = {} if after is None else {"start_time": int(after.replace(tzinfo=UTC).timestamp())}
    reached = after
    while True:
        rows = api.ask("GET", f"/suppression/{name}", params={**window, "limit": size, "offset": offset}) or []
        page = read_page(name, rows, lambda row: _read(row, "created", event, name, now))
        reached = newest(page, now, reached)
        offset += size
        is_last = len(rows) < size
        # the order within a list is not documented: what is reached is known when all of it is read
        yield EngagementPage(name, page.found, page.rejected, reached if is_last else None)
        if is_last:
            return


def _read(row: Any, date: str, event: dict[str, str], of: str, now: datetime) -> Found:
    row = fields(row)
    # the reason may be worded anew, so it is no part of the key
    email = (text(row.get("email")) or "").lower()
    return webhook.read({**event, "of": of, "email": email, "timestamp": _seconds(row.get(date))}, now)


def _seconds(value: Any) -> Any:
    """The specification has whole numbers in some lists, and numbers in others."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _group(row: Any) -> str:
    return text(fields(row).get("group_id")) or ""

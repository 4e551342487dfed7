"""What a Mailchimp audience did with its mail: the reports of each mailing.

Source: Marketing API 3.0.55 specification, reports. There is no list of all events: each mailing is asked for by
itself, for `engagement_days` after it was sent. Its activities have no ids; mailing, person, action and second are
their key. Who was sent a mailing is asked for once, when it has gone out to everybody.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from reverse_etl.engagement import EngagementPage, Since, newest, read_page
from reverse_etl.limits import limit
from reverse_etl.webhooks.reading import fields, instant_of_text, key_of, occurred, required, text
from reverse_etl.webhooks.rows import EmailEvent, EventKind, Found, NoRow

KIND = "mailchimp"
MAILINGS, COMPLAINTS = "mailings", "complaints"
_ACTIONS: dict[str, EventKind] = {"open": "open", "click": "click", "bounce": "bounce"}


class Pages(Protocol):
    """The rows `what` of all pages of a path, with the named fields."""

    def __call__(self, path: str, what: str, fields: str, **params: Any) -> Iterator[list[dict[str, Any]]]: ...


def pull(pages: Pages, list_id: str, since: Since, now: datetime) -> Iterator[EngagementPage]:
    """Pages of the audience's mailings, those of other audiences left out."""
    after = since(MAILINGS)
    known = {} if after is None else {"since_send_time": _text(after - timedelta(days=limit(KIND, "engagement_days")))}
    names = "reports.id,reports.list_id,reports.send_time"
    mailings = [row for page in pages("/reports", "reports", names, **known) for row in page]
    for mailing in mailings:
        own, sent_at = text(mailing.get("id")), instant_of_text(mailing.get("send_time"))
        if mailing.get("list_id") == list_id and own is not None and sent_at is not None:
            yield from _of_mailing(pages, own, sent_at, since, now)
    yield EngagementPage(MAILINGS, reached=now)
    # of all mailings: those of one are told without pages, and so perhaps not all
    shown = ",".join(f"abuse_reports.{name}" for name in ("campaign_id", "email_id", "email_address", "date"))
    for page in pages(f"/lists/{list_id}/abuse-reports", "abuse_reports", shown):
        yield read_page(COMPLAINTS, page, lambda row: _refused("complaint", row, "date", None, now))


def _of_mailing(pages: Pages, mailing: str, sent_at: datetime, since: Since, now: datetime) -> Iterator[EngagementPage]:
    path, stream, sent = f"/reports/{mailing}", f"mailing/{mailing}", f"sent/{mailing}"
    asked_at = since(sent)
    has_gone_out = now - sent_at >= timedelta(hours=limit(KIND, "sent_to_after_hours"))
    if has_gone_out and (asked_at is None or asked_at < sent_at):
        shown = "sent_to.email_id,sent_to.email_address,sent_to.status"
        for page in pages(f"{path}/sent-to", "sent_to", shown):
            yield read_page(sent, page, lambda row: _sent(row, mailing, sent_at, now))
        yield EngagementPage(sent, reached=now)
    # this one knows no `since`
    shown = "unsubscribes.email_id,unsubscribes.email_address,unsubscribes.timestamp"
    for page in pages(f"{path}/unsubscribed", "unsubscribes", shown):
        yield read_page(stream, page, lambda row: _refused("unsubscribe", row, "timestamp", mailing, now))
    after = since(stream)
    asked: dict[str, Any] = {} if after is None else {"since": _text(after)}
    reached = after or sent_at
    for page in pages(f"{path}/email-activity", "emails", "emails", **asked):
        done = read_page(stream, _activities(page), lambda one: _activity(one[0], one[1], mailing, now))
        reached = newest(done, now, reached)
        yield done
    yield EngagementPage(stream, reached=reached)


def _text(instant: datetime) -> str:
    return instant.replace(tzinfo=UTC, microsecond=0).isoformat()


def _activities(page: list[Any]) -> Iterator[tuple[Any, Any]]:
    """(person, what she did), once for each thing that she did."""
    for row in page:
        activities = row.get("activity") if isinstance(row, dict) else [None]
        for activity in activities if isinstance(activities, list) else []:
            yield row, activity


def _event(kind: EventKind, row: Any, mailing: str | None, at: datetime | None, now: datetime, *key: Any) -> EmailEvent:
    person = text(row.get("email_id"))
    content = [kind, mailing, row.get("email_address"), *key]
    return EmailEvent(
        event_id=key_of(KIND, (kind, mailing, person, *key), content),
        event=kind,
        email=required(row.get("email_address"), "email_address"),
        occurred_at=occurred(kind, at, now),
        received_at=now,
        # a mailing's message: with the person, the one that she got
        message_id=f"{mailing}/{person}" if mailing and person else None,
        campaign_id=mailing,
    )


def _sent(row: Any, mailing: str, sent_at: datetime, now: datetime) -> Found:
    return _event("sent", fields(row), mailing, sent_at, now)


def _refused(kind: EventKind, row: Any, dated: str, mailing: str | None, now: datetime) -> Found:
    date = fields(row).get(dated)
    mailing = mailing or text(row.get("campaign_id"))
    return _event(kind, row, mailing, instant_of_text(date), now, text(date) or "")


def _activity(row: Any, activity: Any, mailing: str, now: datetime) -> Found:
    activity = fields(activity, "activity")
    action = required(activity.get("action"), "action")
    kind = _ACTIONS.get(action)
    if kind is None:
        return NoRow(action)
    date, url, bounce = activity.get("timestamp"), text(activity.get("url")), text(activity.get("type"))
    more = {"click": (url,), "bounce": (bounce,)}.get(kind, ())
    event = _event(kind, fields(row), mailing, instant_of_text(date), now, date, *more)
    return EmailEvent(
        **{
            **vars(event),
            "link_url": url if kind == "click" else None,
            "ip": text(activity.get("ip")) if kind != "bounce" else None,
            "bounce_type": bounce if kind == "bounce" and bounce in {"hard", "soft"} else None,
        }
    )

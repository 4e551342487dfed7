"""The reports of the Mailchimp twin: what the vendor's API 3.0.55 shows of each mailing [spec].

Without a source: in which order a report lists people (here as they acted), that a person without any activity since
`since` is left out, and that `since` and `since_send_time` are exclusive ("after", "occur after").
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox.twins.mail import MailEvent, Mailing, campaign_route
from sandbox.twins.mailchimp_members import page
from sandbox.twins.mailchimp_store import DEFAULT_LIST, Store, subscriber_hash
from sandbox.twins.mailchimp_view import answer, not_found


def _text(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S+00:00")


def _after(request: Request, name: str) -> Callable[[datetime], bool]:
    given = request.query_params.get(name)
    since = datetime.fromisoformat(given.replace(" ", "+")) if given else None
    return lambda at: since is None or at.replace(microsecond=0) > since


def _person(email: str, mailing: Mailing) -> dict[str, Any]:
    return {
        "campaign_id": mailing.id,
        "list_id": mailing.audience or DEFAULT_LIST,
        "list_is_active": True,
        "email_id": subscriber_hash(email),
        "email_address": email,
    }


def _activity(event: MailEvent) -> dict[str, Any]:
    shown = {"action": event.kind, "timestamp": _text(event.at)}
    names = {"open": ("ip",), "click": ("url", "ip"), "bounce": ("type",)}[event.kind]
    return shown | {name: event.detail[name] for name in names if name in event.detail}


class Reports:
    """Each method answers one operation of the vendor's specification."""

    def __init__(self, store: Store) -> None:
        self.mail = store.mail

    def _page(self, request: Request, name: str, rows: list[dict[str, Any]], **more: Any) -> Response:
        offset, count = page(request)
        document = {name: rows[offset : offset + count], **more, "total_items": len(rows)}
        return answer(document, request.query_params.get("fields"))

    async def reports(self, request: Request) -> Response:
        is_after = _after(request, "since_send_time")
        rows = []
        for one in self.mail.mailings():
            if is_after(one.sent_at):
                counts = {k: len(self.mail.events(k, mailing=one.id)) for k in ("sent", "unsubscribe", "complaint")}
                rows.append(
                    {
                        "id": one.id, "campaign_title": f"Simulated {one.id}", "type": "regular",
                        "list_id": one.audience or DEFAULT_LIST, "list_is_active": True,
                        "emails_sent": counts["sent"], "unsubscribed": counts["unsubscribe"],
                        "abuse_reports": counts["complaint"], "send_time": _text(one.sent_at),
                    }
                )  # fmt: skip
        return self._page(request, "reports", rows)

    async def email_activity(self, request: Request, mailing: Mailing) -> Response:
        is_after = _after(request, "since")
        people: dict[str, list[dict[str, Any]]] = {}
        if "since" not in request.query_params:
            people = {event.email: [] for event in self.mail.events("sent", mailing=mailing.id)}
        for event in self.mail.events("open", "click", "bounce", mailing=mailing.id):
            if is_after(event.at):
                people.setdefault(event.email, []).append(_activity(event))
        rows = [{**_person(email, mailing), "activity": done} for email, done in people.items()]
        return self._page(request, "emails", rows, campaign_id=mailing.id)

    async def sent_to(self, request: Request, mailing: Mailing) -> Response:
        bounces = {event.email: event.detail["type"] for event in self.mail.events("bounce", mailing=mailing.id)}
        people = dict.fromkeys(event.email for event in self.mail.events("sent", mailing=mailing.id))
        rows = [{**_person(email, mailing), "status": bounces.get(email, "sent")} for email in people]
        return self._page(request, "sent_to", rows, campaign_id=mailing.id)

    async def unsubscribed(self, request: Request, mailing: Mailing) -> Response:
        events = self.mail.events("unsubscribe", mailing=mailing.id)
        rows = [{**_person(e.email, mailing), "timestamp": _text(e.at), "reason": "None given"} for e in events]
        return self._page(request, "unsubscribes", rows, campaign_id=mailing.id)

    async def abuse_reports(self, request: Request) -> Response:
        """Those of a whole audience: of one mailing they have no pages [spec]."""
        list_id = request.path_params["list_id"]
        mailings = {one.id: one for one in self.mail.mailings()}
        rows = [
            {"id": event.seq, **_person(event.email, mailings[event.mailing]), "date": _text(event.at)}
            for event in self.mail.events("complaint")
        ]
        rows = [{k: v for k, v in row.items() if k != "list_is_active"} for row in rows if row["list_id"] == list_id]
        return self._page(request, "abuse_reports", rows, list_id=list_id)


def _consequence(store: Store) -> Callable[[str, str, datetime, dict[str, Any]], None]:
    """The vendor ends a subscription whose owner left or complained, and cleans an address that bounced hard [vdoc]."""

    def effect(kind: str, email: str, at: datetime, detail: dict[str, Any]) -> None:
        del at
        found = store.member(DEFAULT_LIST, subscriber_hash(email))
        if found is None:
            return
        if kind in {"unsubscribe", "complaint"}:
            found.status, found.unsubscribed_by = "unsubscribed", "member"
        elif kind == "bounce" and detail.get("type") == "hard":
            found.status = "cleaned"
        else:
            return
        store.put_member(DEFAULT_LIST, found)

    return effect


def report_routes(store: Store) -> list[Route]:
    """The operations on reports, and the twin's own way to have something in them."""
    ends = Reports(store)
    store.mail.effect = _consequence(store)

    def of_mailing(name: str, method: Callable[[Request, Mailing], Any]) -> Route:
        async def endpoint(request: Request) -> Response:
            wanted = request.path_params["campaign_id"]
            found = next((one for one in store.mail.mailings() if one.id == wanted), None)
            return not_found() if found is None else await method(request, found)

        return Route(f"/3.0/reports/{{campaign_id}}/{name}", endpoint)

    def audience(segment: str | None) -> list[str]:
        segment_id = None if segment is None else store.segment_named(DEFAULT_LIST, segment)
        members, _ = store.members(DEFAULT_LIST, status="subscribed", segment_id=segment_id)
        return [] if segment is not None and segment_id is None else [member.email_address for member in members]

    return [
        Route("/3.0/reports", ends.reports),
        of_mailing("email-activity", ends.email_activity),
        of_mailing("sent-to", ends.sent_to),
        of_mailing("unsubscribed", ends.unsubscribed),
        Route("/3.0/lists/{list_id}/abuse-reports", ends.abuse_reports),
        campaign_route(store.mail, audience, DEFAULT_LIST),
    ]

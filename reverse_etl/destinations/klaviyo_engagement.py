"""What people did with Klaviyo's mail: the events of its metrics, oldest first.

Source: API specification 2026-07-15, `GET /events` and `GET /metrics`. An event is the one that a webhook calls back
with, and has the same id: it is read by the webhooks' own reader. A metric's name is a webhook topic in other letters
("Opened Email", `opened_email`) [unverified for names that the vendor's pages do not show].
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from reverse_etl.destinations.klaviyo_client import KIND, Client
from reverse_etl.engagement import EngagementPage, Since, newest, read_page
from reverse_etl.limits import limit
from reverse_etl.webhooks import klaviyo as webhook
from reverse_etl.webhooks.reading import fields, inner
from reverse_etl.webhooks.rows import Found


def pull(client: Client, since: Since, now: datetime) -> Iterator[EngagementPage]:
    """Pages of each metric that becomes rows."""
    for topic, metric in sorted(_metrics(client).items()):
        yield from _of_metric(client, topic, metric, since, now)


def _metrics(client: Client) -> dict[str, str]:
    """Topic → the id of the vendor's own metric."""
    query = {"filter": 'equals(integration.name,"Klaviyo")', "fields[metric]": "name"}
    found: dict[str, str] = {}
    for page in client.pages("/metrics", query, size=None):
        for row in page:
            topic = str(inner(row, "attributes", "name")).strip().lower().replace(" ", "_")
            if topic in webhook.TOPICS:
                found[topic] = str(row["id"])
    return found


def _of_metric(client: Client, topic: str, metric: str, since: Since, now: datetime) -> Iterator[EngagementPage]:
    wanted = [f'equals(metric_id,"{metric}")']
    after = since(topic)
    if after is not None:
        wanted.append(f"greater-or-equal(datetime,{after.replace(tzinfo=UTC, microsecond=0).isoformat()})")
    query = {"filter": ",".join(wanted), "sort": "datetime", "include": "profile", "fields[profile]": "email"}
    for body in client.bodies("/events", query, size=limit(KIND, "events_page_size")):
        people = {inner(one, "id"): one for one in body.get("included") or [] if inner(one, "type") == "profile"}

        def read(event: Any, people: dict[Any, Any] = people) -> Found:
            person = people.get(inner(fields(event), "relationships", "profile", "data", "id"))
            payload = {"data": event, "included": [person] if person else []}
            return webhook.read({"topic": webhook.PREFIX + topic, "payload": payload}, now)

        page = read_page(topic, body.get("data") or [], read)
        yield EngagementPage(topic, page.found, page.rejected, newest(page, now, after))

"""Events at the Klaviyo twin. Sources as in `klaviyo_jobs`."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from sandbox.twins.klaviyo_jobs import Refused, Worker
from sandbox.twins.klaviyo_store import Store, now_text

MAX_EVENTS = 1000  # [spec] "Accepts up to 1,000 events per request"
MAX_METRIC_NAME = 127  # [spec] "Must be less than 128 characters"
MAX_PROPERTIES = 400  # [spec] "must not exceed 400 properties"
MAX_STRING = 100_000  # [spec] "A single string cannot exceed 100KB"


class EventEndpoints:
    """Each method answers one operation of the vendor's specification."""

    store: Store
    worker: Worker

    async def create_event(self, request: Request) -> Response:
        """[spec] "If the unique_id is repeated for the same profile and metric, only the first processed event will be
        recorded"."""
        attributes = (await request.json())["data"]["attributes"]
        event = self._event(attributes, self._profile_of(attributes["profile"]["data"]), "/data")
        with self.store:
            if not self.store.events.has(event["person"], event["name"], event["key"]):
                self.store.events.add(**event)
        return Response(status_code=202)

    async def create_events(self, request: Request) -> Response:
        """[spec] 202 without a body: there is no job that one could ask about."""
        entries = (await request.json())["data"]["attributes"]["events-bulk-create"]["data"]
        path = "/data/attributes/events-bulk-create/data"
        events = [
            self._event(row["attributes"], self._profile_of(entry["attributes"]["profile"]["data"]), f"{path}/{at}")
            for at, entry in enumerate(entries)
            for row in entry["attributes"]["events"]["data"]
        ]
        if not 0 < len(events) <= MAX_EVENTS:
            raise Refused(f"At most {MAX_EVENTS} events are taken.", path)  # [unv] wording
        self.worker.accept("events", {"events": events}, len(events))
        return Response(status_code=202)

    def _profile_of(self, data: dict[str, Any]) -> str:
        """Its id. An address would create a profile [spec]: the twin takes none, so a sync that tries is caught."""
        found = self.store.profile_by_id(str(data.get("id") or ""))
        if found is None:
            raise Refused("A profile with this id does not exist.", "/data")  # [unv] what an unknown id comes to
        return found.id

    @staticmethod
    def _event(attributes: dict[str, Any], profile_id: str, pointer: str) -> dict[str, Any]:
        name, properties = attributes["metric"]["data"]["attributes"]["name"], attributes["properties"]
        if len(name) > MAX_METRIC_NAME or len(properties) > MAX_PROPERTIES:
            raise Refused(
                "The metric's name, or the number of properties, is over the limit.", pointer
            )  # [unv] wording
        if any(isinstance(value, str) and len(value.encode()) > MAX_STRING for value in properties.values()):
            raise Refused("A string is over the limit.", pointer)  # [unv] wording
        occurred_at = attributes.get("time") or now_text()
        key = attributes.get("unique_id") or occurred_at[:19]  # [spec] else "the time to the second"
        return {"person": profile_id, "name": name, "key": key, "occurred_at": occurred_at, "properties": properties}

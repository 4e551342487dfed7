"""HubSpot's API as its connector uses it: windows of requests, the day's quota, refusals as clear errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx

from reverse_etl.destination import Traffic
from reverse_etl.destinations.hubspot_answers import detail_of, is_busy, no_requests_left, quota_used_up
from reverse_etl.errors import DestinationConfigError
from reverse_etl.http import Bearer, HttpClient, RetryPolicy, body_of
from reverse_etl.limiter import Limiter, Window
from reverse_etl.limits import limit, limits_of

KIND = "hubspot"
BASE_URL = "https://api.hubapi.com"
CONTACTS = "/crm/v3/objects/contacts"


class Api:
    """One account. Thread-safe."""

    def __init__(
        self,
        token: str,
        base_url: str,
        *,
        transport: httpx.BaseTransport | None,
        sleep: Callable[[float], None],
        clock: Callable[[], float],
        timeout: float | None,
        retry: RetryPolicy | None,
    ) -> None:
        self.http = HttpClient(
            base_url,
            auth=Bearer(token),
            connections=limit(KIND, "connections_used"),
            timeout=timeout or limits_of(KIND)["timeout_seconds"].value,
            secrets=(token,),
            headers={"Accept": "application/json"},
            transport=transport,
            sleep=sleep,
            is_throttle=is_busy,
            hopeless=quota_used_up,
            retry=retry,
        )
        windows = (
            Window(limit(KIND, "requests_per_10_seconds"), 10),
            Window(limit(KIND, "requests_per_second"), 1),
        )
        self._limiter = Limiter(*windows, clock=clock, sleep=sleep)
        # a search is not counted in the others' windows: its answers have no headers of theirs [recorded]
        self._search_limiter = Limiter(Window(limit(KIND, "searches_per_second"), 1), clock=clock, sleep=sleep)
        self._left_today: int | None = None
        """The day's requests that are left, as the last answer said."""

    @property
    def traffic(self) -> Traffic:
        return self.http.traffic

    def send(
        self,
        method: str,
        path: str,
        *,
        params: Any = None,
        json: Any = None,
        repeatable: bool = True,
        is_read: bool = False,
    ) -> tuple[int, Any]:
        """(status, body) of any answer that is no throttle and no 5xx; raises as `HttpClient.request`."""
        if self._left_today is not None and self._left_today <= limit(KIND, "requests_left_to_others"):
            raise no_requests_left()
        is_search = path.endswith("/search")
        response = self.http.request(
            method,
            path,
            params=params,
            json=json,
            repeatable=repeatable,
            is_read=is_read or is_search,
            limiter=self._search_limiter if path == f"{CONTACTS}/search" else self._limiter,
        )
        left = response.headers.get("x-hubspot-ratelimit-daily-remaining", "")
        if left.isdigit():
            self._left_today = int(left)
        return response.status_code, body_of(response)

    def ask(self, method: str, path: str, **options: Any) -> Any:
        """The body of an answer that must be good, else one clear error."""
        status, body = self.send(method, path, **options)
        if status >= 300:
            raise self.refusal(status, body)
        return body

    def refusal(self, status: int, body: object) -> DestinationConfigError:
        where = self.http.where
        if status == 401:
            return DestinationConfigError(
                "HubSpot does not accept the access token.",
                where=where,
                todo="set HUBSPOT_ACCESS_TOKEN to the token of a private app of this account",
            )
        if status == 403:
            return DestinationConfigError(
                f"The HubSpot access token has not all rights that a sync needs: {self.http.clean(detail_of(body))}",
                where=where,
                todo="give its app crm.objects.contacts, crm.schemas.contacts and crm.lists (read and write), "
                "communication_preferences.read_write and communication_preferences.statuses.batch.read and .write; "
                "the last two need Marketing Hub Enterprise",
            )
        if status == 404:
            return DestinationConfigError(
                "HubSpot does not know something that was there before (a list?).",
                where=where,
                todo="run `mailwright plan`: it looks again at what is there",
            )
        return DestinationConfigError(
            f"HubSpot refused ({status}): {self.http.clean(detail_of(body))}",
            where=where,
            todo="correct what it names, then run `mailwright plan`",
        )

"""SendGrid's API as its connector uses it: limits per minute, refusals as clear errors, contacts by their addresses."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import httpx

from reverse_etl.destination import Traffic
from reverse_etl.destinations.sendgrid_answers import contact_hash, detail_of
from reverse_etl.errors import DestinationConfigError
from reverse_etl.http import Bearer, HttpClient, RetryPolicy, body_of
from reverse_etl.limiter import Limiter, Window
from reverse_etl.limits import limit, limits_of

KIND = "sendgrid"
BASE_URL = "https://api.sendgrid.com/v3"


class Api:
    """One account. Thread-safe."""

    def __init__(
        self,
        api_key: str,
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
            auth=Bearer(api_key),
            connections=limit(KIND, "connections_used"),
            timeout=timeout or limits_of(KIND)["timeout_seconds"].value,
            secrets=(api_key,),
            headers={"Accept": "application/json"},
            transport=transport,
            sleep=sleep,
            retry=retry,
        )

        def limiter(name: str) -> Limiter:
            return Limiter(Window(limit(KIND, f"{name}_requests_per_minute"), 60), clock=clock, sleep=sleep)

        # each of these has a counter of its own [recorded]
        self._limiters = {"PUT": limiter("contact"), "search": limiter("contact"), "other": limiter("other")}

    @property
    def traffic(self) -> Traffic:
        return self.http.traffic

    def send(
        self, method: str, path: str, *, params: Any = None, json: Any = None, repeatable: bool = True
    ) -> tuple[int, Any]:
        """(status, body) of any answer that is no throttle and no 5xx; raises as `HttpClient.request`."""
        is_search = "/contacts/search/" in path
        name = "search" if is_search else "PUT" if method == "PUT" else "other"
        response = self.http.request(
            method,
            path,
            params=params,
            json=json,
            repeatable=repeatable,
            is_read=is_search or path.endswith("/exports"),
            limiter=self._limiters[name],
        )
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
                "SendGrid does not accept the API key.",
                where=where,
                todo="set SENDGRID_API_KEY to a key of this account (and SENDGRID_BASE_URL, if it is an EU one)",
            )
        if status == 403:
            return DestinationConfigError(
                f"The SendGrid API key has not all rights that a sync needs: {self.http.clean(detail_of(body))}",
                where=where,
                todo="give it full access to Marketing and to Suppressions",
            )
        if status == 404:
            return DestinationConfigError(
                "SendGrid does not know something that was there before (a list?).",
                where=where,
                todo="run `mailwright plan`: it looks again at what is there",
            )
        return DestinationConfigError(
            f"SendGrid refused ({status}): {self.http.clean(detail_of(body))}",
            where=where,
            todo="correct what it names, then run `mailwright plan`",
        )

    def look_up(self, emails: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Subscriber hash → contact, for those of these (primary) addresses that are contacts."""
        found: dict[str, dict[str, Any]] = {}
        size = limit(KIND, "contacts_per_lookup")
        for at in range(0, len(emails), size):
            for contact in self._look_up([email.lower() for email in emails[at : at + size]]):
                found[contact_hash(str(contact.get("email") or ""))] = contact
        asked = {contact_hash(email) for email in emails}
        # a contact is found by its further addresses too, which are not hers to us
        return {key: contact for key, contact in found.items() if key in asked}

    def _look_up(self, emails: list[str]) -> Iterator[dict[str, Any]]:
        status, body = self.send("POST", "/marketing/contacts/search/identifiers/email", json={"identifiers": emails})
        if status == 404:  # none of them [specification]
            return
        if status == 400:  # one of them is no address in the vendor's eyes, and so belongs to no contact
            middle = len(emails) // 2
            for half in (emails[:middle], emails[middle:]) if middle else ():
                yield from self._look_up(half)
            return
        if status >= 300:
            raise self.refusal(status, body)
        for answer in ((body or {}).get("result") or {}).values():
            if answer.get("contact"):
                yield answer["contact"]

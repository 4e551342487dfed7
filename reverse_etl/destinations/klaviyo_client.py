"""Klaviyo over HTTP: headers, pace, pages, and requests that are refused as a whole because of one record."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import httpx

from reverse_etl.destination import Outcome, Record
from reverse_etl.destinations.klaviyo_answers import (
    Action,
    Standing,
    action_of,
    body_of,
    detail_of,
    errors_of,
    outcome_of_error,
    position_of,
    standing_of,
)
from reverse_etl.errors import DestinationConfigError, DestinationDown, NoAnswer, RejectedClass
from reverse_etl.http import HttpClient, RetryPolicy
from reverse_etl.limiter import Limiter, Window
from reverse_etl.limits import limit, limits_of

KIND = "klaviyo"
REVISION = "2026-07-15"
MEDIA_TYPE = "application/vnd.api+json"
_MOST_SPLITS = 40

# each operation has windows of its own [specification, x-klaviyo-ratelimit]
_PACES = (
    ("POST", r"/profile-bulk-import-jobs", "bulk"),
    ("GET", r"/profile-bulk-import-jobs", "bulk"),
    ("GET", r"/profile-bulk-import-jobs/[^/]+", "bulk"),
    ("GET", r"/profile-bulk-import-jobs/[^/]+/profiles", "bulk"),
    ("GET", r"/profile-bulk-import-jobs/[^/]+/import-errors", "bulk"),
    ("POST", r"/lists", "bulk"),
    ("POST", r"/lists/[^/]+/relationships/profiles", "bulk"),
    ("DELETE", r"/lists/[^/]+/relationships/profiles", "bulk"),
    ("POST", r"/event-bulk-create-jobs", "bulk"),
    ("POST", r"/events", "event"),
    ("GET", r"/lists", "each"),
    ("GET", r"/lists/[^/]+", "each"),
    ("GET", r"/profiles", "each"),
    ("GET", r"/metrics", "bulk"),
    ("GET", r"/events", "events"),
    ("POST", r"/profile-import", "each"),
    ("POST", r"/profile-subscription-bulk-create-jobs", "each"),
    ("POST", r"/profile-subscription-bulk-delete-jobs", "each"),
)


class Pace:
    """The limiter of each operation: the vendor counts them apart."""

    def __init__(self, clock: Callable[[], float], sleep: Callable[[float], None]) -> None:
        self._limiters = [
            (
                method,
                re.compile(path),
                Limiter(
                    Window(limit(KIND, f"{name}_per_second"), 1.0),
                    Window(limit(KIND, f"{name}_per_minute"), 60.0),
                    clock=clock,
                    sleep=sleep,
                ),
            )
            for method, path, name in _PACES
        ]

    def of(self, method: str, path: str) -> Limiter:
        for its_method, pattern, limiter in self._limiters:
            if method == its_method and pattern.fullmatch(path):
                return limiter
        raise AssertionError(f"no pace is known for {method} {path}")


@dataclass
class Delivery:
    """What became of records that were sent together: requests that were taken, and outcomes of all others."""

    taken: list[tuple[list[Record], Any]] = field(default_factory=list)
    exceptions: dict[str, Outcome] = field(default_factory=dict)
    stop: Exception | None = None


class Client:
    """One account."""

    def __init__(
        self,
        api_key: str,
        list_id: str,
        *,
        base_url: str,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
        timeout: float | None = None,
        retry: RetryPolicy | None = None,
    ) -> None:
        self.list_id = list_id
        self._pace = Pace(clock, sleep)
        self.http = HttpClient(
            base_url,
            auth=None,
            connections=limit(KIND, "connections_used"),
            timeout=timeout or limits_of(KIND)["timeout_seconds"].value,
            headers={
                "Authorization": f"Klaviyo-API-Key {api_key}",
                "revision": REVISION,
                "Accept": MEDIA_TYPE,
                "Content-Type": MEDIA_TYPE,
            },
            secrets=(api_key,),
            transport=transport,
            sleep=sleep,
            retry=retry,
        )

    def request(
        self,
        method: str,
        path: str,
        *,
        params: dict[str, Any] | None = None,
        json: Any = None,
        repeatable: bool = True,
    ) -> httpx.Response:
        """As `HttpClient.request`, at the pace that its operation allows."""
        limiter = self._pace.of(method, path)
        return self.http.request(method, path, params=params, json=json, repeatable=repeatable, limiter=limiter)

    def refusal(self, status: int, body: object) -> DestinationConfigError:
        if status in {401, 403}:
            return DestinationConfigError(
                f"Klaviyo does not accept the API key, or it lacks a right: {self.http.clean(detail_of(body))}",
                where=self.http.where,
                todo="set KLAVIYO_API_KEY to a private key that reads and writes profiles, lists and subscriptions, "
                "and reads metrics and events",
            )
        if status == 404:
            return DestinationConfigError(
                "Klaviyo does not know this list, or something that was there before.",
                where=f"{self.http.where}/lists/{self.list_id}",
                todo="set KLAVIYO_LIST_ID to a list of this account, then run `mailwright plan`",
            )
        return DestinationConfigError(
            f"Klaviyo refused ({status}): {self.http.clean(detail_of(body))}",
            where=self.http.where,
            todo="correct what it names, then run `mailwright plan`",
        )

    def get(self, path: str, **params: Any) -> Any:
        """The body of an answer that must be good, else one clear error."""
        body = self.find(path, **params)
        if body is None:
            raise self.refusal(404, None)
        return body

    def find(self, path: str, **params: Any) -> Any:
        """The same, or None where there is no such thing."""
        response = self.request("GET", path, params=params)
        action, body = action_of(response.status_code), body_of(response)
        if action is Action.ABSENT:
            return None
        if action is not Action.DONE:
            raise self.refusal(response.status_code, body)
        return body

    def pages(
        self,
        path: str,
        query: Mapping[str, Any] | None = None,
        *,
        may_be_gone: bool = False,
        size: int | None = limit(KIND, "page_size"),
    ) -> Iterator[list[dict[str, Any]]]:
        """The resources of all pages; see `bodies`."""
        for body in self.bodies(path, query, may_be_gone=may_be_gone, size=size):
            if body.get("data"):
                yield body["data"]

    def bodies(
        self, path: str, query: Mapping[str, Any] | None = None, *, may_be_gone: bool = False, size: int | None
    ) -> Iterator[dict[str, Any]]:
        """All pages; of the link to the next one nothing but its cursor is followed.

        `may_be_gone`: what the path names may not exist any more, and then has no pages. `size`: of a page; None where
        the operation takes none.
        """
        params: dict[str, Any] = {**({} if size is None else {"page[size]": size}), **(query or {})}
        while True:
            body = self.find(path, **params) if may_be_gone else self.get(path, **params)
            if body is None:
                return
            yield body
            following = (body.get("links") or {}).get("next") or ""
            cursor = parse_qs(urlsplit(following).query).get("page[cursor]")
            if not cursor:
                return
            params["page[cursor]"] = cursor[0]

    def standings(self, emails: Sequence[str]) -> dict[str, Standing]:
        """Lower-case address → how she stands towards our mail; who has no profile is left out."""
        found: dict[str, Standing] = {}
        for some in filters(sorted({email.lower() for email in emails})):
            fields = {"fields[profile]": "email,subscriptions", "additional-fields[profile]": "subscriptions"}
            for page in self.pages("/profiles", {"filter": some, **fields}):
                found |= dict(self.standings_in(page))
        return found

    def standings_in(self, page: Iterable[dict[str, Any]]) -> Iterator[tuple[str, Standing]]:
        for row in page:
            email = row["attributes"].get("email")
            if email:
                yield str(email).lower(), standing_of(row["attributes"], self.list_id)

    def deliver(
        self,
        method: str,
        path: str,
        records: Sequence[Record],
        body: Callable[[list[Record]], Any],
        *,
        repeatable: bool = True,
        on_absent: Callable[[], Exception | None] | None = None,
    ) -> Delivery:
        """Send records together. A request that is refused goes out again without the records that the answer names,
        or in halves where it names none, until the one at fault is alone: it costs nobody else the delivery.

        `on_absent` says whether a 404 is about everything (an error) or about a record (None).
        """
        done = Delivery()
        waiting, splits = [list(records)] if records else [], _MOST_SPLITS
        while waiting:
            part = waiting.pop()
            if done.stop is not None:
                done.exceptions |= _all(part, "rejected", "Not sent: the destination stopped answering before.")
                continue
            try:
                response = self.request(method, path, json=body(part), repeatable=repeatable)
            except NoAnswer as error:
                done.exceptions |= _all(part, "in_doubt", error.what)
                done.stop = error
                continue
            except DestinationDown as error:
                done.exceptions |= _all(part, "rejected", error.what)
                done.stop = error
                continue
            action, answer = action_of(response.status_code), body_of(response)
            if action is Action.DONE:
                done.taken.append((part, answer))
                continue
            error: Exception | None = self.refusal(response.status_code, answer)
            if action is Action.ABSENT and on_absent is not None:
                error = on_absent()
            if action is Action.STOP or (action is Action.ABSENT and error is not None):
                done.exceptions |= _all(part, "rejected", getattr(error, "what", ""))
                done.stop = error
                continue
            named = {at: e for e in errors_of(answer) if (at := position_of(e)) is not None and at < len(part)}
            for at, one in named.items():
                done.exceptions[part[at].key] = outcome_of_error(one, self.http.clean)
            rest = [record for at, record in enumerate(part) if at not in named]
            if named:
                waiting += [rest] if rest else []
            elif len(part) == 1 or splits <= 0:
                why = Outcome("rejected", RejectedClass.DATA, self.http.clean(detail_of(answer)))
                done.exceptions |= {record.key: why for record in part}
            else:
                splits -= 1
                middle = len(part) // 2
                waiting += [part[middle:], part[:middle]]
        return done


def _all(records: Sequence[Record], kind: Any, message: str) -> dict[str, Outcome]:
    outcome = Outcome(kind, RejectedClass.RETRYABLE if kind == "rejected" else None, message)
    return {record.key: outcome for record in records}


def filters(emails: Sequence[str]) -> Iterator[str]:
    """`any(email,[…])` for all of them, each short enough for a request line."""
    most, most_bytes = limit(KIND, "addresses_per_filter"), limit(KIND, "filter_bytes")
    some: list[str] = []
    weight = 0
    for email in emails:
        text = json.dumps(email, ensure_ascii=False)
        size = len(quote(text, safe="")) + 3
        if some and (len(some) == most or weight + size > most_bytes):
            yield f"any(email,[{','.join(some)}])"
            some, weight = [], 0
        some.append(text)
        weight += size
    if some:
        yield f"any(email,[{','.join(some)}])"

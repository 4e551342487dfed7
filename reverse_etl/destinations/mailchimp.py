"""Mailchimp (Marketing API 3.0): members in batches of 500, static segments, merge fields.

Three facts shape this module (specification of `POST /lists/{list_id}`):
- a batch record may carry `status`, and with `update_existing` it changes the status of an existing member: so a
  status is sent for people who are not there (create, `update_existing` off) and to end a subscription (lower);
- there is no `status_if_new` in a batch, and no tags: membership goes through static segments;
- `sync_tags` replaces everybody's tags: it is never sent.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import httpx

from reverse_etl.destination import (
    CONFIRMED,
    BatchOutcome,
    Event,
    FieldSpec,
    Operation,
    Outcome,
    Record,
    RemoteMember,
    Traffic,
    label_of,
)
from reverse_etl.destinations import mailchimp_engagement as engagement
from reverse_etl.destinations import mailchimp_events
from reverse_etl.destinations.mailchimp_answers import (
    Action,
    detail_of,
    is_throttle,
    meaning,
    outcome_of_error,
)
from reverse_etl.engagement import EngagementPage, Since
from reverse_etl.errors import DestinationConfigError, DestinationDown, NoAnswer, RejectedClass
from reverse_etl.events import one_by_one
from reverse_etl.http import HttpClient, RetryPolicy, body_of, transport_outcome
from reverse_etl.limits import limit, limits_of

KIND = "mailchimp"
NEEDS = ("MAILCHIMP_API_KEY", "MAILCHIMP_LIST_ID")
_OURS = "MW_"
_WRITTEN_TYPES = ("text", "number", "date", "url", "imageurl", "phone", "zip")
_LIST_ID = re.compile(r"[A-Za-z0-9]{1,40}")
_DATA_CENTRE = re.compile(r".+-([a-z]{2}\d{1,3})")
_MOST_SPLITS = 40


def member_hash(email: str) -> str:
    """The vendor's id of a member: MD5 of the lower-case address."""
    return hashlib.md5(email.lower().encode(), usedforsecurity=False).hexdigest()


def _instant(text: str) -> datetime | None:
    return datetime.fromisoformat(text).astimezone(UTC).replace(tzinfo=None) if text else None


class Mailchimp:
    """One audience (list) of one account."""

    kind = KIND

    def __init__(
        self,
        api_key: str,
        list_id: str,
        *,
        base_url: str | None = None,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
        timeout: float | None = None,
        retry: RetryPolicy | None = None,
    ) -> None:
        if not _LIST_ID.fullmatch(list_id):
            raise DestinationConfigError(
                "MAILCHIMP_LIST_ID is not an audience id.", todo="copy it from Audience > Settings: letters and digits"
            )
        if base_url is None:
            centre = _DATA_CENTRE.fullmatch(api_key)
            if centre is None:
                raise DestinationConfigError(
                    "The Mailchimp API key does not end in a data centre (like -us6).",
                    where="MAILCHIMP_API_KEY",
                    todo="copy the whole key from Account > Extras > API keys",
                )
            base_url = f"https://{centre.group(1)}.api.mailchimp.com/3.0"
        self._list = f"/lists/{list_id}"
        self._list_id = list_id
        self._http = HttpClient(
            base_url,
            auth=("mailwright", api_key),
            connections=limit(KIND, "connections_used"),
            timeout=timeout or limits_of(KIND)["timeout_seconds"].value,
            secrets=(api_key,),
            transport=transport,
            sleep=sleep,
            is_throttle=is_throttle,
            retry=retry,
        )

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Mailchimp:
        """Credentials from MAILCHIMP_API_KEY and MAILCHIMP_LIST_ID; MAILCHIMP_BASE_URL points at a twin."""
        missing = [name for name in NEEDS if not environment.get(name)]
        if missing:
            raise DestinationConfigError(
                f"No credentials for Mailchimp: {' and '.join(missing)} not set.",
                where="the environment",
                todo="set them, or run `mailwright demo`, which starts a local twin",
            )
        return cls(
            environment["MAILCHIMP_API_KEY"],
            environment["MAILCHIMP_LIST_ID"],
            base_url=environment.get("MAILCHIMP_BASE_URL") or None,
        )

    @property
    def key(self) -> str:
        return f"{KIND}/{self._list_id}"

    @property
    def traffic(self) -> Traffic:
        return self._http.traffic

    @property
    def concurrency(self) -> int:
        return limit(KIND, "connections_used")

    def batch_size(self, operation: Operation) -> int:
        names = {
            "add": "records_per_segment_change",
            "remove": "records_per_segment_change",
            "event": "events_per_request",
        }
        return limit(KIND, names.get(operation, "records_per_batch"))

    @property
    def events_are_keyed(self) -> bool:
        return False

    def check_events(self, names: Sequence[str], properties: Sequence[str]) -> None:
        mailchimp_events.check(names)

    @property
    def jobs(self) -> None:
        return None

    @property
    def emptying_size(self) -> None:
        return None

    def bytes_of(self, operation: Operation, record: Record) -> int:
        return 0

    def most_bytes(self, operation: Operation) -> tuple[None, None]:
        return None, None

    def still_running(self, jobs: Sequence[str]) -> Collection[str]:
        raise AssertionError("every call ends with its answer here")

    def poll(self, job: str, operation: Operation, records: Sequence[Record]) -> BatchOutcome | None:
        raise AssertionError("every call ends with its answer here")

    def wait(self, seconds: float) -> None:
        self._http.wait(seconds)

    def close(self) -> None:
        self._http.close()

    # reading

    def _get(self, path: str, **params: Any) -> Any:
        response = self._http.request("GET", path, params=params)
        return self._checked(response)

    def _checked(self, response: httpx.Response) -> Any:
        """The body of an answer that must be good, else one clear error."""
        body = body_of(response)
        found = meaning(response.status_code, body)
        if found.action is Action.DONE:
            return body
        raise self._refusal(response.status_code, body)

    def _refusal(self, status: int, body: object) -> DestinationConfigError:
        if status == 401:
            return DestinationConfigError(
                "Mailchimp does not accept the API key.",
                where=self._http.where,
                todo="set MAILCHIMP_API_KEY to a key of this account and data centre",
            )
        if status == 404:
            return DestinationConfigError(
                "Mailchimp does not know this audience, or something of it that was there before.",
                where=f"{self._http.where}{self._list}",
                todo="set MAILCHIMP_LIST_ID to an audience of this account, then run `mailwright plan`",
            )
        return DestinationConfigError(
            f"Mailchimp refused ({status}): {self._http.clean(detail_of(body))}",
            where=f"{self._http.where}{self._list}",
            todo="correct what it names, then run `mailwright plan`",
        )

    def check(self) -> None:
        self._get(self._list, fields="id")

    def _all(self, path: str, what: str, fields: str, **params: Any) -> Iterator[list[dict[str, Any]]]:
        size, offset = limit(KIND, "page_size"), 0
        while True:
            body = self._get(path, fields=f"{fields},total_items", count=size, offset=offset, **params)
            rows = body.get(what) or []
            if rows:
                yield rows
            offset += size
            if not rows or offset >= int(body.get("total_items", 0)):
                return

    def list_fields(self) -> list[FieldSpec]:
        shown = "merge_fields.tag,merge_fields.name,merge_fields.type"
        pages = self._all(f"{self._list}/merge-fields", "merge_fields", shown)
        rows = (row for page in pages for row in page)
        return [FieldSpec(row["tag"], row["name"], row["type"]) for row in rows if row["type"] in _WRITTEN_TYPES]

    def new_field(self, column: str, kind: str, taken: Collection[str]) -> FieldSpec:
        most = limit(KIND, "merge_tag_length") - len(_OURS)
        short = "".join(part[: most if at else most - 3] for at, part in enumerate(column.upper().split("_")))
        tag = _OURS + short[:most]
        number = 2
        while tag in taken:
            tag = _OURS + short[: most - len(str(number))] + str(number)
            number += 1
        return FieldSpec(tag, label_of(column), kind, is_emptied=True, max_length=limit(KIND, "text_bytes"))

    def missing_fields(self, fields: Sequence[FieldSpec]) -> tuple[FieldSpec, ...]:
        pages = self._all(f"{self._list}/merge-fields", "merge_fields", "merge_fields.tag,merge_fields.type")
        existing = {row["tag"]: row["type"] for page in pages for row in page}
        wrong = [
            f"{f.key} is of type {existing[f.key]} there and {f.type} here"
            for f in fields
            if f.key in existing and existing[f.key] != f.type
        ]
        wrong += [f"{f.key} is Mailchimp's own: the address" for f in fields if f.key.upper() == "EMAIL"]
        missing = tuple(f for f in fields if f.key not in existing)
        most = limit(KIND, "merge_fields")
        if len(existing) + len(missing) > most:
            wrong.append(f"{len(existing)} fields are there, {len(missing)} more are needed, {most} are allowed")
        wrong += [
            f"{f.key} is not a merge tag (at most {limit(KIND, 'merge_tag_length')} of A-Z, 0-9, _)"
            for f in missing
            if not re.fullmatch(r"[A-Z][A-Z0-9_]*", f.key) or len(f.key) > limit(KIND, "merge_tag_length")
        ]
        if wrong:
            raise DestinationConfigError(
                f"The audience's merge fields do not fit the sync: {'; '.join(wrong)}.",
                where=f"{self._http.where}{self._list}/merge-fields",
                todo="change the sync's `fields`, or the audience's",
            )
        return missing

    def create_fields(self, fields: Sequence[FieldSpec]) -> None:
        for spec in fields:
            body = {"tag": spec.key, "name": spec.name, "type": spec.type, "required": False, "public": False}
            # not repeatable: a second one would fail with "already exists"; the next run sees what is there
            response = self._http.request("POST", f"{self._list}/merge-fields", json=body, repeatable=False)
            self._checked(response)

    def count_members(self) -> int:
        return int(self._get(f"{self._list}/members", fields="total_items", count=1)["total_items"])

    def pull_members(
        self, *, since: datetime | None = None, fields: Sequence[str] = ()
    ) -> Iterator[list[RemoteMember]]:
        wanted = ["id", "email_address", "status", "last_changed", *(f"merge_fields.{tag}" for tag in fields)]
        params: dict[str, Any] = {"sort_field": "last_changed", "sort_dir": "ASC"}
        if since is not None:
            params["since_last_changed"] = since.replace(tzinfo=UTC).isoformat()
        names = ",".join(f"members.{name}" for name in wanted)
        # archived members are shown only when asked for
        for extra in ({}, {"status": "archived"}):
            for page in self._all(f"{self._list}/members", "members", names, **params, **extra):
                yield [
                    RemoteMember(
                        subscriber_hash=row["id"],
                        email=row["email_address"],
                        status=row["status"],
                        last_changed_at=_instant(row.get("last_changed", "")),
                        fields=row.get("merge_fields", {}) if fields else None,
                    )
                    for row in page
                ]

    def read_back(self, records: Sequence[Record], fields: Sequence[str]) -> list[RemoteMember]:
        names = ",".join(("id", "email_address", "status", "last_changed", "merge_fields", "tags"))
        found: list[RemoteMember] = []
        for record in records:
            response = self._http.request(
                "GET", f"{self._list}/members/{record.subscriber_hash}", params={"fields": names}
            )
            body = body_of(response)
            if meaning(response.status_code, body).action is Action.ABSENT:
                continue
            row = self._checked(response)
            values = {tag: value for tag, value in row["merge_fields"].items() if tag in fields}
            found.append(
                RemoteMember(
                    row["id"], row["email_address"], row["status"], _instant(row.get("last_changed", "")), values,
                    segment_ids=frozenset(str(tag["id"]) for tag in row.get("tags") or []),
                )
            )  # fmt: skip
        return found

    def pull_engagement(self, since: Since, now: datetime) -> Iterator[EngagementPage]:
        return engagement.pull(self._all, self._list_id, since, now)

    def list_segments(self, prefix: str) -> dict[str, str]:
        pages = self._all(f"{self._list}/segments", "segments", "segments.id,segments.name", type="static")
        return {row["name"]: str(row["id"]) for page in pages for row in page if row["name"].startswith(prefix)}

    def create_segment(self, name: str) -> str:
        body = {"name": name, "static_segment": []}
        response = self._http.request("POST", f"{self._list}/segments", json=body, repeatable=False)
        return str(self._checked(response)["id"])

    # writing

    def upsert(self, operation: Operation, records: Sequence[Record]) -> BatchOutcome:
        """One batch; never raises for a record. A refused batch is halved until the record at fault is alone."""
        return self._upsert(operation, list(records), [_MOST_SPLITS])

    def _upsert(self, operation: Operation, records: list[Record], splits: list[int]) -> BatchOutcome:
        body = {"members": [_member(operation, r) for r in records], "update_existing": operation != "create"}
        try:
            # a create that is sent twice would say "exists" for its own members: it is looked up instead
            response = self._http.request(
                "POST",
                self._list,
                json=body,
                params={"skip_merge_validation": "true"},
                repeatable=operation != "create",
            )
        except (DestinationDown, NoAnswer) as error:
            return transport_outcome(error)
        answer = body_of(response)
        found = meaning(response.status_code, answer)
        if found.action is Action.DONE:
            return self._batch_outcome(operation, records, answer)
        if found.action is not Action.REJECTED:
            error = self._refusal(response.status_code, answer)
            return BatchOutcome(Outcome("rejected", RejectedClass.RETRYABLE, error.what), stop=error)
        if len(records) == 1 or splits[0] <= 0:
            return BatchOutcome(Outcome("rejected", found.rejected_class, self._http.clean(detail_of(answer))))
        splits[0] -= 1
        middle = len(records) // 2
        first = self._upsert(operation, records[:middle], splits)
        second = self._upsert(operation, records[middle:], splits)
        outcomes = {r.key: first.of(r.key) for r in records[:middle]}
        outcomes |= {r.key: second.of(r.key) for r in records[middle:]}
        return BatchOutcome(
            CONFIRMED, outcomes, stop=first.stop or second.stop, unexpected=first.unexpected + second.unexpected
        )

    def _batch_outcome(self, operation: Operation, records: list[Record], answer: Any) -> BatchOutcome:
        """Per-record outcomes: by address in `errors`, and by presence in what was created or updated."""
        new = {str(m["email_address"]).lower() for m in answer.get("new_members") or []}
        known = new | {str(m["email_address"]).lower() for m in answer.get("updated_members") or []}
        errors = {str(e.get("email_address", "")).lower(): e for e in answer.get("errors") or []}
        exceptions: dict[str, Outcome] = {}
        for record in records:
            address = record.email.lower()
            if address in errors:
                exceptions[record.key] = outcome_of_error(errors[address], self._http.clean)
            elif address not in known:
                exceptions[record.key] = Outcome(
                    "rejected", RejectedClass.RETRYABLE, "The destination's answer does not mention this record."
                )
        created = 0 if operation == "create" else sum(r.email.lower() in new for r in records)
        return BatchOutcome(CONFIRMED, exceptions, unexpected=created)

    def set_membership(self, segment_id: str, operation: Operation, records: Sequence[Record]) -> BatchOutcome:
        name = "members_to_add" if operation == "add" else "members_to_remove"
        body = {name: [r.email for r in records]}
        try:
            response = self._http.request("POST", f"{self._list}/segments/{segment_id}", json=body)
        except (DestinationDown, NoAnswer) as error:
            return transport_outcome(error)
        answer = body_of(response)
        if meaning(response.status_code, answer).action is not Action.DONE:
            error = self._refusal(response.status_code, answer)
            return BatchOutcome(Outcome("rejected", RejectedClass.RETRYABLE, error.what), stop=error)
        if operation == "remove":
            return BatchOutcome(CONFIRMED)  # who is not on the list is not in its segments
        unknown = {str(a).lower() for e in answer.get("errors") or [] for a in e.get("email_addresses") or []}
        message = "The destination does not have this member (any more)."
        absent = Outcome("rejected", RejectedClass.RETRYABLE, message)
        return BatchOutcome(CONFIRMED, {r.key: absent for r in records if r.email.lower() in unknown})

    def send_events(self, events: Sequence[Event]) -> BatchOutcome:
        def once(event: Event) -> Outcome:
            path = f"{self._list}/members/{event.subscriber_hash}/events"
            response = self._http.request("POST", path, json=mailchimp_events.body_of(event), repeatable=False)
            answer = body_of(response)
            found = meaning(response.status_code, answer)
            if found.action is Action.STOP:
                raise self._refusal(response.status_code, answer)
            outcome = mailchimp_events.outcome_of(found, answer)
            return replace(outcome, message=self._http.clean(outcome.message))

        return one_by_one(events, once)


def _member(operation: Operation, record: Record) -> dict[str, Any]:
    member: dict[str, Any] = {"email_address": record.email}
    if operation == "create":
        member["status"] = "subscribed"
    elif operation == "lower":
        member["status"] = "unsubscribed"
    if record.fields:
        member["merge_fields"] = dict(record.fields)
    return member

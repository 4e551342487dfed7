"""HubSpot (CRM API v3, subscriptions v4): contacts upserted in batches of 100, manual lists, properties, consent.

Five facts shape this module:
- an upsert answers for each record (207), or refuses the whole batch (400) for one wrong value: whoever that names is
  taken out, the rest is sent again;
- a contact has no status: whether she may be mailed is her address's word to a subscription type, set by a call of its
  own. It is set first, then she is created: a create that breaks off in between leaves an address without a contact,
  which nobody can mail, and is done again. The other way round it would leave a contact who never gets subscribed;
- an update never speaks of subscriptions, so it raises nobody; a create looks up both address and contact before, and
  refuses who has left, or is there already: she is somebody else's until the next look;
- there is no update by address that does not create: somebody who was deleted meanwhile is created anew, and counted;
- lists take the vendor's ids of contacts.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
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
    free_name,
    label_of,
)
from reverse_etl.destinations import hubspot_engagement as engagement
from reverse_etl.destinations import hubspot_events
from reverse_etl.destinations import hubspot_fields as properties
from reverse_etl.destinations.hubspot_answers import (
    already_there,
    class_of,
    detail_of,
    missing_properties,
    named_records,
    outcomes_of,
)
from reverse_etl.destinations.hubspot_api import BASE_URL, CONTACTS, KIND, Api
from reverse_etl.destinations.hubspot_consent import Consent
from reverse_etl.destinations.hubspot_pull import count, pull_changed, pull_everybody, read_back
from reverse_etl.engagement import EngagementPage, Since
from reverse_etl.errors import DestinationConfigError, DestinationDown, NoAnswer, RejectedClass
from reverse_etl.events import one_by_one
from reverse_etl.http import RetryPolicy, transport_outcome
from reverse_etl.limits import limit

NEEDS = ("HUBSPOT_ACCESS_TOKEN", "HUBSPOT_SUBSCRIPTION_ID")
NAME = "HUBSPOT_PORTAL"
"""Tells accounts apart in the ledger."""
LISTS = "/crm/v3/lists"
CONTACT_TYPE = "0-1"
NOT_SEEN = Outcome("rejected", RejectedClass.RETRYABLE, "The destination does not show this contact (yet).")
FASTER = Outcome("rejected", RejectedClass.RETRYABLE, "The contact is there already: the next look will show her.")
_PORTAL = re.compile(r"[A-Za-z0-9_.-]{1,40}")
_SUBSCRIPTION = re.compile(r"\d{1,18}")
_MOST_SPLITS = 40


class HubSpot:
    """One account, and one subscription type in it."""

    kind = KIND

    def __init__(
        self,
        token: str,
        subscription_id: str,
        portal: str = "default",
        *,
        base_url: str | None = None,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
        timeout: float | None = None,
        retry: RetryPolicy | None = None,
    ) -> None:
        if not _SUBSCRIPTION.fullmatch(subscription_id):
            raise DestinationConfigError(
                "HUBSPOT_SUBSCRIPTION_ID is not the id of a subscription type.",
                todo="copy the number from Settings > Marketing > Email > Subscription types",
            )
        if not _PORTAL.fullmatch(portal):
            raise DestinationConfigError(
                "HUBSPOT_PORTAL is no name for an account.", todo="use letters, digits, -, _ and ., at most 40"
            )
        self._key = f"{KIND}/{portal}/{subscription_id}"
        self._api = Api(
            token, base_url or BASE_URL, transport=transport, sleep=sleep, clock=clock, timeout=timeout, retry=retry
        )
        self._consent = Consent(self._api, int(subscription_id))
        self._ids: dict[str, str] = {}
        """The vendor's ids of people whom this run wrote: lists need them before the next look at everybody."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> HubSpot:
        """HUBSPOT_ACCESS_TOKEN (of a private app) and HUBSPOT_SUBSCRIPTION_ID, the subscription type that the sync
        speaks for; HUBSPOT_PORTAL, a name of one's choice, tells accounts apart; HUBSPOT_BASE_URL points at a twin."""
        missing = [name for name in NEEDS if not environment.get(name)]
        if missing:
            raise DestinationConfigError(
                f"No credentials for HubSpot: {' and '.join(missing)} not set.",
                where="the environment",
                todo="set them; the token is a private app's, the id stands with the email subscription types",
            )
        return cls(
            environment["HUBSPOT_ACCESS_TOKEN"],
            environment["HUBSPOT_SUBSCRIPTION_ID"],
            environment.get(NAME) or "default",
            base_url=environment.get("HUBSPOT_BASE_URL") or None,
        )

    @property
    def key(self) -> str:
        return self._key

    @property
    def traffic(self) -> Traffic:
        return self._api.traffic

    @property
    def concurrency(self) -> int:
        return limit(KIND, "connections_used")

    @property
    def jobs(self) -> None:
        return None

    def batch_size(self, operation: Operation) -> int:
        names = {"lower": "statuses_per_request", "add": "ids_per_list_change", "remove": "ids_per_list_change",
                 "event": "events_per_request"}  # fmt: skip
        return limit(KIND, names.get(operation, "records_per_batch"))

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
        self._api.http.wait(seconds)

    def close(self) -> None:
        self._api.http.close()

    # reading

    def check(self) -> None:
        self._consent.check()

    def list_fields(self) -> list[FieldSpec]:
        return properties.writable(self._api)

    def new_field(self, column: str, kind: str, taken: Collection[str]) -> FieldSpec:
        return FieldSpec(free_name(column, taken), label_of(column), kind, is_emptied=True)

    def missing_fields(self, fields: Sequence[FieldSpec]) -> tuple[FieldSpec, ...]:
        return properties.missing(self._api, fields)

    def create_fields(self, fields: Sequence[FieldSpec]) -> None:
        properties.create(self._api, fields)

    def count_members(self) -> int:
        return count(self._api)

    def pull_members(
        self, *, since: datetime | None = None, fields: Sequence[str] = ()
    ) -> Iterator[list[RemoteMember]]:
        if since is None:
            return pull_everybody(self._api, self._consent, fields)
        return pull_changed(self._api, self._consent, since, fields)

    def read_back(self, records: Sequence[Record], fields: Sequence[str]) -> list[RemoteMember]:
        """Without the lists of a contact: they take a request for each."""
        return read_back(self._api, self._consent, [record.email.lower() for record in records], fields)

    def pull_engagement(self, since: Since, now: datetime) -> Iterator[EngagementPage]:
        return engagement.pull(self._api, since, now)

    def list_segments(self, prefix: str) -> dict[str, str]:
        found: dict[str, str] = {}
        offset = 0
        while True:
            # all of them: what `query` makes of a prefix is not documented
            body = {"processingTypes": ["MANUAL"], "offset": offset, "count": limit(KIND, "list_page_size")}
            answer = self._api.ask("POST", f"{LISTS}/search", json=body)
            for row in answer.get("lists") or []:
                if row["name"].startswith(prefix) and row.get("objectTypeId") == CONTACT_TYPE:
                    found.setdefault(row["name"], str(row["listId"]))
            if not answer.get("hasMore") or int(answer["offset"]) <= offset:
                return found
            offset = int(answer["offset"])

    def create_segment(self, name: str) -> str:
        # not repeatable: a second one of the same name is refused; the next run sees what is there
        body = {"name": name, "objectTypeId": CONTACT_TYPE, "processingType": "MANUAL"}
        return str(self._api.ask("POST", LISTS, json=body, repeatable=False)["list"]["listId"])

    # writing

    def upsert(self, operation: Operation, records: Sequence[Record]) -> BatchOutcome:
        """One batch, or as many as its wrong records make of it; never raises for a record."""
        try:
            if operation == "lower":
                return BatchOutcome(CONFIRMED, self._consent.unsubscribe_all(records))
            flaws = {record.key: flaw for record in records if (flaw := properties.flaw(record))}
            refused = {key: Outcome("rejected", RejectedClass.DATA, flaw) for key, flaw in flaws.items()}
            good = [record for record in records if record.key not in refused]
            if operation == "create":
                for refusals_of in (self._already_there, self._consent.subscribe):
                    refused |= refusals_of(good) if good else {}
                    good = [record for record in good if record.key not in refused]
        except (DestinationDown, NoAnswer) as error:
            return transport_outcome(error)
        except DestinationConfigError as error:
            return _stopped(error)
        if operation == "clear":
            good = [r for record in good if (r := _ours_alone(record)).fields]
        return _with(self._put(operation, good, [_MOST_SPLITS]), refused)

    def _already_there(self, records: Sequence[Record]) -> dict[str, Outcome]:
        """Who came between our look and now, or was created by a request of ours that nobody answered."""
        by_email = {record.email.lower(): record for record in records}
        return {by_email[email].key: FASTER for email in self._contacts_among(list(by_email), [_MOST_SPLITS])}

    def _contacts_among(self, emails: Sequence[str], splits: list[int]) -> set[str]:
        body = {"idProperty": "email", "inputs": [{"id": email} for email in emails], "properties": ["email"],
                "propertiesWithHistory": []}  # fmt: skip
        status, answer = self._api.send("POST", f"{CONTACTS}/batch/read", json=body, is_read=True)
        if status < 300:
            return already_there(emails, answer)
        if status != 400 or splits[0] <= 0:
            raise self._api.refusal(status, answer)
        if len(emails) == 1:  # no address in the vendor's eyes, and so nobody's
            return set()
        splits[0] -= 1
        middle = len(emails) // 2
        return self._contacts_among(emails[:middle], splits) | self._contacts_among(emails[middle:], splits)

    def _put(self, operation: Operation, records: list[Record], splits: list[int]) -> BatchOutcome:
        """Send; take out whom a refusal names, or halve the batch until the record at fault is alone."""
        if not records:
            return BatchOutcome(CONFIRMED)
        inputs = [_input(n, record) for n, record in enumerate(records)]
        try:
            # repeatable: an upsert of the same content twice is one
            status, answer = self._api.send("POST", f"{CONTACTS}/batch/upsert", json={"inputs": inputs})
        except (DestinationDown, NoAnswer) as error:
            return transport_outcome(error)
        if status < 300:
            outcomes, results = outcomes_of(records, answer, self._api.http.clean)
            for row in results:
                self._ids[row["record"].email.lower()] = str(row["id"])
            created = sum(bool(row.get("new")) for row in results) if operation != "create" else 0
            return BatchOutcome(CONFIRMED, {k: o for k, o in outcomes.items() if o != CONFIRMED}, unexpected=created)
        absent = missing_properties(answer)
        if status not in {400, 409} or absent:
            error = self._api.refusal(status, answer)
            return _stopped(_no_property(self._api.http.where, absent) if absent else error)
        refused = Outcome("rejected", class_of(answer), self._api.http.clean(detail_of(answer)))
        named = named_records(answer, records)
        if named and splits[0] > 0:
            splits[0] -= 1
            wrong = {key: replace(refused, message=self._api.http.clean(why)) for key, why in named.items()}
            return _with(self._put(operation, [r for r in records if r.key not in named], splits), wrong)
        return self._halved(operation, records, splits, refused)

    def _halved(self, operation: Operation, records: list[Record], splits: list[int], refused: Outcome) -> BatchOutcome:
        if len(records) == 1:
            return BatchOutcome(refused)
        if splits[0] <= 0:  # most of them may be right: the next pass goes on
            return BatchOutcome(replace(refused, rejected_class=RejectedClass.RETRYABLE))
        splits[0] -= 1
        middle = len(records) // 2
        first = self._put(operation, records[:middle], splits)
        second = self._put(operation, records[middle:], splits)
        outcomes = {record.key: first.of(record.key) for record in records[:middle]}
        outcomes |= {record.key: second.of(record.key) for record in records[middle:]}
        return BatchOutcome(
            CONFIRMED, outcomes, stop=first.stop or second.stop, unexpected=first.unexpected + second.unexpected
        )

    def set_membership(self, segment_id: str, operation: Operation, records: Sequence[Record]) -> BatchOutcome:
        ids = {record.key: self._ids.get(record.email.lower()) or record.remote_id for record in records}
        unseen = {key: NOT_SEEN for key, remote_id in ids.items() if not remote_id}
        present = [remote_id for remote_id in ids.values() if remote_id]
        if not present:
            return BatchOutcome(NOT_SEEN)
        names = ("recordIdsToAdd", "recordIdsToRemove")  # both are needed, always
        body = dict(zip(names, (present, []) if operation == "add" else ([], present), strict=True))
        try:
            answer = self._api.ask("PUT", f"{LISTS}/{segment_id}/memberships/add-and-remove", json=body)
        except (DestinationDown, NoAnswer) as error:
            return transport_outcome(error)
        except DestinationConfigError as error:
            return _stopped(error)
        if operation == "remove":
            return BatchOutcome(CONFIRMED, unseen)  # whom the vendor does not know is in none of its lists
        absent = {str(one) for one in answer.get("recordIdsMissing") or []}
        return BatchOutcome(CONFIRMED, unseen | {key: NOT_SEEN for key, one in ids.items() if one in absent})

    @property
    def events_are_keyed(self) -> bool:
        return False

    def check_events(self, names: Sequence[str], properties: Sequence[str]) -> None:
        hubspot_events.check(names, properties)

    def send_events(self, events: Sequence[Event]) -> BatchOutcome:
        def once(event: Event) -> Outcome:
            contact_id = self._ids.get(event.email.lower()) or event.remote_id
            return hubspot_events.send(self._api, event, contact_id) if contact_id else NOT_SEEN

        return one_by_one(events, once)


def _input(position: int, record: Record) -> dict[str, Any]:
    return {
        "id": record.email.lower(),
        "idProperty": "email",
        "objectWriteTraceId": str(position),
        "properties": {name: properties.as_text(value) for name, value in record.fields.items()},
    }


def _ours_alone(record: Record) -> Record:
    """What is emptied when her row is gone: forms and sales fill the account's own properties."""
    return replace(record, fields={k: v for k, v in record.fields.items() if k.startswith(properties.PREFIX)})


def _no_property(where: str, names: Sequence[str]) -> DestinationConfigError:
    return DestinationConfigError(
        f"The account has no contact property {', '.join(names)} (any more).",
        where=where,
        todo="run `mailwright plan`: it looks again at what is there",
    )


def _stopped(error: DestinationConfigError) -> BatchOutcome:
    return BatchOutcome(Outcome("rejected", RejectedClass.RETRYABLE, error.what), stop=error)


def _with(outcome: BatchOutcome, exceptions: Mapping[str, Outcome]) -> BatchOutcome:
    return replace(outcome, exceptions={**outcome.exceptions, **exceptions})

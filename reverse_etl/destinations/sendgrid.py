"""SendGrid Marketing (API v3): contacts upserted by jobs, lists as segments, custom fields, global unsubscribes.

Four facts shape this module (specifications 1.0.0; recorded traffic 2021):
- a contact has no status, and upserting her raises nobody: who is suppressed stays so. A subscription ends by a global
  unsubscribe, which concerns all mail of the account; a suppression is never deleted;
- what is upserted is answered with 202 and a job: how its records ended is known when the job ended;
- one wrong address fails a whole batch with a 400 that names its position: it is taken out, the rest is sent again;
- there is no update that does not create: somebody who was deleted meanwhile is created anew, and counted.
"""

from __future__ import annotations

import json
import re
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx

from reverse_etl.destination import (
    CONFIRMED,
    BatchOutcome,
    Event,
    FieldSpec,
    Jobs,
    Operation,
    Outcome,
    Record,
    RemoteMember,
    Traffic,
    free_name,
    label_of,
)
from reverse_etl.destinations import sendgrid_engagement as engagement
from reverse_etl.destinations.sendgrid_answers import (
    ENDED,
    JobEnd,
    contact_hash,
    detail_of,
    is_about_the_sync,
    named_records,
    read_errors,
)
from reverse_etl.destinations.sendgrid_api import BASE_URL, KIND, Api
from reverse_etl.destinations.sendgrid_fields import Fields, can_be_emptied
from reverse_etl.destinations.sendgrid_pull import pull_everything, pull_suppressed, shown_contacts
from reverse_etl.engagement import EngagementPage, Since
from reverse_etl.errors import DestinationConfigError, DestinationDown, NoAnswer, RejectedClass
from reverse_etl.files import UnreadableFile, rows
from reverse_etl.http import RetryPolicy, transport_outcome
from reverse_etl.limits import limit

NEEDS = ("SENDGRID_API_KEY",)
NAME = "SENDGRID_ACCOUNT"
"""Tells accounts apart in the ledger."""
_ACCOUNT = re.compile(r"[A-Za-z0-9_.-]{1,40}")
_MOST_SPLITS = 40
_Sent = tuple[Record, dict[str, Any]]


class SendGrid:
    """One account."""

    kind = KIND

    def __init__(
        self,
        api_key: str,
        account: str = "default",
        *,
        base_url: str | None = None,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
        timeout: float | None = None,
        retry: RetryPolicy | None = None,
    ) -> None:
        if not _ACCOUNT.fullmatch(account):
            raise DestinationConfigError(
                "SENDGRID_ACCOUNT is no name for an account.", todo="use letters, digits, -, _ and ., at most 40"
            )
        self._account = account
        self._api = Api(
            api_key, base_url or BASE_URL, transport=transport, sleep=sleep, clock=clock, timeout=timeout, retry=retry
        )
        self._fields = Fields(self._api)
        self._unknown_looks: dict[str, int] = {}
        """Job that was accepted here → how often it may still be unknown to the vendor. Only the thread that looks at
        a job touches its entry."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> SendGrid:
        """The key from SENDGRID_API_KEY; SENDGRID_ACCOUNT, a name of one's choice, tells accounts apart in the ledger;
        SENDGRID_BASE_URL points at the EU's API, or at a twin."""
        if not environment.get(NEEDS[0]):
            raise DestinationConfigError(
                f"No credentials for SendGrid: {NEEDS[0]} not set.",
                where="the environment",
                todo="set it to a key with full access to Marketing and to Suppressions",
            )
        return cls(
            environment["SENDGRID_API_KEY"],
            environment.get(NAME) or "default",
            base_url=environment.get("SENDGRID_BASE_URL") or None,
        )

    @property
    def key(self) -> str:
        return f"{KIND}/{self._account}"

    @property
    def traffic(self) -> Traffic:
        return self._api.traffic

    @property
    def concurrency(self) -> int:
        return limit(KIND, "connections_used")

    @property
    def jobs(self) -> Jobs:
        return Jobs(
            limit(KIND, "open_jobs"),
            limit(KIND, "job_pause_seconds"),
            limit(KIND, "job_patience_seconds"),
        )

    def batch_size(self, operation: Operation) -> int:
        names = {"lower": "suppressions_per_request", "remove": "ids_per_removal"}
        return limit(KIND, names.get(operation, "records_per_batch"))

    @property
    def emptying_size(self) -> None:
        return None

    def bytes_of(self, operation: Operation, record: Record) -> int:
        if operation in {"lower", "remove"}:
            return 0
        contact = self._fields.contact(record)
        return len(json.dumps(contact, ensure_ascii=False, separators=(",", ":")).encode()) + 1

    def most_bytes(self, operation: Operation) -> tuple[int | None, int | None]:
        return (None if operation in {"lower", "remove"} else limit(KIND, "bytes_per_batch")), None

    @property
    def events_are_keyed(self) -> None:
        """Marketing Campaigns has no call that reports what somebody did: automations start from lists and segments
        (specifications 1.0.0; the Event Webhook speaks the other way)."""
        return None

    def check_events(self, names: Sequence[str], properties: Sequence[str]) -> None:
        raise AssertionError("it takes no events")

    def send_events(self, events: Sequence[Event]) -> BatchOutcome:
        raise AssertionError("it takes no events")

    def wait(self, seconds: float) -> None:
        self._api.http.wait(seconds)

    def close(self) -> None:
        self._api.http.close()

    # reading

    def check(self) -> None:
        self.count_members()

    def list_fields(self) -> list[FieldSpec]:
        return self._fields.all()

    def new_field(self, column: str, kind: str, taken: Collection[str]) -> FieldSpec:
        return FieldSpec(free_name(column, taken), label_of(column), kind, is_emptied=can_be_emptied(kind))

    def missing_fields(self, fields: Sequence[FieldSpec]) -> tuple[FieldSpec, ...]:
        return self._fields.missing(fields)

    def create_fields(self, fields: Sequence[FieldSpec]) -> None:
        for spec in fields:
            self._fields.create(spec)

    def count_members(self) -> int:
        return int(self._api.ask("GET", "/marketing/contacts/count")["contact_count"])

    def pull_members(
        self, *, since: datetime | None = None, fields: Sequence[str] = ()
    ) -> Iterator[list[RemoteMember]]:
        keys = {name: self._fields.keys_of(name) for name in fields}
        if since is None:
            yield from pull_everything(self._api, keys)
        else:
            yield from pull_suppressed(self._api, since, keys)

    def read_back(self, records: Sequence[Record], fields: Sequence[str]) -> list[RemoteMember]:
        """How she may be mailed is not looked up: the pull before each plan sees every suppression."""
        keys = {name: self._fields.keys_of(name) for name in fields}
        return shown_contacts(self._api, [record.email for record in records], keys)

    def pull_engagement(self, since: Since, now: datetime) -> Iterator[EngagementPage]:
        return engagement.pull(self._api, since, now)

    def list_segments(self, prefix: str) -> dict[str, str]:
        found: dict[str, str] = {}
        token: str | None = None
        while True:
            params = {"page_size": limit(KIND, "list_page_size"), **({"page_token": token} if token else {})}
            body = self._api.ask("GET", "/marketing/lists", params=params)
            for row in body.get("result") or []:
                if row["name"].startswith(prefix):
                    found.setdefault(row["name"], str(row["id"]))
            following = (body.get("_metadata") or {}).get("next")
            token = next(iter(parse_qs(urlsplit(following).query).get("page_token", [])), None) if following else None
            if token is None:
                return found

    def create_segment(self, name: str) -> str:
        # not repeatable: a second one of the same name would be made; the next run sees what is there
        return str(self._api.ask("POST", "/marketing/lists", json={"name": name}, repeatable=False)["id"])

    # writing

    def upsert(self, operation: Operation, records: Sequence[Record]) -> BatchOutcome:
        """One batch, or as many as its wrong records make of it; never raises for a record."""
        try:
            if operation == "lower":
                return self._suppress([(record, {}) for record in records], [_MOST_SPLITS])
            self._fields.know({name for record in records for name in record.fields})
        except (DestinationDown, NoAnswer) as error:
            return transport_outcome(error)
        except DestinationConfigError as error:
            return _refused(error)
        flaws = {record.key: flaw for record in records if (flaw := self._fields.flaw(record))}
        good = [(record, self._fields.contact(record)) for record in records if record.key not in flaws]
        wrong = {key: Outcome("rejected", RejectedClass.DATA, flaw) for key, flaw in flaws.items()}
        return _with(self._put(good, [], [_MOST_SPLITS]), wrong)

    def set_membership(self, segment_id: str, operation: Operation, records: Sequence[Record]) -> BatchOutcome:
        if operation == "add":
            contacts = [(record, {"email": record.email.lower()}) for record in records]
            return self._put(contacts, [segment_id], [_MOST_SPLITS])
        try:
            return self._remove(segment_id, list(records))
        except (DestinationDown, NoAnswer) as error:
            return transport_outcome(error)
        except DestinationConfigError as error:
            return _refused(error)

    def _put(self, contacts: list[_Sent], list_ids: list[str], splits: list[int]) -> BatchOutcome:
        """Send; take out what a refusal names, or halve the batch until the record at fault is alone."""
        if not contacts:
            return BatchOutcome(CONFIRMED)
        body: dict[str, Any] = {"contacts": [contact for _, contact in contacts]}
        if list_ids:
            body["list_ids"] = list_ids
        try:
            # repeatable: an upsert of the same content twice is one
            status, answer = self._api.send("PUT", "/marketing/contacts", json=body)
        except (DestinationDown, NoAnswer) as error:
            return transport_outcome(error)
        if status < 300:
            return self._accepted(answer)
        if status not in {400, 413} or is_about_the_sync(answer):
            return _refused(self._api.refusal(status, answer))
        named = {n: why for n, why in named_records(answer).items() if n < len(contacts)}
        if named and splits[0] > 0:
            splits[0] -= 1
            wrong = {
                contacts[n][0].key: Outcome("rejected", RejectedClass.DATA, self._api.http.clean(why))
                for n, why in named.items()
            }
            rest = [contact for n, contact in enumerate(contacts) if n not in named]
            return _with(self._put(rest, list_ids, splits), wrong)
        detail = self._api.http.clean(detail_of(answer))
        return self._halved(contacts, splits, detail, lambda half: self._put(half, list_ids, splits))

    @staticmethod
    def _halved(
        sent: list[_Sent], splits: list[int], detail: str, again: Callable[[list[_Sent]], BatchOutcome]
    ) -> BatchOutcome:
        if len(sent) == 1:
            return BatchOutcome(Outcome("rejected", RejectedClass.DATA, detail))
        if splits[0] <= 0:  # most of them may be right: the next pass goes on
            return BatchOutcome(Outcome("rejected", RejectedClass.RETRYABLE, detail))
        splits[0] -= 1
        middle = len(sent) // 2
        first, second = again(sent[:middle]), again(sent[middle:])
        outcomes = {record.key: first.of(record.key) for record, _ in sent[:middle]}
        outcomes |= {record.key: second.of(record.key) for record, _ in sent[middle:]}
        jobs = ",".join(job for job in (first.job, second.job) if job)
        return BatchOutcome(CONFIRMED, outcomes, stop=first.stop or second.stop, job=jobs or None)

    def _suppress(self, sent: list[_Sent], splits: list[int]) -> BatchOutcome:
        """End subscriptions: a global unsubscribe, answered at once."""
        body = {"recipient_emails": [record.email.lower() for record, _ in sent]}
        try:
            status, answer = self._api.send("POST", "/asm/suppressions/global", json=body)
        except (DestinationDown, NoAnswer) as error:
            return transport_outcome(error)
        if status == 400:
            detail = self._api.http.clean(detail_of(answer))
            return self._halved(sent, splits, detail, lambda half: self._suppress(half, splits))
        if status >= 300:
            return _refused(self._api.refusal(status, answer))
        done = {str(email).lower() for email in (answer or {}).get("recipient_emails") or []}
        unnamed = Outcome("rejected", RejectedClass.RETRYABLE, "The destination's answer does not mention this record.")
        return BatchOutcome(CONFIRMED, {r.key: unnamed for r, _ in sent if r.email.lower() not in done})

    def _remove(self, segment_id: str, records: list[Record]) -> BatchOutcome:
        """By the vendor's ids: those last pulled, else (just created; created anew) looked up by address."""
        unseen = Outcome("rejected", RejectedClass.RETRYABLE, "The destination does not show this contact (yet).")
        ids = {record.key: record.remote_id for record in records}
        status, answer = 0, None
        for is_second in (False, True):
            asked = [record for record in records if is_second or not ids[record.key]]
            found = self._api.look_up([record.email for record in asked])
            ids |= {r.key: (found.get(contact_hash(r.email)) or {}).get("id") for r in asked}
            present = ",".join(one for one in ids.values() if one)
            if not present:
                return BatchOutcome(unseen)
            path = f"/marketing/lists/{segment_id}/contacts"
            status, answer = self._api.send("DELETE", path, params={"contact_ids": present})
            if status != 404:  # else the list, or one of the contacts, is not there (any more) [specification]
                break
        if status >= 300:
            return _refused(self._api.refusal(status, answer))
        return _with(self._accepted(answer), {key: unseen for key, remote_id in ids.items() if not remote_id})

    # jobs

    def _accepted(self, answer: Any) -> BatchOutcome:
        job = str((answer or {}).get("job_id") or "")
        if not job:
            return BatchOutcome(Outcome("in_doubt", None, "The destination took it and named no job."))
        self._unknown_looks[job] = limit(KIND, "looks_at_an_unknown_job")
        return BatchOutcome(Outcome("accepted"), job=job)

    def still_running(self, jobs: Sequence[str]) -> Collection[str]:
        """A job is asked about by its own id alone [specification]."""
        return ()

    def poll(self, job: str, operation: Operation, records: Sequence[Record]) -> BatchOutcome | None:
        """The end of all parts of a batch (`job` names one or more), or None while one is under way."""
        keys = {record.subscriber_hash: record.key for record in records}
        states: list[dict[str, Any]] = []
        for part in job.split(","):
            status, body = self._api.send("GET", f"/marketing/contacts/imports/{part}")
            if status == 404 and self._unknown_looks.get(part, 0) > 0:  # perhaps not known *yet*: reads lag there
                self._unknown_looks[part] -= 1
                return None
            if status == 404:
                states.append({"status": "failed"})  # of nobody can be told how it ended
            elif status >= 300:
                raise self._api.refusal(status, body)
            elif (body or {}).get("status") not in ENDED:
                return None
            else:
                states.append(body)
        end = JobEnd()
        for state in states:
            results = state.get("results") or {}
            wrong, n_unknown = self._errors(results.get("errors_url"), keys)
            end.add(state["status"], results, wrong, n_unknown)
        exceptions = {
            keys[one]: Outcome("rejected", RejectedClass.DATA, f"The destination's job refused it: {why}")
            for one, why in end.wrong.items()
        }
        in_doubt = Outcome("in_doubt", None, "The destination's job does not tell how this record ended.")
        is_creating = operation == "create"
        return BatchOutcome(
            CONFIRMED if end.is_clear else in_doubt, exceptions, unexpected=0 if is_creating else end.created
        )

    def _errors(self, url: str | None, keys: Mapping[str, str]) -> tuple[dict[str, str], int]:
        """(subscriber hash → why, rows about nobody of ours) of a job's file of errors.

        One that cannot be had, or read, names nobody: the job is over, and no later look would tell more.
        """
        if not url:
            return {}, 0
        with tempfile.TemporaryFile() as file:
            try:
                if self._api.http.download(url, file) == 200:
                    return read_errors(rows(file), keys, self._api.http.clean)
            except (DestinationDown, NoAnswer, UnreadableFile):
                pass
        return {}, 1


def _refused(error: DestinationConfigError) -> BatchOutcome:
    return BatchOutcome(Outcome("rejected", RejectedClass.RETRYABLE, error.what), stop=error)


def _with(outcome: BatchOutcome, exceptions: Mapping[str, Outcome]) -> BatchOutcome:
    return replace(outcome, exceptions={**outcome.exceptions, **exceptions})

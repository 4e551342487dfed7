"""Klaviyo (API revision 2026-07-15): profiles by import jobs, consent by subscription jobs, segments as lists.

Five facts shape this module (specification, where nothing else is said):
- a bulk import leaves nulls out of account (developers.klaviyo.com, bulk profile import guide): a record that empties a
  field goes through `POST /profile-import`, where null does empty it, one request each; the rest of its batch by a job;
- an import changes nobody's consent; a subscription is a job of its own, which *lifts* suppressions: `klaviyo_jobs`
  asks for nobody but people who never subscribed, as looked up immediately before;
- a subscription job has no results: whether it took effect is read back from the profiles;
- `POST /profile-subscription-bulk-delete-jobs` unsubscribes globally whoever is not in the list that it names. `lower`
  means just that, so it names none, and `_lower` is the one place that builds such a request;
- adding a profile to a list changes nobody's subscription. Lists for segments are made with double opt-in, and neither
  an import nor a subscription ever names one.

A profile that was deleted there since the last full pull comes into being again when its fields are updated: never
subscribed, so that no campaign to subscribers reaches it. A job does not tell the two apart.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

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
from reverse_etl.destinations import klaviyo_engagement as engagement
from reverse_etl.destinations import klaviyo_events
from reverse_etl.destinations.klaviyo_answers import Action, action_of, body_of, detail_of, instant, standing_of
from reverse_etl.destinations.klaviyo_client import KIND, Client, Delivery, filters
from reverse_etl.destinations.klaviyo_jobs import ACCEPTED, JobFollower, Token, hash_of
from reverse_etl.destinations.klaviyo_payload import (
    IMPORT_ENVELOPE,
    TEXT_ATTRIBUTES,
    empties,
    field_of,
    global_unsubscription_job,
    import_job,
    is_own,
    name_problem,
    profile,
    size,
    value_problem,
)
from reverse_etl.engagement import EngagementPage, Since
from reverse_etl.errors import DestinationConfigError, DestinationDown, NoAnswer, RejectedClass
from reverse_etl.http import RetryPolicy
from reverse_etl.limits import limit, limits_of

NEEDS = ("KLAVIYO_API_KEY", "KLAVIYO_LIST_ID")
BASE_URL = "https://a.klaviyo.com/api"
_LIST_ID = re.compile(r"[A-Za-z0-9]{1,40}")
_BATCHES = {
    "create": "records_per_create",
    "update": "records_per_import",
    "clear": "records_per_clear",
    "lower": "records_per_unsubscription",
    "add": "records_per_segment_change",
    "remove": "records_per_segment_change",
    "event": "events_per_request",
}
# what changed: fields, a global suppression, a suppression for a list; `updated` is not said to cover the latter two
_CHANGES = (
    ("updated", "greater-than"),
    ("subscriptions.email.marketing.suppression.timestamp", "greater-or-equal"),
    ("subscriptions.email.marketing.list_suppressions.timestamp", "greater-or-equal"),
)


class Klaviyo:
    """One account, and the list whose subscription is managed."""

    kind = KIND

    def __init__(
        self,
        api_key: str,
        list_id: str,
        *,
        base_url: str | None = None,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
        timeout: float | None = None,
        retry: RetryPolicy | None = None,
    ) -> None:
        if not _LIST_ID.fullmatch(list_id):
            raise DestinationConfigError(
                "KLAVIYO_LIST_ID is not the id of a list.", todo="copy it from the list's settings: letters and digits"
            )
        self._client = Client(
            api_key,
            list_id,
            base_url=base_url or BASE_URL,
            transport=transport,
            sleep=sleep,
            clock=clock,
            timeout=timeout,
            retry=retry,
        )
        self._list_id = list_id
        self._opt_in: str | None = None
        self._n_lists_made = 0
        self._now = now
        self._follower = JobFollower(self._client, now, self._needs_confirmation)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Klaviyo:
        """Credentials from KLAVIYO_API_KEY and KLAVIYO_LIST_ID; KLAVIYO_BASE_URL points at a twin."""
        missing = [name for name in NEEDS if not environment.get(name)]
        if missing:
            raise DestinationConfigError(
                f"No credentials for Klaviyo: {' and '.join(missing)} not set.",
                where="the environment",
                todo="set them to a private API key and the id of the list that people subscribe to",
            )
        base_url = environment.get("KLAVIYO_BASE_URL") or None
        return cls(environment["KLAVIYO_API_KEY"], environment["KLAVIYO_LIST_ID"], base_url=base_url)

    @property
    def key(self) -> str:
        return f"{KIND}/{self._list_id}"

    @property
    def traffic(self) -> Traffic:
        return self._client.http.traffic

    @property
    def concurrency(self) -> int:
        return limit(KIND, "connections_used")

    @property
    def jobs(self) -> Jobs:
        return Jobs(
            limit(KIND, "open_jobs"),
            limits_of(KIND)["job_pause_seconds"].value,
            limits_of(KIND)["job_patience_seconds"].value,
        )

    def batch_size(self, operation: Operation) -> int:
        return limit(KIND, _BATCHES[operation])

    @property
    def emptying_size(self) -> int:
        return limit(KIND, "records_per_emptying")

    def bytes_of(self, operation: Operation, record: Record) -> int:
        if operation == "event":
            return klaviyo_events.size(record)
        return size(record) if operation in {"create", "update", "clear"} else 0

    def most_bytes(self, operation: Operation) -> tuple[int | None, int | None]:
        if operation == "event":
            return limit(KIND, "bytes_per_events") - klaviyo_events.ENVELOPE, None
        if operation not in {"create", "update", "clear"}:
            return None, None
        return limit(KIND, "bytes_per_import") - IMPORT_ENVELOPE, limit(KIND, "bytes_per_profile")

    def wait(self, seconds: float) -> None:
        self._client.http.wait(seconds)

    def close(self) -> None:
        self._client.http.close()

    # reading

    def check(self) -> None:
        found = self._client.get(f"/lists/{self._list_id}", **{"fields[list]": "name,opt_in_process"})
        self._opt_in = found["data"]["attributes"].get("opt_in_process")

    def _needs_confirmation(self) -> bool:
        """Whether the list asks everybody by mail before she is subscribed; unless it says so, it does not."""
        if self._opt_in is None:
            self.check()
        return self._opt_in == "double_opt_in"

    def list_fields(self) -> list[FieldSpec]:
        """Own attributes. Custom properties are listed nowhere: those that the first page of profiles has are shown."""
        found = dict.fromkeys(TEXT_ATTRIBUTES, "text")
        for page in self._client.pages("/profiles", {"fields[profile]": "properties"}):
            for row in page:
                for name, value in (row["attributes"].get("properties") or {}).items():
                    is_number = isinstance(value, int | float) and not isinstance(value, bool)
                    found.setdefault(name, "number" if is_number else "text")
            break
        specs = [FieldSpec(key, label_of(key.removeprefix("location.")), kind) for key, kind in found.items()]
        return [spec for spec in specs if name_problem(spec) is None]

    def new_field(self, column: str, kind: str, taken: Collection[str]) -> FieldSpec:
        return FieldSpec(free_name(column, taken), label_of(column), kind, is_emptied=True)

    def missing_fields(self, fields: Sequence[FieldSpec]) -> tuple[FieldSpec, ...]:
        """None ever: own attributes are there, and custom properties come into being when they are written."""
        wrong = [problem for spec in fields if (problem := name_problem(spec)) is not None]
        if wrong:
            raise DestinationConfigError(
                f"The sync's fields do not fit Klaviyo's profiles: {'; '.join(wrong)}.",
                where=self._client.http.where,
                todo="change `field` in the sync's `fields`",
            )
        return ()

    def create_fields(self, fields: Sequence[FieldSpec]) -> None:
        """There is nothing to do: no field is ever missing."""

    def count_members(self) -> None:
        """Klaviyo does not count profiles."""
        return None

    def pull_members(
        self, *, since: datetime | None = None, fields: Sequence[str] = ()
    ) -> Iterator[list[RemoteMember]]:
        """Profiles that have an address. Of whose mail has ended, `last_changed_at` is when it ended: a later change
        of her fields is no news of it."""
        query = _shown(fields)
        if since is None:
            queries = [query | {"sort": "updated"}]
        else:
            text = since.replace(tzinfo=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            queries = [query | {"sort": name, "filter": f"{how}({name},{text})"} for name, how in _CHANGES]
        for one in queries:
            for page in self._client.pages("/profiles", one):
                yield [self._member(row, fields) for row in page if row["attributes"].get("email")]

    def read_back(self, records: Sequence[Record], fields: Sequence[str]) -> list[RemoteMember]:
        """Without the lists of a profile: they take a request for each."""
        return [
            self._member(row, fields)
            for some in filters(sorted({record.email.lower() for record in records}))
            for page in self._client.pages("/profiles", {**_shown(fields), "filter": some})
            for row in page
        ]

    def _member(self, row: Mapping[str, Any], fields: Sequence[str]) -> RemoteMember:
        attributes = row["attributes"]
        standing = standing_of(attributes, self._list_id)
        has_ended = standing.status in {"unsubscribed", "cleaned"}
        return RemoteMember(
            subscriber_hash=hash_of(attributes["email"]),
            email=attributes["email"],
            status=standing.status,
            last_changed_at=(standing.since if has_ended else None) or instant(attributes.get("updated")),
            fields={key: field_of(attributes, key) for key in fields} if fields else None,
            remote_id=row["id"],
        )

    def pull_engagement(self, since: Since, now: datetime) -> Iterator[EngagementPage]:
        return engagement.pull(self._client, since, now)

    def list_segments(self, prefix: str) -> dict[str, str]:
        """The oldest list of each name; never the one that people subscribe to, whatever it is called."""
        query = {"fields[list]": "name", "sort": "created", "page[size]": limit(KIND, "lists_page_size")}
        found: dict[str, str] = {}
        for page in self._client.pages("/lists", query):
            for row in page:
                name = row["attributes"].get("name") or ""
                if name.startswith(prefix) and row["id"] != self._list_id:
                    found.setdefault(name, row["id"])
        return found

    def create_segment(self, name: str) -> str:
        """With double opt-in, so that not even a form that somebody points at it subscribes anybody unasked."""
        if self._n_lists_made >= limit(KIND, "lists_created_per_day"):
            raise DestinationDown(
                f"Klaviyo lets {limit(KIND, 'lists_created_per_day')} lists be made in a day.",
                where=self._client.http.where,
                todo="run the sync again tomorrow, or mirror fewer segments (`include`)",
            )
        attributes = {"name": name, "opt_in_process": "double_opt_in"}
        body = {"data": {"type": "list", "attributes": attributes}}
        response = self._client.request("POST", "/lists", json=body, repeatable=False)
        answer = body_of(response)
        if action_of(response.status_code) is not Action.DONE:
            raise self._client.refusal(response.status_code, answer)
        self._n_lists_made += 1
        return str(answer["data"]["id"])

    # writing

    def upsert(self, operation: Operation, records: Sequence[Record]) -> BatchOutcome:
        """One batch; never raises for a record."""
        if operation == "lower":
            return self._lower(list(records))
        try:
            is_clear = self._follower.older_imports_ended()
        except (DestinationDown, NoAnswer, DestinationConfigError) as error:
            return BatchOutcome(Outcome("rejected", RejectedClass.RETRYABLE, error.what), stop=error)
        if not is_clear:
            why = "Not sent: an import that was under way before has not ended, and could overwrite it."
            return BatchOutcome(Outcome("rejected", RejectedClass.RETRYABLE, why))
        outcomes: dict[str, Outcome] = {}
        for record in records:
            problem = value_problem(record)
            if problem is not None:
                outcomes[record.key] = Outcome("rejected", RejectedClass.DATA, problem)
        fit = [r for r in records if r.key not in outcomes]
        alone = [r for r in fit if operation == "clear" or empties(r)]
        each, n_new, stop = self._import_each(alone)
        if operation == "create":  # they have to be subscribed as well, and so go on with the others
            outcomes |= {key: outcome for key, outcome in each.items() if outcome != CONFIRMED}
            together = [r for r in fit if r.key not in outcomes]
            n_new = 0
        else:
            outcomes |= each
            together = [r for r in fit if r.key not in each]
        if stop is not None:
            late = Outcome("rejected", RejectedClass.RETRYABLE, "Not sent: the destination stopped answering before.")
            outcomes |= {r.key: late for r in together}
            together = []
        delivery = self._client.deliver("POST", "/profile-bulk-import-jobs", together, import_job)
        jobs = tuple(str(answer["data"]["id"]) for _, answer in delivery.taken)
        self._follower.know(jobs)
        return BatchOutcome(
            ACCEPTED if jobs else CONFIRMED,
            outcomes | delivery.exceptions,
            stop=stop or delivery.stop,
            job=str(Token("import", jobs)) if jobs else None,
            unexpected=n_new,
        )

    def _import_each(self, records: list[Record]) -> tuple[dict[str, Outcome], int, Exception | None]:
        """Records that empty a field, one request each; (outcomes, people who came into being, why it stopped)."""
        stops: list[Exception] = []

        def one(record: Record) -> tuple[Outcome, bool]:
            if stops:
                why = "Not sent: the destination stopped answering before."
                return Outcome("rejected", RejectedClass.RETRYABLE, why), False
            body = {"data": profile(record, with_nulls=True)}
            try:
                response = self._client.request("POST", "/profile-import", json=body)
            except NoAnswer as error:
                stops.append(error)
                return Outcome("in_doubt", None, error.what), False
            except DestinationDown as error:
                stops.append(error)
                return Outcome("rejected", RejectedClass.RETRYABLE, error.what), False
            action, answer = action_of(response.status_code), body_of(response)
            if action is Action.DONE:
                return CONFIRMED, response.status_code == 201
            if action is Action.STOP:
                error = self._client.refusal(response.status_code, answer)
                stops.append(error)
                return Outcome("rejected", RejectedClass.RETRYABLE, error.what), False
            return Outcome("rejected", RejectedClass.DATA, self._client.http.clean(detail_of(answer))), False

        with ThreadPoolExecutor(self.concurrency, thread_name_prefix="klaviyo") as pool:
            ended = list(pool.map(one, records))
        outcomes = {record.key: outcome for record, (outcome, _) in zip(records, ended, strict=True)}
        return outcomes, sum(is_new for _, is_new in ended), stops[0] if stops else None

    def _lower(self, records: list[Record]) -> BatchOutcome:
        """End all e-mail marketing to people who withdrew. Repeating it does no harm."""
        path = "/profile-subscription-bulk-delete-jobs"
        delivery = self._client.deliver(
            "POST", path, records, lambda part: global_unsubscription_job([r.email for r in part])
        )
        token = Token("lower", asked_at=int(self._now()))
        return BatchOutcome(
            ACCEPTED, delivery.exceptions, stop=delivery.stop, job=str(token) if delivery.taken else None
        )

    def set_membership(self, segment_id: str, operation: Operation, records: Sequence[Record]) -> BatchOutcome:
        """Members of a segment's list, by profile id; nobody's subscription is touched."""
        if segment_id == self._list_id:
            raise AssertionError("the list that people subscribe to is no segment")
        unseen = Outcome("rejected", RejectedClass.RETRYABLE, "The destination's id of this person is not known yet.")
        outcomes = {r.key: unseen for r in records if not r.remote_id}
        delivery = self._client.deliver(
            "POST" if operation == "add" else "DELETE",
            f"/lists/{segment_id}/relationships/profiles",
            [r for r in records if r.remote_id],
            lambda part: {"data": [{"type": "profile", "id": r.remote_id} for r in part]},
            on_absent=lambda: self._absent(segment_id),
        )
        return BatchOutcome(CONFIRMED, outcomes | _without_absent(delivery, operation), stop=delivery.stop)

    def _absent(self, segment_id: str) -> Exception | None:
        """Whether it is the list that is gone; a profile that is gone costs the others nothing."""
        try:
            found = self._client.find(f"/lists/{segment_id}", **{"fields[list]": "name"})
        except (DestinationDown, NoAnswer, DestinationConfigError) as error:
            return error
        return None if found else self._client.refusal(404, None)

    @property
    def events_are_keyed(self) -> bool:
        return True

    def check_events(self, names: Sequence[str], properties: Sequence[str]) -> None:
        klaviyo_events.check(names, properties)

    def send_events(self, events: Sequence[Event]) -> BatchOutcome:
        return klaviyo_events.send(self._client, events)

    def still_running(self, jobs: Sequence[str]) -> Collection[str]:
        return self._follower.still_running(jobs)

    def poll(self, job: str, operation: Operation, records: Sequence[Record]) -> BatchOutcome | None:
        return self._follower.poll(job, operation, records)


def _without_absent(delivery: Delivery, operation: Operation) -> dict[str, Outcome]:
    """A profile that is gone is in no list (remove); added it can be when it is pulled again (add)."""
    changed: dict[str, Outcome] = {}
    for key, outcome in delivery.exceptions.items():
        if outcome.rejected_class is not RejectedClass.DATA:
            changed[key] = outcome
        elif operation == "add":
            changed[key] = Outcome("rejected", RejectedClass.RETRYABLE, outcome.message)
    return changed


def _shown(fields: Sequence[str]) -> dict[str, Any]:
    """The part of a query that says what is shown of a profile."""
    wanted = ["email", "updated", "subscriptions", *(key for key in fields if is_own(key))]
    wanted += ["properties"] if any(not is_own(key) for key in fields) else []
    return {"additional-fields[profile]": "subscriptions", "fields[profile]": ",".join(wanted)}

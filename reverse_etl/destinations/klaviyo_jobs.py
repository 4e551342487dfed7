"""Klaviyo's jobs to their end: imports, whose errors can be asked for, and subscriptions, which show in profiles alone.

A job is written down as a token of ours, so that any later run can go on with it:

    import:ID,ID            import jobs; a create goes on with
    subscribe:ID,ID:T       subscriptions asked for at T (Unix time) for the people of those imports
    lower::T                unsubscriptions asked for at T
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from reverse_etl.destination import CONFIRMED, BatchOutcome, Operation, Outcome, Record
from reverse_etl.destinations.klaviyo_answers import Standing, outcome_of_error, position_of
from reverse_etl.destinations.klaviyo_client import KIND, Client
from reverse_etl.destinations.klaviyo_payload import subscription_job
from reverse_etl.errors import NoAnswer, RejectedClass
from reverse_etl.limits import limit

ACCEPTED = Outcome("accepted")
_IMPORTS = "/profile-bulk-import-jobs"
_UNDER_WAY = {"queued", "processing"}
_MOST_PAGES = 3
"""Of the list, newest first: where other programs import as well, ours may be further down."""
_GONE = Outcome("in_doubt", None, "Klaviyo does not know this job any more.")
_NO_PROFILE = Outcome("in_doubt", None, "The destination does not show this profile.")
_NO_ADDRESS = Outcome("in_doubt", None, "The job no longer tells whom it was about.")
_MAY_NOT = "The destination does not let this person be subscribed ({}): nothing was asked for."
_NOT_TAKEN = Outcome("rejected", RejectedClass.CONSENT, "The destination did not subscribe this person.")


def hash_of(email: str) -> str:
    """The engine's hash of an address."""
    return hashlib.md5(email.lower().encode(), usedforsecurity=False).hexdigest()


@dataclass(frozen=True)
class Token:
    """What a job is written down as."""

    step: str
    imports: tuple[str, ...] = ()
    asked_at: int = 0

    def __str__(self) -> str:
        text = f"{self.step}:{','.join(self.imports)}"
        return f"{text}:{self.asked_at}" if self.asked_at else text

    @classmethod
    def parse(cls, text: str) -> Token:
        step, _, rest = text.partition(":")
        ids, _, asked_at = rest.partition(":")
        return cls(step, tuple(one for one in ids.split(",") if one), int(asked_at or 0))


class JobFollower:
    """Looks at jobs, and takes the step that follows."""

    def __init__(self, client: Client, now: Callable[[], float], needs_confirmation: Callable[[], bool]) -> None:
        self._client, self._now = client, now
        self._needs_confirmation = needs_confirmation
        self._ours: set[str] = set()
        self._done: dict[str, Mapping[str, Any]] = {}
        """Imports that the list showed as done without an error, until they are looked at."""
        self._looking = threading.Lock()
        self._is_clear: bool | None = None

    def know(self, imports: Iterable[str]) -> None:
        """Import jobs whose end the engine waits for."""
        self._ours.update(imports)

    def older_imports_ended(self) -> bool:
        """Whether no import of before can still overwrite what is about to be sent.

        A run that was killed may have left an import whose id nobody wrote down. So all that are under way when the
        first record of this run goes out are waited for; whose they are does not show. Looked at once.
        """
        with self._looking:
            if self._is_clear is None:
                pause, waited = limit(KIND, "job_pause_seconds"), 0
                older = self._imports_under_way() - self._ours
                while older and waited < limit(KIND, "job_patience_seconds"):
                    self._client.http.wait(pause)
                    waited += pause
                    older &= self._imports_under_way()
                self._is_clear = not older
            return self._is_clear

    def _imports_under_way(self) -> set[str]:
        query = {"filter": 'any(status,["queued","processing"])'}
        return {row["id"] for page in self._client.pages(_IMPORTS, query) for row in page}

    def still_running(self, jobs: Iterable[str]) -> set[str]:
        """Tokens of imports that the vendor's list shows as under way.

        The list shows a hundred in one request, where a look at each has the same window as sending it had. Of those
        that it shows as done without any error the look that follows makes no request either; whatever else it shows,
        or leaves out, a look at the import itself decides.
        """
        imports = {job: token.imports for job in jobs if (token := Token.parse(job)).step == "import"}
        wanted = {one for ids in imports.values() for one in ids}
        running: set[str] = set()
        pages = self._client.pages(_IMPORTS, {"sort": "-created_at"}) if wanted else ()
        for page in islice(pages, _MOST_PAGES):
            for row in (row for row in page if row["id"] in wanted):
                wanted.remove(row["id"])
                if row["attributes"].get("status") in _UNDER_WAY:
                    running.add(row["id"])
                elif row["attributes"].get("status") == "complete" and _is_flawless(row["attributes"]):
                    self._done[row["id"]] = row["attributes"]
            if not wanted:
                break
        return {job for job, ids in imports.items() if not running.isdisjoint(ids)}

    def poll(self, job: str, operation: Operation, records: Sequence[Record]) -> BatchOutcome | None:
        token = Token.parse(job)
        self.know(token.imports)
        if token.step == "import":
            return self._import(token, operation, list(records))
        wanted = {"subscribe": "subscribed", "lower": "unsubscribed"}.get(token.step)
        return BatchOutcome(_GONE) if wanted is None else self._read_back(token, wanted, list(records))

    # imports

    def _import(self, token: Token, operation: Operation, records: list[Record]) -> BatchOutcome | None:
        attributes = [found for one in token.imports if (found := self._attributes(one)) is not None]
        if not attributes or len(attributes) < len(token.imports):
            return BatchOutcome(_GONE)
        states = {a.get("status") for a in attributes}
        if states & _UNDER_WAY:
            return None
        is_whole = len(attributes) == 1 and attributes[0].get("total_count") == len(records)
        with_errors = [one for one, a in zip(token.imports, attributes, strict=True) if not _is_flawless(a)]
        exceptions, n_unknown = self._import_errors(with_errors, records, is_whole)
        rest = [r for r in records if r.key not in exceptions]
        if n_unknown or states != {"complete"}:
            # somebody failed and it does not say who, or it was called off: who is in its profiles was done
            there = self._people_of(token.imports)
            why = Outcome("rejected", RejectedClass.RETRYABLE, "The destination's job did not do this record.")
            exceptions |= {r.key: why for r in rest if r.subscriber_hash not in there}
            rest = [r for r in rest if r.key not in exceptions]
        if operation != "create" or not rest:
            return BatchOutcome(CONFIRMED, exceptions)
        return self._subscribe(token.imports, rest, exceptions)

    def _attributes(self, one: str) -> Mapping[str, Any] | None:
        """Of an import job, as the list showed it if it is done, else as it is now; None where there is none."""
        done = self._done.pop(one, None)
        if done is not None:
            return done
        found = self._client.find(f"{_IMPORTS}/{one}")
        return None if found is None else found["data"]["attributes"]

    def _import_errors(
        self, imports: Sequence[str], records: list[Record], is_whole: bool
    ) -> tuple[dict[str, Outcome], int]:
        """(outcomes by record key, errors that belong to nobody of whom we know)."""
        keys = {r.subscriber_hash: r.key for r in records}
        found: dict[str, Outcome] = {}
        n_unknown = 0
        for one in imports:
            for page in self._client.pages(f"{_IMPORTS}/{one}/import-errors"):
                for row in page:
                    error = row["attributes"]
                    email = _email_in(error.get("original_payload"))
                    at = position_of(error)
                    if email:
                        key = keys.get(hash_of(email))
                    else:
                        key = records[at].key if is_whole and at is not None and at < len(records) else None
                        n_unknown += key is None
                    if key is not None:
                        found[key] = outcome_of_error(error, self._client.http.clean)
        return found, n_unknown

    def _people_of(self, imports: Sequence[str]) -> dict[str, str]:
        """Hash → address of the profiles that import jobs made or changed."""
        found: dict[str, str] = {}
        for one in imports:
            query = {"fields[profile]": "email"}
            for page in self._client.pages(f"{_IMPORTS}/{one}/profiles", query, may_be_gone=True):
                emails = [str(row["attributes"].get("email") or "") for row in page]
                found |= {hash_of(email): email for email in emails if email}
        return found

    # subscriptions

    def _addresses(self, imports: Sequence[str], records: list[Record]) -> dict[str, str]:
        """Record key → address; a run that takes over has no address of people who were being created."""
        people = self._people_of(imports) if imports and not all(r.email for r in records) else {}
        known = {r.key: r.email or people.get(r.subscriber_hash, "") for r in records}
        return {key: email for key, email in known.items() if email}

    def _subscribe(
        self, imports: tuple[str, ...], records: list[Record], exceptions: dict[str, Outcome]
    ) -> BatchOutcome:
        """Ask for the subscription of people whom an import has made.

        Subscribing lifts suppressions (specification: it "will remove any UNSUBSCRIBE, SPAM_REPORT or USER_SUPPRESSED
        suppressions"), so who is to be asked for is looked up immediately before, each time: nobody but who never
        subscribed. Between that look and the request lies what one request takes; the vendor has no condition that
        would close it.
        """
        addresses = self._addresses(imports, records)
        outcomes = dict(exceptions)
        outcomes |= {r.key: _NO_ADDRESS for r in records if r.key not in addresses}
        waiting = [replace(r, email=addresses[r.key]) for r in records if r.key in addresses]
        is_double = self._needs_confirmation()
        left: set[str] = set()
        stop: Exception | None = None
        size = limit(KIND, "records_per_subscription")
        for start in range(0, len(waiting), size):
            some = waiting[start : start + size]
            if stop is not None:
                left |= {r.key for r in some}
                continue
            try:
                willing = self._willing(some, outcomes)
            except Exception as error:  # whatever it was: who has been asked before must not be forgotten
                stop = error
                left |= {r.key for r in some}
                continue
            delivery = self._client.deliver(
                "POST",
                "/profile-subscription-bulk-create-jobs",
                willing,
                lambda part: subscription_job([r.email for r in part], self._client.list_id),
                repeatable=False,  # she may have left in between: who is asked for is looked up first, each time
            )
            stop = delivery.stop
            doubtful = {k for k, o in delivery.exceptions.items() if o.kind == "in_doubt"}
            unsent: set[str] = set()
            if stop is not None:
                unsent = {k for k, o in delivery.exceptions.items() if o.rejected_class is RejectedClass.RETRYABLE}
            # a list that asks everybody by mail would ask her twice: she counts as asked, and is looked at until she
            # answers or is given up
            left |= unsent if is_double else unsent | doubtful
            outcomes |= delivery.exceptions | (dict.fromkeys(doubtful, ACCEPTED) if is_double else {})
        if stop is not None and len(left) == len(waiting):
            raise stop  # nothing happened, and the import is looked at again
        if isinstance(stop, NoAnswer):
            stop = None  # costs the other jobs nothing
        token = str(Token("subscribe", imports, int(self._now())))
        still = frozenset(left)
        if is_double:
            # the list sends everybody a mail: she is subscribed when she answers it, or never, and that is her business
            return BatchOutcome(CONFIRMED, outcomes, stop=stop, job=token, awaits_confirmation=True, left=still)
        return BatchOutcome(ACCEPTED, outcomes, stop=stop, job=token, left=still)

    def _willing(self, records: Sequence[Record], outcomes: dict[str, Outcome]) -> list[Record]:
        """Who has never subscribed; of all others, `outcomes` learns what is the case."""
        standings = self._client.standings([r.email for r in records])
        willing: list[Record] = []
        for record in records:
            standing = standings.get(record.email.lower())
            if standing is None:
                outcomes[record.key] = _NO_PROFILE
            elif standing.status == "never_subscribed":
                willing.append(record)
            elif standing.status == "subscribed":
                outcomes[record.key] = CONFIRMED
            else:
                outcomes[record.key] = _refused(standing)
        return willing

    def _read_back(self, token: Token, wanted: str, records: list[Record]) -> BatchOutcome | None:
        """How people stand now; None while nothing has become of it."""
        addresses = self._addresses(token.imports, records)
        standings = self._client.standings(list(addresses.values()))
        is_over = self._now() - token.asked_at > limit(KIND, "subscription_patience_hours") * 3600
        outcomes: dict[str, Outcome] = {}
        for record in records:
            standing = standings.get(addresses.get(record.key, "").lower())
            if record.key not in addresses:
                outcomes[record.key] = _NO_ADDRESS
            elif standing is None:
                outcomes[record.key] = _NO_PROFILE
            elif standing.status == wanted:
                outcomes[record.key] = CONFIRMED
            elif wanted == "subscribed" and standing.status != "never_subscribed":
                outcomes[record.key] = _refused(standing)
            elif is_over:
                late = Outcome("in_doubt", None, "The destination has not unsubscribed this person.")
                outcomes[record.key] = _NOT_TAKEN if wanted == "subscribed" else late
        return BatchOutcome(ACCEPTED, outcomes, job=str(token)) if outcomes else None


def _is_flawless(job: Mapping[str, Any]) -> bool:
    """Whether an import job says that it did everybody. Its counts may be null, or not up to date [specification]: the
    errors are asked for unless both say so."""
    return job.get("failed_count") == 0 and job.get("completed_count") == job.get("total_count") is not None


def _refused(standing: Standing) -> Outcome:
    return Outcome("rejected", RejectedClass.CONSENT, _MAY_NOT.format(standing.status))


def _email_in(payload: Any) -> str:
    """The address in an error's `original_payload`; its shape is not specified, so both likely ones are understood."""
    if not isinstance(payload, Mapping):
        return ""
    attributes = payload.get("attributes")
    inner = attributes if isinstance(attributes, Mapping) else payload
    return str(inner.get("email") or "")

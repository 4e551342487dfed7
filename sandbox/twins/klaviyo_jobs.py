"""What the Klaviyo twin accepts, and what its jobs do to profiles once their time has come.

Sources: [spec] the vendor's specification, revision 2026-07-15; [vdoc] the vendor's pages; [2nd] what other open
source connectors have met; [unv] not verified against the live API.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from sandbox.twins.klaviyo_store import Job, Profile, Store, now_text

MAX_IMPORT = 10_000  # [spec] "Accepts up to 10,000 profiles per request"
MAX_SUBSCRIBE = 1000  # [spec] "Maximum number of profiles can be submitted for subscription: 1000"
MAX_UNSUBSCRIBE = 100  # [spec] "Maximum number of profiles per call: 100"
MAX_LIST_CHANGE = 1000  # [spec] "This endpoint accepts a maximum of 1000 profiles per call"
MAX_BODY = 5_000_000  # [spec] "The maximum allowed payload size is 5MB"
MAX_PROFILE = 100_000  # [spec] "The maximum allowed payload size per-profile is 100KB"
OWN = ("first_name", "last_name", "organization", "locale", "title", "image", "phone_number", "external_id")  # [spec]
LIFTED = {"UNSUBSCRIBE", "SPAM_COMPLAINT", "USER_SUPPRESSED"}
"""[spec] Subscribing "will remove any UNSUBSCRIBE, SPAM_REPORT or USER_SUPPRESSED suppressions"; the schema of a
profile calls the second one SPAM_COMPLAINT."""

_EMAIL = re.compile(r"[^@\s,;<>()\[\]\\]+@[^@\s,;<>()\[\]\\.]+(\.[^@\s,;<>()\[\]\\.]+)+")


@dataclass
class Refused(Exception):
    """A request is refused; `pointer` names the part at fault."""

    detail: str
    pointer: str = "/data"
    status: int = 400
    code: str = "invalid"
    title: str = "Invalid input."

    def __str__(self) -> str:
        return self.detail


def check_email(email: object, pointer: str) -> str:
    """[2nd] A malformed address in a bulk import has the whole request refused, with a pointer to the record."""
    if not isinstance(email, str) or not _EMAIL.fullmatch(email):
        raise Refused("An invalid email address was given.", f"{pointer}/attributes/email")  # [unv] wording
    return email.lower()


class Worker:
    """Applies what was accepted. `polls`: how many readings of the API a job takes to be done."""

    def __init__(self, store: Store, polls: int) -> None:
        self.store, self.polls = store, polls

    def tick(self) -> None:
        """Time passes with each reading request: the twin has no clock of its own, so that tests need not sleep."""
        with self.store:
            for job in self.store.open_jobs():
                job.polls_left -= 1
                job.status = "processing"
                if job.polls_left < 0:
                    self._do(job)
                self.store.put_job(job)

    def accept(self, kind: str, body: dict[str, Any], total: int) -> Job:
        return self.store.add_job(kind, body, total, self.polls)

    def _do(self, job: Job) -> None:
        job.status, job.completed = "complete", now_text()
        if job.kind == "import":
            self._import(job)
        elif job.kind == "subscribe":
            self._subscribe(job.body)
        elif job.kind == "events":
            self._events(job.body["events"])
        else:
            self._unsubscribe(job.body)

    # profiles

    def write_profile(self, resource: dict[str, Any], *, nulls_clear: bool) -> tuple[Profile, bool]:
        """Create or update; (the profile, is it new). Consent is none of its business [2nd]."""
        given = resource["attributes"]
        found = self.store.profile(given["email"])
        profile = found or Profile(given["email"])
        _merge(profile.attributes, {k: given[k] for k in OWN if k in given}, nulls_clear)
        location = profile.attributes.setdefault("location", {})
        _merge(location, given.get("location") or {}, nulls_clear)
        _merge(profile.properties, given.get("properties") or {}, nulls_clear)
        return self.store.put_profile(profile), found is None

    def _import(self, job: Job) -> None:
        for at, resource in enumerate(job.body["profiles"]):
            email = resource["attributes"]["email"]
            if email.endswith(".invalid"):  # [unv] what an address that is well-formed, and bad all the same, comes to
                job.errors.append(
                    {
                        "code": "invalid",
                        "title": "Invalid input.",
                        "detail": f"Invalid email address: {email}",
                        "source": {"pointer": f"/data/attributes/profiles/data/{at}/attributes/email"},
                        "original_payload": resource,
                    }
                )
                continue
            # [vdoc] a bulk import "does not support setting fields to null"
            profile, _ = self.write_profile(resource, nulls_clear=False)
            job.done.append(profile.id)
            for list_id in job.body["lists"]:
                self.store.put_in_list(list_id, profile.id)

    def _events(self, events: list[dict[str, Any]]) -> None:
        """[spec] "If a unique_id is repeated for the same profile and metric, the request will fail and no events will
        be processed": found out when it is processed, so that nobody learns of it [unv]."""
        keys = [(event["person"], event["name"], event["key"]) for event in events]
        if len(set(keys)) < len(keys) or any(self.store.events.has(*key) for key in keys):
            self.store.count("bulk_events_failed")
            return
        for event in events:
            self.store.events.add(**event)

    # subscriptions

    def _subscribe(self, body: dict[str, Any]) -> None:
        found = self.store.list_row(body["list"]) if body["list"] else None
        is_double = bool(found and found["opt_in_process"] == "double_opt_in") and not body["historical_import"]
        for email in body["emails"]:
            profile = self.store.profile(email) or Profile(email)
            if is_double:  # [spec] "profiles will receive a message requiring their confirmation before subscribing"
                self.store.put_profile(profile)
                self.store.count("confirmations_asked")
                continue
            profile.consent, profile.consent_at, profile.double_optin = "SUBSCRIBED", now_text(), False
            profile.suppressions = [s for s in profile.suppressions if s["reason"] not in LIFTED]
            profile.list_suppressions = [s for s in profile.list_suppressions if s["list_id"] != body["list"]]
            self.store.put_profile(profile)
            if body["list"]:
                self.store.put_in_list(body["list"], profile.id)

    def _unsubscribe(self, body: dict[str, Any]) -> None:
        """[spec] "Profiles not in the specified list will be globally unsubscribed"; with no list, everybody [unv]."""
        for email in body["emails"]:
            profile = self.store.profile(email)
            if profile is None:  # [unv]
                continue
            if body["list"] and self.store.take_out_of_list(body["list"], profile.id):
                entry = {"list_id": body["list"], "reason": "UNSUBSCRIBE", "timestamp": now_text()}
                profile.list_suppressions.append(entry)
            else:
                unsubscribe(profile)
            self.store.put_profile(profile)


def unsubscribe(profile: Profile, reason: str = "UNSUBSCRIBE") -> None:
    """Globally, by herself or through the API; the two look alike [unv]."""
    profile.consent, profile.consent_at = "UNSUBSCRIBED", now_text()
    if all(s["reason"] != reason for s in profile.suppressions):
        profile.suppressions.append({"reason": reason, "timestamp": now_text()})


def _merge(old: dict[str, Any], given: dict[str, Any], nulls_clear: bool) -> None:
    """[spec] profile-import: null clears, what is not named stays."""
    for key, value in given.items():
        if value is not None:
            old[key] = value
        elif nulls_clear:
            old.pop(key, None)

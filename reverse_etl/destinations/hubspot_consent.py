"""Subscriptions of one type, by address: read, begun (for people with evidence alone), ended.

Three facts shape this module:
- a status belongs to an address, not to a contact: it can be set before there is a contact, and outlives her (page of
  the vendor on v1, "Update email subscription status"; that v4 keeps to it is [unverified]);
- v4 *does* subscribe again who had opted out (page of the vendor on v3): so everybody is looked up right before, and
  whoever left in between is put back, since the answer says that it was a re-subscription;
- the batch calls need Marketing Hub Enterprise (vendor's page on v4).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from reverse_etl.destination import Outcome, Record
from reverse_etl.destinations.hubspot_answers import UNNAMED, detail_of, error_by_address, instant
from reverse_etl.destinations.hubspot_api import KIND, Api
from reverse_etl.errors import DestinationConfigError, RejectedClass
from reverse_etl.limits import limit

PATH = "/communication-preferences/v4"
CHANNEL = {"channel": "EMAIL"}
EXPLANATION = "Explicit opt-in, recorded in the company's own consent log."
LEGAL_BASIS = "CONSENT_WITH_NOTICE"
OPTED_OUT = "She has unsubscribed there."
_RAISED = "RESUBSCRIBE_OCCURRED"
_MOST_SPLITS = 40
_CONSENT_WORDS = ("unsubscribed", "opted out", "opt-out", "resubscribe", "re-subscribe")


@dataclass(frozen=True)
class Status:
    """What a person said to our subscription type, and when, where that is told."""

    state: str
    """SUBSCRIBED, UNSUBSCRIBED or NOT_SPECIFIED."""
    at: datetime | None = None


class Consent:
    """One subscription type of one account."""

    def __init__(self, api: Api, subscription_id: int) -> None:
        self._api = api
        self._id = subscription_id

    def check(self) -> None:
        body = self._api.ask("GET", f"{PATH}/definitions")
        if str(self._id) not in {str(row.get("id")) for row in body.get("results") or []}:
            raise DestinationConfigError(
                f"The HubSpot account has no subscription type {self._id}.",
                where="HUBSPOT_SUBSCRIPTION_ID",
                todo="copy the id from Settings > Marketing > Email > Subscription types",
            )

    def _batch(
        self,
        path: str,
        emails: Sequence[str],
        *,
        is_read: bool,
        params: dict[str, str] | None = CHANNEL,
        inputs: Callable[[str], Any] = str,
        splits: list[int] | None = None,
    ) -> dict[str, list[Any]]:
        """Results and errors of a call about these addresses; if it is refused as a whole, of its halves."""
        splits = [_MOST_SPLITS] if splits is None else splits
        body = {"inputs": [inputs(email) for email in emails]}
        # repeatable: whoever is subscribed, or unsubscribed, twice is so once
        status, answer = self._api.send(
            "POST", f"{PATH}/statuses/batch/{path}", params=params, json=body, is_read=is_read
        )
        if status < 300:
            return {key: list((answer or {}).get(key) or []) for key in ("results", "errors")}
        if status != 400 or splits[0] <= 0:
            raise self._api.refusal(status, answer)
        if len(emails) == 1:
            return {"results": [], "errors": [{"message": detail_of(answer), "context": {"id": list(emails)}}]}
        splits[0] -= 1
        middle = len(emails) // 2
        halves = [
            self._batch(path, half, is_read=is_read, params=params, inputs=inputs, splits=splits)
            for half in (emails[:middle], emails[middle:])
        ]
        return {key: halves[0][key] + halves[1][key] for key in ("results", "errors")}

    def _statuses(self, body: dict[str, list[Any]]) -> dict[str, Status]:
        return {
            str(row.get("subscriberIdString") or "").lower(): Status(
                str(status.get("status")), instant(status.get("timestamp"))
            )
            for row in body["results"]
            for status in row.get("statuses") or []
            if str(status.get("subscriptionId")) == str(self._id)
        }

    def read(self, emails: Sequence[str]) -> dict[str, Status]:
        """Lower-case address → her status; who is not in the answer has none."""
        found: dict[str, Status] = {}
        size = limit(KIND, "statuses_per_request")
        for at in range(0, len(emails), size):
            some = [email.lower() for email in emails[at : at + size]]
            found |= self._statuses(self._batch("read", some, is_read=True))
        return found

    def _against(self, emails: Sequence[str]) -> dict[str, str]:
        """Address → why she must not be subscribed: she opted out, of our type or of everything, or no one can tell."""
        wide = self._batch("unsubscribe-all/read", emails, is_read=True)
        said = self._batch("read", emails, is_read=True)
        left = {
            str(row.get("subscriberIdString") or "").lower()
            for row in wide["results"]
            for status in row.get("wideStatuses") or []
            if status.get("status") == "UNSUBSCRIBED"
        }
        left |= {email for email, status in self._statuses(said).items() if status.state == "UNSUBSCRIBED"}
        return {
            **error_by_address(emails, wide),
            **error_by_address(emails, said),
            **dict.fromkeys(left, OPTED_OUT),
        }

    def subscribe(self, records: Sequence[Record]) -> dict[str, Outcome]:
        """Subscribe whoever never left; record key → outcome, of those alone who are not subscribed now.

        Raises as `Api.ask`: nobody counts as subscribed then.
        """
        by_email = {r.email.lower(): r for r in records}
        against = self._against(list(by_email))
        asked = [email for email in by_email if email not in against]
        body = self._write(asked, "SUBSCRIBED") if asked else {"results": [], "errors": []}
        results = {str(row.get("subscriberIdString") or "").lower(): row for row in body["results"]}
        raised = [e for e in asked if (results.get(e) or {}).get("setStatusSuccessReason") == _RAISED]
        if raised:  # she left between our look and our write
            self._write(raised, "UNSUBSCRIBED")
        against |= error_by_address(asked, body) | dict.fromkeys(raised, OPTED_OUT)
        refused = {by_email[e].key: _refusal(self._api.http.clean(why)) for e, why in against.items() if e in by_email}
        unnamed = [e for e in asked if e not in against and (results.get(e) or {}).get("status") != "SUBSCRIBED"]
        return refused | {by_email[email].key: UNNAMED for email in unnamed}

    def _write(self, emails: Sequence[str], state: str) -> dict[str, list[Any]]:
        basis = {"legalBasis": LEGAL_BASIS, "legalBasisExplanation": EXPLANATION} if state == "SUBSCRIBED" else {}

        def asked(email: str) -> dict[str, Any]:
            return {**CHANNEL, "statusState": state, "subscriberIdString": email, "subscriptionId": self._id, **basis}

        return self._batch("write", emails, is_read=False, params=None, inputs=asked)

    def unsubscribe_all(self, records: Sequence[Record]) -> dict[str, Outcome]:
        """End every subscription; record key → outcome, of those alone who are not unsubscribed now."""
        by_email = {r.email.lower(): r for r in records}
        # without `verbose` the answer names nobody (vendor's page)
        body = self._batch("unsubscribe-all", list(by_email), is_read=False, params={**CHANNEL, "verbose": "true"})
        done = {str(row.get("subscriberIdString") or "").lower() for row in body["results"]}
        against = error_by_address(by_email, body)
        return {
            record.key: Outcome("rejected", RejectedClass.DATA, self._api.http.clean(against[email]))
            if email in against
            else UNNAMED
            for email, record in by_email.items()
            if email in against or email not in done
        }


def _refusal(why: str) -> Outcome:
    """Consent, if it speaks of it; else the address's own fault."""
    is_consent = any(word in why.lower() for word in _CONSENT_WORDS)
    return Outcome("rejected", RejectedClass.CONSENT if is_consent else RejectedClass.DATA, why)

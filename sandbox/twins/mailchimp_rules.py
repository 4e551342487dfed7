"""Which records the Mailchimp twin accepts, and what a request may do to a member.

Sources: [spec] the vendor's specification 3.0.55; [rec] recorded traffic 2021-22; [iss] error bodies that users
pasted into public issues; [unv] not verified against the live API.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from typing import Any

from sandbox.twins.mailchimp_store import Member, Store, subscriber_hash

MAX_BATCH = 500  # [spec] "Up to 500 members may be added or updated with each API call"
MAX_SEGMENT_CHANGE = 500  # [spec] "A maximum of 500 members can be sent"
MAX_MERGE_FIELDS = 30  # vendor's help: 30 fields, 80 on premium plans
MAX_TAG_LENGTH = 10  # vendor's help: merge tags have at most 10 characters
MAX_TEXT_BYTES = 255  # [unv] 255; bytes or characters is not documented, bytes is the stricter reading
STATUSES = {"subscribed", "unsubscribed", "cleaned", "pending", "transactional"}  # [spec]
FIELD_TYPES = {
    "text", "number", "address", "phone", "date", "url", "imageurl", "radio", "dropdown", "birthday", "zip",
}  # [spec]  # fmt: skip

_EMAIL = re.compile(r"[^@\s,;<>()\[\]\\]+@[^@\s,;<>()\[\]\\.]+(\.[^@\s,;<>()\[\]\\.]+)+")
_FAKE = {"foo@example.com", "test@test.com"}  # [rec] foo@example.com is refused, other @example.com are not


@dataclass
class Refused(Exception):
    """A record is refused: the vendor's words, for the `errors` of a batch or the problem document of a single call."""

    message: str
    code: str = "ERROR_GENERIC"
    title: str = "Invalid Resource"
    field: str = ""
    field_message: str = ""

    def __str__(self) -> str:
        return self.message


def check_email(email: object) -> str:
    if not isinstance(email, str) or not _EMAIL.fullmatch(email):
        raise Refused("Please provide a valid email address.")  # [rec]
    if email.lower() in _FAKE or email.lower().endswith(".invalid"):
        raise Refused(f"{email} looks fake or invalid, please enter a real email address.")  # [rec]
    return email


def _check_value(kind: str, value: object) -> str | None:
    """What is wrong with a merge field's value, in the vendor's words; None if nothing."""
    if value is None or value == "":
        return None
    if kind == "number":
        try:
            float(str(value))
        except ValueError:
            return "Please enter a number"  # [rec]
        return None
    if kind in {"address"}:
        return None
    text = str(value)
    if kind == "date":
        match = re.fullmatch(r"(\d{4})-(\d{2})-(\d{2}).*|(\d{2})/(\d{2})/(\d{4})", text)
        try:
            if not match:
                return "Please enter a valid date"  # [unv]
            y, m, d = match.group(1, 2, 3) if match.group(1) else match.group(6, 4, 5)
            date(int(y), int(m), int(d))
        except ValueError:
            return "Please enter a valid date"  # [unv]
        return None
    if kind in {"url", "imageurl"} and not re.fullmatch(r"https?://[^\s]+", text):
        return "Please enter a valid URL"  # [unv]
    if len(text.encode()) > MAX_TEXT_BYTES:
        return f"Please enter a value with at most {MAX_TEXT_BYTES} bytes"  # [unv]
    return None


class Rules:
    """The rules applied to one list of a store."""

    def __init__(self, store: Store, list_id: str) -> None:
        self.store = store
        self.list_id = list_id
        self.fields = {row["tag"]: row for row in store.merge_fields(list_id)}

    def merged(self, old: dict[str, Any], given: object, *, is_new: bool, skip_required: bool) -> dict[str, Any]:
        """`old` with the given values; unknown tags are ignored [rec]; an empty string clears."""
        given = given if isinstance(given, dict) else {}
        values = dict(old)
        for tag, value in given.items():
            if tag not in self.fields:
                continue
            problem = _check_value(self.fields[tag]["type"], value)
            if problem:
                raise Refused("Your merge fields were invalid.", field=tag, field_message=problem)  # [rec]
            if value is None or value == "":
                values.pop(tag, None)
            else:
                values[tag] = value
        missing = [tag for tag, row in self.fields.items() if row["required"] and tag not in values]
        if is_new and missing and not skip_required:
            raise Refused("Your merge fields were invalid.", field=missing[0], field_message="Please enter a value")
        return values

    def change_status(self, member: Member, status: str, by: str = "api") -> None:
        """A status change through the API.

        Who unsubscribed by herself, bounced or is under review cannot be subscribed by the API [iss]; who was
        unsubscribed by the API can [unv]: so that a sync which re-subscribes is caught red-handed.
        """
        if status == "subscribed" and (
            member.status == "cleaned" or (member.status == "unsubscribed" and member.unsubscribed_by == "member")
        ):
            raise Refused(
                f"{member.email_address} is in a compliance state due to unsubscribe, bounce, or compliance review "
                "and cannot be subscribed.",
                title="Member In Compliance State",
            )
        if status == "unsubscribed" and member.status != "unsubscribed":
            member.unsubscribed_by = by
        member.status = status

    def new_member(self, email: str, status: object, given: object, *, skip_required: bool) -> Member:
        if self.store.is_forgotten(self.list_id, subscriber_hash(email)):
            raise Refused(
                f"{email} was permanently deleted and cannot be re-imported. The contact must re-subscribe to get "
                "back on the list.",
                title="Forgotten Email Not Subscribed",
            )
        if status not in STATUSES:
            raise Refused("The status of a new list member is missing or unknown.")  # [unv] for a batch
        fields = self.merged({}, given, is_new=True, skip_required=skip_required)
        return Member(email, str(status), fields, "api" if status == "unsubscribed" else None)

    def batch_record(self, record: dict[str, Any], *, update: bool, skip_required: bool) -> tuple[Member, bool]:
        """One record of `POST /lists/{id}`: the member as it becomes, and whether it is new."""
        email = check_email(record.get("email_address"))
        status = record.get("status")
        old = self.store.member(self.list_id, subscriber_hash(email))
        if old is None or old.status == "archived":  # [unv] an archived address is added anew
            return self.new_member(email, status, record.get("merge_fields"), skip_required=skip_required), True
        if not update:
            raise Refused(
                f"{email} is already a list member, do you want to update? please provide update_existing:true "
                "in the request body",
                code="ERROR_CONTACT_EXISTS",
            )
        old.merge_fields = self.merged(
            old.merge_fields, record.get("merge_fields"), is_new=False, skip_required=skip_required
        )
        if status is not None:  # [spec] update_existing "will change existing members' subscription status"
            self.change_status(old, str(status))
        return old, False

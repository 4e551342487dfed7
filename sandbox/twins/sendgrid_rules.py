"""Which requests the SendGrid twin accepts, and what its jobs do to contacts.

Sources: [spec] the vendor's specifications 1.0.0; [rec] recorded traffic 2021; [page] the vendor's support pages;
[iss] error bodies that users pasted into public issues (sendgrid/docs#6323, sendgrid-nodejs#953); [unv] not verified
against the live API.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sandbox.twins.sendgrid_store import Contact, Job, Store

MAX_CONTACTS = 30_000  # [spec] maxItems
MAX_BYTES = 6_000_000  # [spec] "6MB of data"
MAX_FIELDS = 500  # [spec] "You can have up to 500 custom fields."
MAX_LOOKUP = 100  # [spec] "up to 100 contacts"
MAX_URL = 8_192  # [unv] what common servers take; the specification has no number
FIELD_TYPES = ("Text", "Number", "Date")  # [spec]
LENGTHS = {
    "first_name": 50, "last_name": 50, "address_line_1": 100, "address_line_2": 100, "city": 60,
    "state_province_region": 50, "country": 50, "postal_code": None,
}  # [spec] maxLength of contact-request  # fmt: skip
IDENTIFIERS = ("phone_number_id", "external_id", "anonymous_id")  # [spec]
READ_ONLY = {
    "email_domains": "Text", "last_clicked": "Date", "last_opened": "Date", "last_emailed": "Date",
    "singlesend_id": "Text", "automation_id": "Text", "created_at": "Date", "updated_at": "Date", "contact_id": "Text",
}  # [spec] [rec]  # fmt: skip
OTHER_RESERVED = ("email", "alternate_emails", "phone_number", "whatsapp", "line", "facebook", "unique_name")  # [rec]

_EMAIL = re.compile(r"[^@\s,;<>()\[\]\\]+@[^@\s,;<>()\[\]\\.]+(\.[^@\s,;<>()\[\]\\.]+)+")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def is_email(text: object) -> bool:
    return isinstance(text, str) and len(text) <= 254 and _EMAIL.fullmatch(text) is not None


def reserved_fields() -> list[dict[str, Any]]:
    """[rec]"""
    ours = [{"name": name, "field_type": "Text"} for name in (*LENGTHS, *OTHER_RESERVED)]
    return ours + [{"name": name, "field_type": kind, "read_only": True} for name, kind in READ_ONLY.items()]


def flaws_of_field(store: Store, name: object, field_type: object) -> list[dict[str, str]]:
    """[spec]: names are unique whatever their case, and no reserved ones; wordings [unv]."""
    if not isinstance(name, str) or not _NAME.fullmatch(name) or len(name) > 100:
        return [{"field": "name", "message": "invalid field name"}]
    if field_type not in FIELD_TYPES:
        return [{"field": "field_type", "message": "invalid field type"}]
    taken = {row["name"].lower() for row in [*store.fields(), *reserved_fields()]}
    if name.lower() in taken:
        return [{"field": "name", "message": "a field of this name already exists"}]
    if len(store.fields()) >= MAX_FIELDS:
        return [{"message": "too many custom fields"}]
    return []


def flaws_of_upsert(store: Store, body: Any) -> list[dict[str, str]]:
    """Why a batch is refused as a whole; one wrong address is enough [rec]."""
    contacts = body.get("contacts") if isinstance(body, dict) else None
    if not isinstance(contacts, list) or not 1 <= len(contacts) <= MAX_CONTACTS:  # [spec]
        return [{"field": "contacts", "message": f"1 to {MAX_CONTACTS} contacts are needed"}]
    known = {row["id"] for row in store.fields()}
    flaws: list[dict[str, str]] = []
    unknown: set[str] = set()
    for n, contact in enumerate(contacts):
        email = contact.get("email")
        if email is not None and not is_email(email):
            flaws.append({"field": f"contacts[{n}].email", "message": f"email '{email}' is not valid"})  # [rec]
        elif email is None and not any(contact.get(name) for name in IDENTIFIERS):
            flaws.append({"field": f"contacts[{n}]", "message": "an identifier is needed"})  # [spec] wording [unv]
        for name, most in LENGTHS.items():
            if most is not None and len(str(contact.get(name) or "")) > most:
                flaws.append({"field": f"contacts[{n}].{name}", "message": f"at most {most} characters"})  # [unv]
        custom = contact.get("custom_fields") or {}
        unknown |= custom.keys() - known
        flaws += [
            {"message": f'custom field "{key}" cannot be null'} for key, v in custom.items() if v is None
        ]  # [iss]
    if unknown:
        flaws.insert(0, {"message": f"invalid custom field ids supplied - {','.join(sorted(unknown))}"})  # [iss]
    lists = body.get("list_ids") or []
    if not all(store.has_list(list_id) for list_id in lists):
        flaws.append({"field": "list_ids", "message": "a list does not exist"})  # [unv]
    return flaws


def _flaw_of_value(kind: str, value: object) -> str | None:
    """A value that a field cannot hold: accepted with 202 [rec], and told by the job.

    That a number or a date cannot be emptied is the stricter reading of what nobody documents [iss].
    """
    if kind == "Number":
        try:
            float(str(value))
        except ValueError:
            return "is not a number"
    if kind == "Date":
        try:
            datetime.fromisoformat(str(value))
        except ValueError:
            return "is not a date"
    return None


def _upsert(store: Store, payload: dict[str, Any]) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """(counts, errors by address)."""
    fields = {row["id"]: row for row in store.fields()}
    counts = {"requested_count": len(payload["contacts"]), "created_count": 0, "updated_count": 0, "errored_count": 0}
    errors: list[tuple[str, str]] = []
    for given in payload["contacts"]:
        email = given.get("email", "").lower()  # [spec] "The email field will be changed to all lower-case."
        old = store.contact(email)
        if old is not None and any(given.get(name) != value for name, value in old.identifiers.items()):
            # [spec] "In order to update a contact, all of its existing identifiers must be present." What else: [unv]
            errors.append((email, "all existing identifiers must be present"))
            continue
        contact = old or Contact(email, identifiers={name: given[name] for name in IDENTIFIERS if given.get(name)})
        flaws = []
        for key, value in (given.get("custom_fields") or {}).items():
            if key not in fields:
                continue
            flaw = _flaw_of_value(fields[key]["field_type"], value)
            if flaw:  # the value is dropped, the others are kept: the harder case for a sync [unv]
                flaws.append(f"{fields[key]['name']} {flaw}")
            else:
                contact.custom[key] = value  # [rec] an empty string empties a text field
        contact.fields |= {name: given[name] for name in LENGTHS if name in given}
        store.put_contact(contact)
        for list_id in payload.get("list_ids") or []:
            store.set_in_list(list_id, contact.id, True)
        counts["updated_count" if old else "created_count"] += 1
        if flaws:
            errors.append((email, "; ".join(flaws)))
    counts["errored_count"] = len(errors)
    return counts, errors


def _errors_file(errors: Iterable[tuple[str, str]], trouble: str | None) -> bytes:
    """Addresses and reasons [page]; names and order of columns [unv]."""
    if trouble == "other_file":
        return "".join(json.dumps({"reason": why, "identifier": who}) + "\n" for who, why in errors).encode()
    if trouble == "odd_file":
        return b"\x00 nothing that anybody could read"
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["email", "error"])
    writer.writerows(errors)
    return text.getvalue().encode()


def end_job(store: Store, job: Job) -> None:
    """Let a job take effect. `trouble`: what a test, or a curious person, asked for (see `sendgrid.create_app`)."""
    with store:
        if job.trouble == "failed":
            requested = len(job.payload.get("contacts") or job.payload.get("contact_ids") or [])
            store.end_job(job, "failed", {"requested_count": requested, "errored_count": requested})
            return
        if job.kind == "delete":
            for contact_id in job.payload["contact_ids"]:
                store.set_in_list(job.payload["list_id"], contact_id, False)
            store.end_job(job, "completed", {"requested_count": len(job.payload["contact_ids"])})
            return
        counts, errors = _upsert(store, job.payload)
        n_lost = counts["requested_count"] - counts["created_count"] - counts["updated_count"]
        status = "completed" if not errors else "failed" if n_lost == counts["requested_count"] else "errored"  # [spec]
        token = store.add_file(_errors_file(errors, job.trouble)) if errors else None
        results: dict[str, Any] = {**counts, **({"errors_file": token} if token else {})}
        if token and job.trouble == "no_file":
            results["errors_file"] = "expired"
        store.end_job(job, status, results)


def end_jobs(store: Store, up_to: int) -> None:
    """Jobs take effect in the order in which they came [unv]."""
    for job in store.jobs(only_pending=True):
        if job.seq <= up_to:
            end_job(store, job)


def shown(store: Store, contact: Contact) -> dict[str, Any]:
    """A contact as the API shows it: unset fields are empty strings [rec]; custom fields by name [unv]."""
    names = {row["id"]: row["name"] for row in store.fields()}
    return {
        "id": contact.id,
        "email": contact.email or "",
        "alternate_emails": [],
        **{name: contact.fields.get(name, "") for name in LENGTHS},
        **dict.fromkeys(("phone_number", "whatsapp", "line", "facebook", "unique_name"), ""),
        **contact.identifiers,
        "list_ids": store.lists_of(contact.id),
        "segment_ids": [],
        "custom_fields": {names[key]: value for key, value in contact.custom.items() if key in names},
        "created_at": contact.created_at,
        "updated_at": contact.updated_at,
    }


def export_files(store: Store, file_type: str) -> list[bytes]:
    """Compressed files of all contacts: columns in capitals, custom fields among them (as other connectors read it)."""
    contacts, size = store.contacts(), store.contacts_per_file
    names = [row["name"] for row in store.fields()]
    files = []
    for at in range(0, max(1, len(contacts)), size):
        rows = []
        for contact in contacts[at : at + size]:
            row = shown(store, contact)
            row["contact_id"] = row.pop("id")
            rows.append(row)
        text = io.StringIO()
        if file_type == "json":  # [unv] one object per line
            text.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        else:
            plain = ["contact_id", "email", *LENGTHS, *IDENTIFIERS, "created_at", "updated_at"]
            writer = csv.writer(text)
            writer.writerow([name.upper() for name in (*plain, *names)])
            for row in rows:
                custom = row["custom_fields"]
                writer.writerow([*(row.get(name, "") for name in plain), *(custom.get(name, "") for name in names)])
        files.append(gzip.compress(text.getvalue().encode(), mtime=0))
    return files

"""What SendGrid's answers mean: refusals, jobs and their files of errors.

Sources: the vendor's Marketing Campaigns specifications 1.0.0, recorded traffic 2021, and its support page "Unable to
Upload Contacts via a CSV file": the file of a job's errors has "the email addresses and error reasons", and that is all
that is said about it. Strict about what we send, lenient about what we parse.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

_NAMED = re.compile(r"contacts\[(\d+)\]")
_BETWEEN_WORDS = re.compile(r"[\s<>\"'(),:;]+")
_SAYS_WHY = ("message", "error", "reason", "description")

ENDED = ("completed", "errored", "failed")
"""Final states of a job [specification]: without errors; with some; with nothing but errors, or unprocessable."""


def contact_hash(email: str) -> str:
    """Our own key of a person: MD5 of the lower-case address, as the vendor stores it."""
    return hashlib.md5(email.strip().lower().encode(), usedforsecurity=False).hexdigest()


def instant(text: object) -> datetime | None:
    """ISO 8601 or epoch seconds, as naive UTC; None for anything else."""
    try:
        if isinstance(text, (int, float)):
            return datetime.fromtimestamp(text, UTC).replace(tzinfo=None)
        parsed = datetime.fromisoformat(str(text).strip().replace(" UTC", "+00:00"))
    except (ValueError, OverflowError, OSError):
        return None
    return parsed.astimezone(UTC).replace(tzinfo=None) if parsed.tzinfo else parsed


def _errors(body: object) -> list[Mapping[str, Any]]:
    if not isinstance(body, Mapping):
        return []
    given = body.get("errors", body)
    return [e for e in (given if isinstance(given, list) else [given]) if isinstance(e, Mapping)]


def detail_of(body: object) -> str:
    """All errors of an answer in one line (addresses are still inside)."""
    parts = [": ".join(str(e[key]) for key in ("field", "message") if e.get(key)) for e in _errors(body)]
    return "; ".join(part for part in parts if part) or "no explanation"


def named_records(body: object) -> dict[int, str]:
    """Position in the batch → what is wrong with it, for the records that a refusal names ("contacts[0].email")."""
    named: dict[int, str] = {}
    for error in _errors(body):
        found = _NAMED.search(str(error.get("field") or ""))
        if found:
            named.setdefault(int(found[1]), f"{error.get('field')}: {error.get('message', '')}")
    return named


def is_about_the_sync(body: object) -> bool:
    """Whether a refusal is about what all records share: a field or a list that is not there (any more)."""
    return any(
        str(e.get("field") or "").startswith("list_ids") or "invalid custom field ids" in str(e.get("message", ""))
        for e in _errors(body)
    )


@dataclass
class JobEnd:
    """What is known of a job's records when it, or all parts of it, ended."""

    wrong: dict[str, str] = field(default_factory=dict)
    """By subscriber hash: refused, and why."""
    created: int = 0
    is_clear: bool = True
    """Everybody who is not in `wrong` came through; else that cannot be told."""

    def add(self, status: str, results: Mapping[str, Any], wrong: Mapping[str, str], n_unknown: int) -> None:
        """One ended job: its file of errors named `wrong`, and `n_unknown` more that are none of our records."""
        self.wrong.update(wrong)
        self.created += int(results.get("created_count") or 0)
        if status == "completed" and not results.get("errored_count"):
            return
        expected = results.get("requested_count" if status == "failed" else "errored_count")
        if expected is None or n_unknown or len(wrong) < expected:
            self.is_clear = False


def read_errors(
    rows: Iterable[Mapping[str, Any]], ours: Collection[str], clean: Callable[[str], str]
) -> tuple[dict[str, str], int]:
    """(subscriber hash → why, rows that are about nobody of ours) of a job's file of errors.

    Whatever its columns are called: a row is about the first address in it that is ours.
    """
    wrong: dict[str, str] = {}
    n_unknown = 0
    for row in rows:
        texts = {str(name).lower(): str(value) for name, value in row.items() if value not in (None, "")}
        words = (word for text in texts.values() for word in _BETWEEN_WORDS.split(text))
        hashes = [contact_hash(word) for word in words if "@" in word]
        hers = next((one for one in hashes if one in ours), None)
        if hers is None:
            n_unknown += 1
            continue
        said = [text for name, text in texts.items() if any(word in name for word in _SAYS_WHY)]
        why = clean("; ".join(said or texts.values()))
        wrong[hers] = f"{wrong[hers]}; {why}"[:300] if hers in wrong else why
    return wrong, n_unknown

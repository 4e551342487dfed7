"""What lies in the landing folder, and what of it is new: pure functions for the sensor."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

SETTLE_SECONDS = 5.0
"""A file that changed more recently than this may still be being written: it waits for the next look."""


@dataclass(frozen=True)
class Seen:
    """A file as it was at a look."""

    size: int
    modified_ns: int
    sha256: str = ""


Look = Mapping[str, Seen]
"""Path relative to the folder → what was there."""


def landed_files(folder: Path) -> dict[str, Seen]:
    """Files of the landing folder; names that begin with `.` or `_` are someone's unfinished work."""
    found: dict[str, Seen] = {}
    if not folder.is_dir():
        return found
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if any(part.startswith((".", "_")) for part in relative.parts) or not path.is_file():
            continue
        try:
            status = path.stat()
        except FileNotFoundError:  # moved away between the listing and the look
            continue
        found[relative.as_posix()] = Seen(status.st_size, status.st_mtime_ns)
    return found


def settled(look: Look, now_ns: int, seconds: float = SETTLE_SECONDS) -> dict[str, Seen]:
    """Only the files that have not changed for a while."""
    return {name: seen for name, seen in look.items() if now_ns - seen.modified_ns >= seconds * 1e9}


def compare(before: Look, now: Look, digest: Callable[[str], str]) -> tuple[dict[str, Seen], list[str]]:
    """The look to remember, and the files whose content was not there before.

    Size and modification time decide what is read at all; content decides what is new. A touched, renamed or removed
    file is no news.
    """
    known = {seen.sha256 for seen in before.values()}
    remember: dict[str, Seen] = {}
    fresh: list[str] = []
    for name, seen in now.items():
        old = before.get(name)
        if old is not None and (old.size, old.modified_ns) == (seen.size, seen.modified_ns):
            remember[name] = old
            continue
        sha256 = digest(name)
        remember[name] = Seen(seen.size, seen.modified_ns, sha256)
        if sha256 not in known:
            fresh.append(name)
    return remember, fresh


def run_key(look: Look, fresh: list[str]) -> str:
    """Names a request by the content that it is for, so that the same content asks once."""
    digest = hashlib.sha256()
    for sha256 in sorted(look[name].sha256 for name in fresh):
        digest.update(sha256.encode())
    return f"landing-{digest.hexdigest()[:32]}"


def to_cursor(look: Look) -> str:
    """A look as text."""
    return json.dumps({name: [seen.size, seen.modified_ns, seen.sha256] for name, seen in sorted(look.items())})


def from_cursor(cursor: str | None) -> dict[str, Seen]:
    """A look from text; none yet, or one of another version, is an empty one."""
    try:
        return {name: Seen(*values) for name, values in json.loads(cursor or "{}").items()}
    except (ValueError, TypeError, AttributeError):
        return {}


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's content, hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

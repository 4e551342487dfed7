"""Troubles of the machine, not of anybody's code: a full disk, no right to write, too little memory."""

from __future__ import annotations

import errno
import re

from cli.session import current_session
from warehouse.errors import ConfigError, DataError, MailwrightError, RetriableError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FULL_TEXT = re.compile(r"no space left|disk quota|file too large|could not write file|failed to write", re.IGNORECASE)


def explain(error: BaseException) -> MailwrightError | None:
    """The error that a person can act on behind `error`; None if there is none."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryException":
        return RetriableError(
            "There is not enough memory for this.",
            todo="raise MAILWRIGHT_MEMORY_LIMIT (now {}), or close other programs; then run this again".format(
                _setting("memory_limit", "4GB")
            ),
        )
    if _is_full(error):
        return RetriableError(
            "The disk is full, or a quota was reached. What was half-written rolled back.",
            where=_setting("home", "the home folder"),
            todo="free some space (`mailwright doctor` shows how much there is), then run the same command again",
        )
    if isinstance(error, PermissionError):
        return ConfigError(
            f"No permission: {error.strerror}.",
            where=str(error.filename or _setting("home", "the home folder")),
            todo="give yourself access to it, or name another folder with --home",
        )
    if isinstance(error, UnicodeEncodeError) and "surrogates" in error.reason:
        name = error.object.encode(errors="surrogateescape").decode(errors="backslashreplace")
        return DataError(
            "The name of a file or folder is no UTF-8.",
            where=" ".join(name.split())[:300],
            todo="rename it, or run this with LANG=C.UTF-8",
        )
    return None


def _is_full(error: BaseException) -> bool:
    if isinstance(error, OSError) and error.errno in _FULL:
        return True
    return type(error).__module__.startswith(("duckdb", "_duckdb")) and bool(_FULL_TEXT.search(str(error)))


def _setting(name: str, default: str) -> str:
    session = current_session()
    return str(getattr(session.settings, name)) if session else default

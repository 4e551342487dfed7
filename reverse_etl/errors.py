"""Errors of reverse ETL, by how one recovers from them, and the classes of rejected records."""

from __future__ import annotations

import re
from enum import StrEnum

from warehouse.errors import ConfigError, RefusedError, RetriableError


class RejectedClass(StrEnum):
    """Why a destination did not take a record, by what it takes to get it through."""

    RETRYABLE = "retryable"
    """Sent again by the next pass or run."""
    DATA = "data"
    """The record's content: not sent again until it changes."""
    CONSENT = "consent"
    """The destination may not mail this person: not sent again until the record changes."""
    CONFIG = "config"
    """The sync's declaration and the destination disagree: not sent again until record or declaration changes."""


class DestinationConfigError(ConfigError):
    """Wrong key, unknown list, a field that cannot exist: nothing will go through until somebody changes it."""


class DestinationDown(RetriableError):
    """The destination could not be reached, or went on throttling: what was asked did not happen."""


class NoAnswer(RetriableError):
    """A request was sent and no answer came: it may have taken effect."""


class GuardTripped(RefusedError):
    """A plan would do more than its sync's guards allow."""


class Stopped(RetriableError):
    """The process was asked to end; a run stopped where that is safe."""


class LeaseHeld(RefusedError):
    """Another run of this sync is alive."""


class WebhookRefused(RefusedError):
    """A delivery that is not proven to be the vendor's, or that nobody can read: nothing of it was taken."""


_AT = re.compile(r"%(?:25)*40|&(?:amp;)*(?:#0*64|#x0*40|commat);|\\+(?:u00|x)40|[\uff20\ufe6b]", re.IGNORECASE)
"""As links, HTML, JSON and other alphabets write it."""
_QUOTED = re.compile(r"""\\?"(?!\\")(?:[^"\\]|\\.){1,200}\\?"@[^\s<>(),:;"'&]+""")
"""With a quoted local part, which may have blanks."""
_WORD = re.compile(r"""[^\s<>(),:;"]+""")


def _without_address(word: re.Match[str]) -> str:
    """What is before a sign @ goes as a whole, apostrophes inside it too: half an address tells whose it is."""
    text = word[0]
    before, at, after = text.rpartition("@")
    local = before.lstrip("'")
    domain, more, rest = after.partition("&")
    if not at or not local or not domain.strip("'"):
        return text
    end = domain.removesuffix("'")
    return f"{before[: -len(local)]}<address>{domain[len(end) :]}{more}{rest}"


def without_secrets(text: str, secrets: tuple[str, ...] = ()) -> str:
    """`text` fit for logs and the ledger: no e-mail address, none of `secrets`, one line, at most 300 characters."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, "<secret>")
    text = _AT.sub("@", text)
    if "@" in text:
        text = _WORD.sub(_without_address, _QUOTED.sub("<address>", text))
    return " ".join(text.split())[:300]

"""Signatures: over the bytes as they came, compared in constant time and letter by letter, within a window of time.

Letter by letter because hexadecimal in capitals, or Base64 with other idle bits, would decode to the same signature.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from reverse_etl.errors import WebhookRefused
from reverse_etl.limits import limit

_TODO = "check that the secret is that of this webhook, and that method, URL, headers and body arrive unchanged"


@dataclass(frozen=True)
class Request:
    """A delivery as it arrived."""

    headers: Mapping[str, str]
    body: bytes
    secret: str
    method: str
    url: str
    """As the vendor called it: scheme, host, path and query."""
    now: datetime
    """Naive UTC."""

    def header_if_any(self, name: str) -> str | None:
        """A header, whatever the case of its name.

        Raises:
            WebhookRefused: there are two.
        """
        found = [value for key, value in self.headers.items() if key.lower() == name.lower()]
        if len(found) > 1:
            raise WebhookRefused(f"The webhook has two headers {name}.", todo=_TODO)
        return found[0] if found else None

    def header(self, name: str) -> str:
        """A header that has to be there.

        Raises:
            WebhookRefused: it is not, or there are two.
        """
        found = self.header_if_any(name)
        if found is None:
            raise WebhookRefused(
                f"The webhook has no header {name}.", todo="turn on signing for this webhook at the vendor"
            )
        return found


def wrong() -> WebhookRefused:
    return WebhookRefused("The webhook's signature is wrong.", todo=_TODO)


def check_hmac(request: Request, signed: bytes, signature: str, encoding: str) -> None:
    """Compare a signature with the HMAC-SHA256 of what was signed, in `hex` or `base64`.

    Raises:
        WebhookRefused: they differ.
    """
    digest = hmac.new(as_bytes(request.secret), signed, hashlib.sha256).digest()
    expected = base64.b64encode(digest) if encoding == "base64" else digest.hex().encode()
    if not hmac.compare_digest(expected, as_bytes(signature)):
        raise wrong()


def as_bytes(value: str) -> bytes:
    """UTF-8 of any text, half surrogate pairs included."""
    return value.encode("utf-8", "surrogatepass")


def check_fresh(vendor: str, signed_at: datetime | None, now: datetime) -> None:
    """Refuse what was signed too long ago (a replay), or later than now by more than clocks may differ.

    Raises:
        WebhookRefused: it was, or there is no date.
    """
    old, ahead = limit(f"{vendor}_webhook", "seconds_old"), limit(f"{vendor}_webhook", "seconds_ahead")
    if signed_at is None or not -ahead <= (now - signed_at).total_seconds() <= old:
        raise WebhookRefused(
            "The webhook's signature is not of now.",
            todo="check this machine's clock; what the vendor did not get through, it sends again",
        )

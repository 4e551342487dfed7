"""One e-mail address to its normal form (grammar: email-validator; no DNS)."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]")
ROLES = frozenset(
    {
        "abuse", "accounts", "admin", "administrator", "billing", "compliance", "contact",
        "customerservice", "devnull", "enquiries", "enquiry", "feedback", "finance", "ftp", "help",
        "helpdesk", "hello", "hostmaster", "hr", "info", "inquiries", "invoices", "it", "jobs", "legal",
        "list", "list-request", "mail", "mailer-daemon", "marketing", "media", "news", "newsletter",
        "no-reply", "nobody", "noc", "noreply", "office", "orders", "postmaster", "press", "privacy",
        "purchasing", "remove", "reception", "registrar", "root", "sales", "security", "service", "shop",
        "spam", "support", "sysadmin", "team", "tech", "undisclosed-recipients", "unsubscribe", "usenet",
        "uucp", "webmaster", "www",
    }
)  # fmt: skip
"""Local parts that name an office; the common core of what ESPs block (RFC 2142 and vendors' lists)."""

_REASONS = (
    ("must have an @-sign", "no @ sign"),
    ("something before the @-sign", "nothing before the @"),
    ("something after the @-sign", "nothing after the @"),
    ("too long", "too long"),
    ("special-use or reserved", "reserved domain"),
    ("should have a period", "not a full domain"),
    ("period", "misplaced period"),
    ("before the @-sign", "characters before the @ that are not allowed"),
    ("after the @-sign", "domain that is not allowed"),
    ("display name", "display name around the address"),
    ("quoted", "quoted local part"),
)


@dataclass(frozen=True)
class Email:
    """A normalized address, or why there is none."""

    value: str | None
    is_valid: bool
    reason: str | None
    is_role: bool = False


def _cleaned(raw: str) -> str:
    """Without what people and exports put around an address: blanks, invisible characters, mailto:, < >."""
    text = _INVISIBLE.sub("", raw).strip()
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        text = text[1:-1].strip()
    if text[:7].lower() == "mailto:":
        text = text[7:]
    if text.startswith("<") and text.endswith(">"):
        text = text[1:-1]
    return unicodedata.normalize("NFC", text.strip())


def _reason(message: str) -> str:
    # the library's messages may quote the address: only a fixed wording leaves this function
    return next((said for sign, said in _REASONS if sign in message), "not an address")


def normalize_email(raw: str, *, lower_local: bool = True, strip_plus: bool = False) -> Email:
    """Lower-case, IDNA-encoded address of a raw one.

    Args:
        raw: as it was typed or exported.
        lower_local: also lower the part before the @ (the domain always is).
        strip_plus: drop `+tag` at the end of the part before the @.
    """
    from email_validator import EmailNotValidError, validate_email

    text = _cleaned(raw)
    if not text:
        return Email(None, False, "empty")
    try:
        parsed = validate_email(text, check_deliverability=False, strict=True)
    except (EmailNotValidError, UnicodeError, ValueError) as error:
        return Email(None, False, _reason(str(error)))
    local = parsed.local_part
    if lower_local:
        # not casefold: it would make 'ß' into 'ss', another mailbox
        local = unicodedata.normalize("NFC", local.lower())
    base = local.split("+", 1)[0]
    if strip_plus and base:
        local = base
    return Email(f"{local}@{parsed.ascii_domain.lower()}", True, None, is_role=base.lower() in ROLES)

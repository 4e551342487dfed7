"""One e-mail address to its normal form (grammar: email-validator; no DNS)."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import unquote

from ingest.domains import is_disposable, mailbox

# the joiners U+200C and U+200D count in names of other scripts: another domain would be left without them
_INVISIBLE = re.compile("[\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]")
_JOINERS_IN_ASCII = re.compile("(?<![^\x00-\x7f])[\u200c\u200d]+(?![^\x00-\x7f])")
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
    ("unsafe characters", "characters that are not allowed"),
    ("must have an @-sign", "no @ sign"),
    ("something before the @-sign", "nothing before the @"),
    ("something after the @-sign", "nothing after the @"),
    ("Quoting the part", "quoted local part"),
    ("close quote", "quoted local part"),
    ("anything after the email address", "text around the address"),
    ("angle bracket at the start", "text around the address"),
    ("too long", "too long"),
    ("special-use or reserved", "reserved domain"),
    ("should have a period", "not a full domain"),
    ("period", "misplaced period"),
    ("hyphen", "misplaced hyphen"),
    ("before the @-sign", "characters before the @ that are not allowed"),
    ("after the @-sign", "domain that is not allowed"),
    ("display name", "display name around the address"),
    ("invalid character", "characters that are not allowed"),
)


@dataclass(frozen=True)
class Email:
    """A normalized address, or why there is none."""

    value: str | None
    """What mail is sent to."""
    is_valid: bool
    reason: str | None
    is_role: bool = False
    is_disposable: bool = False
    identity: str | None = None
    """What equals are equal by: `value`, or the mailbox behind it."""


def _visible(text: str) -> str:
    text = _JOINERS_IN_ASCII.sub("", _INVISIBLE.sub("", text)).strip()
    return text.replace("\uff20", "@").replace("\ufe6b", "@")  # what some keyboards type for it


def _cleaned(raw: str) -> str:
    """Without what people and exports put around an address: blanks, invisible characters, quotes, mailto:, < >."""
    text = _visible(raw)
    before = ""
    while text != before:  # '<mailto:…>' as well as 'mailto:<…>'
        before = text
        if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
            text = text[1:-1].strip()
        if text[:7].lower() == "mailto:":
            # RFC 6068: headers after '?', anything percent-encoded; an address has no colon, so once at most
            text = _visible(unquote(text[7:].split("?", 1)[0], errors="strict"))
        if text.startswith("<") and text.endswith(">"):
            text = text[1:-1].strip()
    return unicodedata.normalize("NFC", text)


def _reason(message: str) -> str:
    # the library's messages may quote the address: only a fixed wording leaves this function
    return next((said for sign, said in _REASONS if sign in message), "not an address")


def normalize_email(
    raw: str, *, lower_local: bool = True, provider_rules: bool = False, never_disposable: Collection[str] = ()
) -> Email:
    """Lower-case, IDNA-encoded address of a raw one.

    Args:
        raw: as it was typed or exported.
        lower_local: also lower the part before the @ (the domain always is).
        provider_rules: equals are those that the provider delivers to one mailbox (domains.yml).
        never_disposable: domains that are not, whatever the list says.
    """
    from email_validator import EmailNotValidError, validate_email

    try:
        text = _cleaned(raw)
        if not text:
            return Email(None, False, "empty")
        parsed = validate_email(text, check_deliverability=False, strict=True)
    except (EmailNotValidError, UnicodeError, ValueError) as error:
        return Email(None, False, _reason(str(error)))
    local = parsed.local_part
    if lower_local:
        # not casefold: it would make 'ß' into 'ss', another mailbox
        local = unicodedata.normalize("NFC", local.lower())
    domain = parsed.ascii_domain.lower()
    value = f"{local}@{domain}"
    return Email(
        value,
        True,
        None,
        is_role=local.split("+", 1)[0].lower() in ROLES,
        is_disposable=is_disposable(domain, never=never_disposable),
        identity=mailbox(value) if provider_rules else value,
    )

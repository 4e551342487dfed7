"""One identifier as people write it (`email:Ann@Example.org`) and as the graph has it."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from ingest.domains import mailbox
from warehouse.errors import ConfigError

TYPES = (
    "contact_id", "customer_id", "user_id", "anonymous_id", "email", "phone", "phone_and_name", "mailbox",
    "loyalty_card", "device_id",
)  # fmt: skip
"""The types of the seed `identifier_types`."""
ADDRESSES = frozenset({"email", "phone"})
PERSONAL = ADDRESSES | {"phone_and_name", "mailbox"}
"""Types whose values are not shown unless asked for: who knows a name finds the telephone of its md5 by trying all."""
HASH_LENGTH = 12
_NAMED_PHONE = re.compile(r"(?P<phone>[+(]?[\d ()./-]*\d) +(?P<name>\D*\w\D*)")
_MD5 = re.compile("[0-9a-f]{32}")
_HASHED = re.compile(f"sha256:([0-9a-f]{{{HASH_LENGTH}}})")
# what the macro clean_text takes for a blank
_BLANKS = str.maketrans({"\u00a0": " ", "\t": " ", "\n": " ", "\r": " "})


@dataclass(frozen=True, order=True)
class Identifier:
    """Type and value as in the graph; ordered as the pairs of its edges are."""

    type: str
    value: str

    @property
    def digest(self) -> str | None:
        """The hash, if the value is only known by it."""
        found = _HASHED.fullmatch(self.value)
        return found.group(1) if found else None

    def shown(self, *, values: bool = False) -> str:
        """`type:value`; an address, or a telephone with a name, as its hash, unless `values`."""
        return f"{self.type}:{self.value if values else masked(self.type, self.value)}"


def masked(identifier_type: str, value: str) -> str:
    """The value, or `sha256:` and 12 hex of its hash if it is personal: an address, whatever the column is called."""
    is_personal = identifier_type in PERSONAL or "@" in value
    if not is_personal or _HASHED.fullmatch(value):
        return value
    return f"sha256:{hashlib.sha256(value.encode()).hexdigest()[:HASH_LENGTH]}"


def parse_identifier(text: str, place: str = "the identifier") -> Identifier:
    """`type:value` in the graph's form: e-mail and phone through the loader's normalizer, others trimmed as by staging.

    Any spelling of a mailbox names it.

    Args:
        text: as it was typed. An address may be given as the hash that reports show (`email:sha256:0f6a…`); a telephone
            with a name in words (`phone_and_name:+442079460000 Ann Smith`), as the graph has it, or as that hash.
        place: which one it is, for the message.

    Raises:
        ConfigError: unknown type, no value, or an address that the loader would refuse too.
    """
    kind, colon, raw = text.partition(":")
    kind = kind.strip()
    if not colon or kind not in TYPES:
        # what stands there may be an address or a telephone without its type: it is not repeated
        is_word = colon and re.fullmatch(r"[A-Za-z_]+", kind)
        what = f"'{kind}' is no type of identifier." if is_word else "An identifier needs its type."
        raise ConfigError(what, where=place, todo=f"write it as type:value; types are {', '.join(TYPES)}")
    value = raw.translate(_BLANKS).strip(" ")
    if not value:
        raise ConfigError("The identifier has no value.", where=place, todo=f"write it as {kind}:value")
    if kind in ADDRESSES and not _HASHED.fullmatch(value):
        value = _normalized(kind, raw, place)
    if kind == "mailbox" and not _HASHED.fullmatch(value):
        value = mailbox(_normalized("email", raw, place))
    if kind == "phone_and_name" and not _HASHED.fullmatch(value) and not _MD5.fullmatch(value):
        value = _named_phone(value, place)
    return Identifier(kind, value)


def _normalized(kind: str, raw: str, place: str) -> str:
    from ingest.normalize import normalize_values, options_of_environment

    row = normalize_values(kind, [raw], options_of_environment()).to_pylist()[0]
    if not row["is_valid"]:
        examples = {"email": "email:name@domain", "phone": "phone:+442079460000"}
        raise ConfigError(
            f"This is not {'an e-mail address' if kind == 'email' else 'a telephone number'}: {row['reason']}.",
            where=place,
            todo=f"write it like {examples[kind]}" + ", with its country code" * (kind == "phone"),
        )
    return row["normalized_value"]


def _named_phone(value: str, place: str) -> str:
    """As `int_identity__named_phones` makes it: md5 of the number in normal form and the full name in small letters."""
    found = _NAMED_PHONE.fullmatch(value)
    if not found:
        raise ConfigError(
            "This is not a telephone number with a full name.",
            where=place,
            todo="write it like phone_and_name:+442079460000 Ann Smith, or as the hash that other commands show",
        )
    phone = _normalized("phone", found["phone"], place)
    # as the macro fold_case has it: engines disagree on the dot of İ and on the sigma at a word's end
    name = found["name"].lower().replace("i\u0307", "i").replace("ς", "σ")
    words = " ".join([phone, *name.split()])
    return hashlib.md5(words.encode(), usedforsecurity=False).hexdigest()

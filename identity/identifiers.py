"""One identifier as people write it (`email:Ann@Example.org`) and as the graph has it."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from warehouse.errors import ConfigError

TYPES = ("contact_id", "customer_id", "user_id", "anonymous_id", "email", "phone", "loyalty_card", "device_id")
"""The types of the seed `identifier_types`."""
ADDRESSES = frozenset({"email", "phone"})
HASH_LENGTH = 12
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
        """`type:value`; an address as its hash, unless `values`."""
        return f"{self.type}:{self.value if values else masked(self.type, self.value)}"


def masked(identifier_type: str, value: str) -> str:
    """The value, or `sha256:` and 12 hex of its hash if it is an address, whatever the column is called."""
    is_address = identifier_type in ADDRESSES or "@" in value
    if not is_address or _HASHED.fullmatch(value):
        return value
    return f"sha256:{hashlib.sha256(value.encode()).hexdigest()[:HASH_LENGTH]}"


def parse_identifier(text: str, place: str = "the identifier") -> Identifier:
    """`type:value` in the graph's form: e-mail and phone through the loader's normalizer, others trimmed as by staging.

    Args:
        text: as it was typed. An address may be given as the hash that reports show (`email:sha256:0f6a…`).
        place: which one it is, for the message.

    Raises:
        ConfigError: unknown type, no value, or an address that the loader would refuse too.
    """
    kind, colon, raw = text.partition(":")
    kind = kind.strip()
    if not colon or kind not in TYPES:
        # what stands there may be an address without its type: it is not repeated
        what = f"'{kind}' is no type of identifier." if colon and "@" not in kind else "An identifier needs its type."
        raise ConfigError(what, where=place, todo=f"write it as type:value; types are {', '.join(TYPES)}")
    value = raw.translate(_BLANKS).strip(" ")
    if not value:
        raise ConfigError("The identifier has no value.", where=place, todo=f"write it as {kind}:value")
    if kind in ADDRESSES and not _HASHED.fullmatch(value):
        value = _normalized(kind, raw, place)
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

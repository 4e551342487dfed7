"""The choices of one installation about identifiers, and the name of all that decides a result."""

from __future__ import annotations

import hashlib
import json
import os
from importlib.metadata import version
from typing import Annotated, Any

from pydantic import ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from ingest.domains import PROVIDERS
from ingest.phones import known_regions
from warehouse.errors import ConfigError

_LIBRARIES = {"email": ("email-validator", "idna", "disposable-email-domains"), "phone": ("phonenumbers",)}
_PREFIX = "MAILWRIGHT_NORMALIZE_"
_REVISION = 1
"""Raised when our own code gives another result for the same value."""


def _words(value: Any) -> Any:
    return [word for word in value.replace(",", " ").split() if word] if isinstance(value, str) else value


def _domain(word: str) -> str:
    import idna

    try:
        return idna.encode(word, uts46=True).decode()
    except idna.IDNAError:  # its message may quote an address
        raise ValueError("names something that is no domain; use domains such as 21cn.com") from None


class NormalizeOptions(BaseSettings):
    """Choices of one installation; each can be set as an environment variable MAILWRIGHT_NORMALIZE_<NAME>."""

    model_config = SettingsConfigDict(env_prefix=_PREFIX, env_ignore_empty=True, frozen=True, extra="forbid")

    lower_local_part: bool = True
    """`Ann@x.org` is `ann@x.org`. No big mailbox provider tells them apart, and ESPs do not either."""
    provider_rules: bool = False
    """`a.nn+shop@googlemail.com` has the identity of `ann@gmail.com` (domains.yml); mail still goes where it went."""
    never_disposable: Annotated[tuple[str, ...], NoDecode] = ()
    """Domains that are not disposable, whatever the list says; those below them too."""
    phone_regions: Annotated[tuple[str, ...], NoDecode] = ()
    """ISO 3166-1 codes of where numbers without a country code may be from, e.g. `GB`; without any, they are not valid,
    and neither is a number that fits several."""

    @field_validator("never_disposable", mode="before")
    @classmethod
    def _domains(cls, value: Any) -> Any:
        return [_domain(str(word)) for word in _words(value)]

    @field_validator("phone_regions", mode="before")
    @classmethod
    def _regions(cls, value: Any) -> Any:
        regions = [str(word).upper() for word in _words(value)]
        if unknown := [region for region in regions if region not in known_regions()]:
            hint = " (United Kingdom: GB)" if "UK" in unknown else ""
            raise ValueError(f"'{unknown[0]}' is no region with a numbering plan{hint}; use ISO codes such as US,GB")
        return regions

    def rules(self, kind: str) -> str:
        """Name of all that decides a result: options, versions of the libraries and lists, our own code."""
        mine = {"phone_regions"} if kind == "phone" else set(type(self).model_fields) - {"phone_regions"}
        decides = {
            "options": self.model_dump(mode="json", include=mine),
            "libraries": {name: version(name) for name in _LIBRARIES[kind]},
            "providers": kind == "email" and hashlib.md5(PROVIDERS.read_bytes(), usedforsecurity=False).hexdigest(),
            "revision": _REVISION,
        }
        return hashlib.md5(json.dumps(decides, sort_keys=True).encode(), usedforsecurity=False).hexdigest()


def options_of_environment() -> NormalizeOptions:
    """The choices as the environment states them.

    Raises:
        ConfigError: a variable that is none of ours, or a value that cannot be.
    """
    names = [_PREFIX + name.upper() for name in NormalizeOptions.model_fields]
    for name in sorted(os.environ):
        # a choice that is silently not made would merge people, or part them
        if name.upper().startswith(_PREFIX) and name.upper() not in names:
            raise ConfigError(f"{name} is no setting.", todo="use " + ", ".join(names) + " (docs/loading.md)")
    try:
        return NormalizeOptions()
    except ValidationError as error:
        first = error.errors()[0]
        name = _PREFIX + str(first["loc"][0]).upper()
        said = str(first.get("ctx", {}).get("error") or first["msg"])
        raise ConfigError(f"{name}: {said}.", todo="correct the environment variable (docs/loading.md)") from None

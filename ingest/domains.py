"""What the domain of an address says: how its provider reads names, and whether mailboxes there are thrown away."""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

PROVIDERS = Path(__file__).with_suffix(".yml")


class Provider(BaseModel):
    """One entry of domains.yml."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    domains: tuple[str, ...] = Field(min_length=1)
    same_as: str | None = None
    tag: str | None = Field(default=None, min_length=1, max_length=1)
    ignored: str = ""

    @model_validator(mode="after")
    def _stands_for_itself(self) -> Provider:
        if self.same_as is not None and self.same_as not in self.domains:
            raise ValueError("same_as must be one of the domains")
        return self


@cache
def providers() -> dict[str, Provider]:
    """Domain → its provider."""
    content = yaml.safe_load(PROVIDERS.read_text(encoding="utf-8"))
    found: dict[str, Provider] = {}
    for entry in content["providers"]:
        provider = Provider.model_validate(entry)
        for domain in provider.domains:
            if found.setdefault(domain, provider) is not provider:
                raise ValueError(f"{domain} stands twice in {PROVIDERS.name}")
    return found


def mailbox(address: str) -> str:
    """The address that stands for all spellings of one mailbox; itself where its provider has no rule.

    Args:
        address: in normal form.
    """
    local, _, domain = address.rpartition("@")
    provider = providers().get(domain)
    if provider is None:
        return address
    name = local.split(provider.tag, 1)[0] if provider.tag else local
    name = "".join(char for char in name if char not in provider.ignored).lower()
    if not name or name.startswith(".") or name.endswith("."):  # no such mailbox: whose it is, the rule cannot say
        return address
    return f"{name}@{provider.same_as or domain}"


@cache
def _disposable() -> frozenset[str]:
    from disposable_email_domains import blocklist

    return frozenset(blocklist)


def is_disposable(domain: str, *, never: Collection[str] = ()) -> bool:
    """Whether the domain, or one above it, hands out mailboxes to throw away.

    Args:
        domain: ASCII, lower case.
        never: domains that the installation knows better; those below them too.
    """
    labels = domain.split(".")
    for start in range(len(labels) - 1):  # a top-level domain alone is nobody's
        parent = ".".join(labels[start:])
        if parent in never:
            return False
        if parent in _disposable():
            return True
    return False

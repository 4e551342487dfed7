"""Which class speaks to which kind of destination; credentials come from the environment."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from reverse_etl.destination import Destination
from reverse_etl.errors import DestinationConfigError
from reverse_etl.limits import keep_to

if TYPE_CHECKING:
    from reverse_etl.declaration import SyncDeclaration


VENDORS: Mapping[str, str] = {
    "hubspot": "HubSpot",
    "klaviyo": "Klaviyo",
    "mailchimp": "Mailchimp",
    "sendgrid": "SendGrid",
}
"""Kind of destination (a module of `reverse_etl.destinations`) → the vendor's name (the class there)."""


def _module(kind: str) -> Any:
    if kind not in VENDORS:
        raise DestinationConfigError(
            f"Unknown destination '{kind}'.",
            where="`destination` in the sync's YAML",
            todo=f"use one of: {', '.join(sorted(VENDORS))}",
        )
    return importlib.import_module(f"reverse_etl.destinations.{kind}")


def make_destination(kind: str, environment: Mapping[str, str] | None = None) -> Destination:
    """The destination of that kind, with credentials from `environment` (default: the process's).

    Raises:
        DestinationConfigError: unknown kind, or no credentials.
    """
    destination = getattr(_module(kind), VENDORS[kind])
    return destination.from_environment(os.environ if environment is None else environment)


def _variable(kind: str, account: str, name: str) -> str:
    """The environment variable of an account in place of the vendor's `name`."""
    return account + name.removeprefix(kind.upper()) if account else name


def needs_of(declaration: SyncDeclaration) -> list[str]:
    """Environment variables without which a sync's account cannot be reached.

    Raises:
        DestinationConfigError: unknown kind.
    """
    kind = declaration.destination
    return [_variable(kind, declaration.account, name) for name in _module(kind).NEEDS]


def open_account(kind: str, account: str = "", limits: Mapping[str, int] | None = None) -> Destination:
    """The account of that kind whose variables start with `account` (default: the vendor's name), within these limits.

    Raises:
        DestinationConfigError: unknown kind, or no credentials.
    """
    keep_to(kind, limits or {})
    if not account:
        return make_destination(kind)
    vendors, ours = kind.upper() + "_", account + "_"
    others = {name: value for name, value in os.environ.items() if not name.startswith(vendors)}
    own = {name: value for name, value in os.environ.items() if name.startswith(ours)}
    named = getattr(_module(kind), "NAME", None)
    if named is not None:  # two accounts that nobody told apart would share what is confirmed, and what was read
        own.setdefault(ours + named.removeprefix(vendors), account.lower())
    try:
        return make_destination(
            kind, others | {vendors + name.removeprefix(ours): value for name, value in own.items()}
        )
    except DestinationConfigError as error:
        needs = " and ".join(_variable(kind, account, name) for name in _module(kind).NEEDS)
        raise DestinationConfigError(
            error.what, where=error.where, todo=f"this account's variables start with {account}: set {needs}"
        ) from None


def open_destination(declaration: SyncDeclaration) -> Destination:
    """The account that a sync writes to.

    Raises:
        DestinationConfigError: unknown kind, or no credentials.
    """
    return open_account(declaration.destination, declaration.account, declaration.limits)

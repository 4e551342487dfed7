"""Which class speaks to which kind of destination; credentials come from the environment."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from reverse_etl.destination import Destination
from reverse_etl.errors import DestinationConfigError


def _mailchimp(environment: Mapping[str, str]) -> Destination:
    from reverse_etl.destinations.mailchimp import Mailchimp

    return Mailchimp.from_environment(environment)


def _hubspot(environment: Mapping[str, str]) -> Destination:
    from reverse_etl.destinations.hubspot import HubSpot

    return HubSpot.from_environment(environment)


def _klaviyo(environment: Mapping[str, str]) -> Destination:
    from reverse_etl.destinations.klaviyo import Klaviyo

    return Klaviyo.from_environment(environment)


def _sendgrid(environment: Mapping[str, str]) -> Destination:
    from reverse_etl.destinations.sendgrid import SendGrid

    return SendGrid.from_environment(environment)


DESTINATIONS: dict[str, Callable[[Mapping[str, str]], Destination]] = {
    "hubspot": _hubspot,
    "klaviyo": _klaviyo,
    "mailchimp": _mailchimp,
    "sendgrid": _sendgrid,
}


def make_destination(kind: str, environment: Mapping[str, str] | None = None) -> Destination:
    """The destination of that kind, with credentials from `environment` (default: the process's).

    Raises:
        DestinationConfigError: unknown kind, or no credentials.
    """
    if kind not in DESTINATIONS:
        raise DestinationConfigError(
            f"Unknown destination '{kind}'.",
            where="`destination` in the sync's YAML",
            todo=f"use one of: {', '.join(sorted(DESTINATIONS))}",
        )
    return DESTINATIONS[kind](os.environ if environment is None else environment)

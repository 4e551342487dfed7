"""Our errors as Dagster understands them: try again, or stop with the clear message."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import dagster as dg

from warehouse.errors import MailwrightError, RetriableError

MAX_RETRIES = 3
FIRST_WAIT_SECONDS = 5.0
CLEAR_MESSAGE = "mailwright/error"
"""Metadata key of a failure whose message is ours, and thus free of personal data."""


def wait_seconds(retry_number: int) -> float:
    """Pause before the next try: 5, 10, 20 seconds."""
    return FIRST_WAIT_SECONDS * 2**retry_number


@contextlib.contextmanager
def translated_errors(retry_number: int) -> Iterator[None]:
    """Raise Dagster's counterparts of our errors; anything else is a mistake of ours and passes as it is.

    Raises:
        dagster.RetryRequested: something outside was busy (RetriableError).
        dagster.Failure: every other MailwrightError; trying again would give the same.
    """
    try:
        yield
    except RetriableError as error:
        if retry_number >= MAX_RETRIES:
            raise _failure(error) from error
        raise dg.RetryRequested(max_retries=MAX_RETRIES, seconds_to_wait=wait_seconds(retry_number)) from error
    except MailwrightError as error:
        raise _failure(error) from error


def _failure(error: MailwrightError) -> dg.Failure:
    return dg.Failure(
        description=str(error),
        metadata={CLEAR_MESSAGE: type(error).__name__},
        allow_retries=False,
    )

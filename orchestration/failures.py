"""Our errors as Dagster understands them: try again, or stop with the clear message."""

from __future__ import annotations

import contextlib
import traceback
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
            raise _failure(error) from None
        raise dg.RetryRequested(max_retries=MAX_RETRIES, seconds_to_wait=wait_seconds(retry_number)) from error
    except MailwrightError as error:
        raise _failure(error) from None


def _failure(error: MailwrightError) -> dg.Failure:
    """The clear message, to be raised without its cause: Dagster prints each cause's stack, twice.

    How it came about stays in the run's log, at debug level.
    """
    dg.get_dagster_logger().debug("".join(traceback.format_exception(error)))
    return dg.Failure(
        description=str(error),
        metadata={CLEAR_MESSAGE: type(error).__name__},
        allow_retries=False,
    )

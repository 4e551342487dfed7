"""What a failed run tells people: job, run, steps and our own messages; never a person's data.

A traceback may hold a row, and a row a person. So only messages that Mailwright wrote itself are passed on, and even
there anything that looks like an address or a telephone is masked.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from orchestration.names import one_line
from warehouse.errors import ConfigError, RetriableError
from warehouse.telephones import without_telephones

WEBHOOK_VARIABLE = "MAILWRIGHT_ALERT_WEBHOOK"
TIMEOUT_SECONDS = 10.0
MESSAGE_CHARACTERS = 500
_ADDRESS = re.compile(r"[^\s@<>\"'(),;:]+@[^\s@<>\"'(),;:]*\w")


@dataclass(frozen=True)
class Alert:
    """A failed run in words."""

    job: str
    run_id: str
    steps: tuple[tuple[str, str], ...]
    """(step, what went wrong)."""
    verb: str = "failed"

    @property
    def text(self) -> str:
        """One message for a chat."""
        lines = [f"Mailwright: the job {self.job} {self.verb} (run {self.run_id})."]
        lines += [f"{step}: {message}" for step, message in self.steps]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Body of the webhook call: `text` is what Slack, Mattermost and Teams show."""
        return {"text": self.text, **asdict(self)}


def masked(text: str) -> str:
    """Text without anything that looks like an e-mail address or a telephone."""
    return without_telephones(_ADDRESS.sub("[address]", text))


def message_of(error: Any) -> str:
    """What may be told of a step's error.

    `error` is Dagster's serializable error. Ours come as `Failure` with the clear message; a blocking check names
    itself and its table; of any other, the class name alone is told.
    """
    while error is not None:
        name = str(error.cls_name or "")
        if name in {"Failure", "DagsterAssetCheckFailedError"}:
            text = re.sub(r"^[\w.]*(?:Failure|Error):\s*", "", str(error.message))
            return masked(one_line(text, name))[:MESSAGE_CHARACTERS]
        if error.cause is None:
            return f"{name or 'error'} (see the run's log)"
        error = error.cause
    return "see the run's log"


def alert_of(job: str, run_id: str, steps: Sequence[tuple[str, Any]]) -> Alert:
    """The alert for a failed run; without a failed step its process was gone."""
    told = tuple((step, message_of(error)) for step, error in steps)
    return Alert(job, run_id, told or (("run", "the run ended without a failed step: killed, or never started"),))


def send_alert(alert: Alert, *, log: Callable[[str], None], webhook: str | None = None) -> bool:
    """Post the alert; without a webhook it is written to the log. Returns whether it was posted.

    Raises:
        ConfigError: the webhook refuses the message.
        RetriableError: the webhook does not answer.
    """
    url = webhook or os.environ.get(WEBHOOK_VARIABLE)
    if not url:
        log(alert.text)
        return False
    import httpx

    # the address of a webhook is a secret: it is in no message
    try:
        response = httpx.post(url, json=alert.to_dict(), timeout=TIMEOUT_SECONDS)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise RetriableError(
            f"The alert webhook does not answer ({type(error).__name__}).",
            where=WEBHOOK_VARIABLE,
            todo="check the address; the failed run is in Dagster's UI",
        ) from None
    if response.is_error:
        raise ConfigError(
            f"The alert webhook refuses the message (status {response.status_code}).",
            where=WEBHOOK_VARIABLE,
            todo="check the address; the failed run is in Dagster's UI",
        )
    return True

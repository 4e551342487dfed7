"""What a failed run tells, and what it never tells."""

from __future__ import annotations

import json
import logging
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from orchestration.alerts import Alert, alert_of, masked, message_of, send_alert
from orchestration.failures import FIRST_WAIT_SECONDS, MAX_RETRIES, translated_errors, wait_seconds
from orchestration.run import QUIET
from warehouse.errors import ConfigError, DataError, RefusedError, RetriableError


def error(name: str, message: str, cause: Any = None) -> Any:
    return SimpleNamespace(cls_name=name, message=message, cause=cause)


def test_our_own_messages_are_told_without_addresses() -> None:
    ours = error("Failure", "dagster._core.errors.Failure: raw.crm_contacts: ana@shop.example is twice there\n")
    assert message_of(ours) == "raw.crm_contacts: [address] is twice there"


def test_of_other_errors_the_class_alone_is_told() -> None:
    theirs = error("KeyError", "KeyError: 'Ana Díaz, ana@shop.example'")
    assert message_of(theirs) == "KeyError (see the run's log)"


def test_the_cause_is_looked_for() -> None:
    wrapped = error("DagsterExecutionStepExecutionError", "…", cause=error("Failure", "Failure: no key"))
    assert message_of(wrapped) == "no key"


def test_a_killed_run_has_no_failed_step() -> None:
    assert "killed" in alert_of("train", "r1", []).text


def test_without_a_webhook_the_log_gets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    assert send_alert(Alert("train", "r1", (("ml__churn", "no data"),)), log=lines.append) is False
    assert lines == ["Mailwright: the job train failed (run r1).\nml__churn: no data"]


def test_the_webhook_gets_text_and_facts(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, dict[str, Any]]] = []

    def post(url: str, *, json: dict[str, Any], timeout: float) -> httpx.Response:
        calls.append((url, json))
        return httpx.Response(200)

    monkeypatch.setattr(httpx, "post", post)
    monkeypatch.setenv("MAILWRIGHT_ALERT_WEBHOOK", "http://127.0.0.1:1/hook")
    assert send_alert(Alert("train", "r1", (("s", "m"),)), log=print) is True
    assert calls[0][1]["job"] == "train"
    assert json.loads(json.dumps(calls[0][1]))["text"].startswith("Mailwright")


def test_a_webhook_is_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    url = "http://127.0.0.1:9/secret-token"

    def refuse(*_: Any, **__: Any) -> httpx.Response:
        return httpx.Response(404)

    def down(*_: Any, **__: Any) -> httpx.Response:
        raise httpx.ConnectError(f"cannot reach {url}")

    for post, kind in ((refuse, ConfigError), (down, RetriableError)):
        monkeypatch.setattr(httpx, "post", post)
        with pytest.raises(kind) as raised:
            send_alert(Alert("train", "r1", ()), log=print, webhook=url)
        assert "secret-token" not in str(raised.value)


def test_masking_spares_the_rest() -> None:
    assert masked("three rows (ana+x@shop.example, +49 151 12345678) of 1,234,567 in raw.crm_contacts") == (
        "three rows ([address], [telephone]) of 1,234,567 in raw.crm_contacts"
    )


@pytest.mark.parametrize("kind", [ConfigError, DataError, RefusedError])
def test_errors_that_would_come_again_stop_with_the_clear_message(kind: type[Exception]) -> None:
    import dagster as dg

    with pytest.raises(dg.Failure) as raised, translated_errors(0):
        raise kind("The key is wrong.")
    assert raised.value.description == "The key is wrong."
    assert raised.value.allow_retries is False


def test_what_is_busy_is_tried_again_with_growing_pauses() -> None:
    import dagster as dg

    with pytest.raises(dg.RetryRequested) as raised, translated_errors(1):
        raise RetriableError("The warehouse is busy.")
    assert raised.value.seconds_to_wait == 2 * FIRST_WAIT_SECONDS
    assert [wait_seconds(n) for n in range(3)] == [5.0, 10.0, 20.0]
    with pytest.raises(dg.Failure), translated_errors(MAX_RETRIES):
        raise RetriableError("The warehouse is busy.")


def test_mistakes_of_ours_pass_as_they_are() -> None:
    with pytest.raises(ZeroDivisionError), translated_errors(0):
        _ = 1 / 0


def test_a_clear_error_is_told_without_a_stack_and_the_log_keeps_it() -> None:
    import dagster as dg

    @dg.asset
    def broken() -> None:
        with translated_errors(0):
            try:
                int("x")
            except ValueError as error:
                raise DataError("The build failed.") from error

    with dg.DagsterInstance.ephemeral() as instance:
        job = dg.Definitions(assets=[broken]).resolve_implicit_global_asset_job_def()
        result = job.execute_in_process(instance=instance, run_config=QUIET, raise_on_error=False)
        (failed,) = [event for event in result.all_events if event.is_step_failure]
        told = failed.step_failure_data.error
        assert told is not None
        assert message_of(told) == "The build failed."
        assert "DataError" not in told.to_string()
        assert "ValueError" not in told.to_string()
        kept = [entry.user_message for entry in instance.all_logs(result.run_id) if entry.level == logging.DEBUG]
    assert any('int("x")' in text and "DataError: The build failed." in text for text in kept)

"""Sensors, ticked by hand."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from orchestration.jobs import SEGMENTS_REFRESH
from orchestration.landing import SETTLE_SECONDS
from orchestration.sensors import failure_sensor, landing_sensor
from warehouse.settings import Settings


def tick(settings: Settings, instance: dg.DagsterInstance, cursor: str | None) -> Any:
    context = dg.build_sensor_context(instance=instance, cursor=cursor)
    return landing_sensor(settings).evaluate_tick(context)


def put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    old = path.stat().st_mtime_ns - int((SETTLE_SECONDS + 60) * 1e9)
    os.utime(path, ns=(old, old))


@pytest.fixture
def instance() -> Any:
    with dg.instance_for_test() as made:
        yield made


def test_new_content_asks_for_one_refresh(settings: Settings, instance: dg.DagsterInstance) -> None:
    nothing = tick(settings, instance, None)
    assert not nothing.run_requests
    put(settings.landing_dir / "shop_orders" / "a.csv", "order_id\n1\n")
    first = tick(settings, instance, nothing.cursor)
    assert len(first.run_requests) == 1
    again = tick(settings, instance, first.cursor)
    assert not again.run_requests
    put(settings.landing_dir / "shop_orders" / "copy_of_a.csv", "order_id\n1\n")
    copied = tick(settings, instance, again.cursor)
    assert not copied.run_requests
    put(settings.landing_dir / "shop_orders" / "b.csv", "order_id\n2\n")
    second = tick(settings, instance, copied.cursor)
    assert len(second.run_requests) == 1
    assert second.run_requests[0].run_key != first.run_requests[0].run_key


def test_a_lost_cursor_asks_under_the_same_name(settings: Settings, instance: dg.DagsterInstance) -> None:
    put(settings.landing_dir / "shop_orders.csv", "order_id\n1\n")
    keys = {tick(settings, instance, None).run_requests[0].run_key for _ in range(2)}
    assert len(keys) == 1


def test_a_file_in_the_making_waits(settings: Settings, instance: dg.DagsterInstance) -> None:
    path = settings.landing_dir / "shop_orders.csv"
    put(path, "order_id\n1\n")
    os.utime(path)
    assert not tick(settings, instance, None).run_requests


def test_it_asks_for_the_hourly_job(settings: Settings) -> None:
    assert landing_sensor(settings).job_name == SEGMENTS_REFRESH


def test_a_failed_run_is_told_without_personal_data(instance: dg.DagsterInstance, monkeypatch: Any) -> None:
    told: list[str] = []
    monkeypatch.setattr("orchestration.sensors.send_alert", lambda alert, log: told.append(alert.text))

    @dg.op
    def ours() -> None:
        raise dg.Failure("The key is wrong for ana@shop.example.", allow_retries=False)

    @dg.op
    def theirs() -> None:
        raise KeyError("ana@shop.example")

    @dg.job(name="segments_refresh")
    def failing() -> None:
        ours()
        theirs()

    result = failing.execute_in_process(instance=instance, raise_on_error=False)
    context = dg.build_run_status_sensor_context(
        sensor_name="failure_alert",
        dagster_instance=instance,
        dagster_run=result.dagster_run,
        dagster_event=result.get_run_failure_event(),
    ).for_run_failure()
    failure_sensor([failing])(context)
    (text,) = told
    assert "segments_refresh" in text
    assert "ours: The key is wrong for [address]." in text
    assert "theirs: KeyError (see the run's log)" in text
    assert "ana@" not in text

"""The demo: the whole main job on a simulated store (or on real orders), against two simulated ESPs on this machine.

The one module of the product that knows the sandbox. Run twice, the second run meets the same files, the same
warehouse and the same people there, and has nothing left to write.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli import pipeline
from cli.output import Output, count, plural
from cli.report.data import ReportData, read_report_data
from cli.twin import start_twin, state_path
from ml_jobs.catalogue import JOBS
from reverse_etl.connect import VENDORS
from warehouse.errors import DataError, RefusedError
from warehouse.settings import Settings, load_settings

if TYPE_CHECKING:
    from expectations.report import CheckReport

ESPS = ("mailchimp", "klaviyo")
"""One that answers each write at once, and one that has a job for it."""
AS_SIMULATED = ("stale_source", "expired")
"""A simulated store does not grow old."""
MARKER = "demo.json"
"""Marks a home as a demo's, with the configuration that it was made for."""


@dataclass(frozen=True)
class DemoConfig:
    """What store to simulate. None: the sandbox's default (20,000 contacts, 1,000,000 events, 18 months)."""

    contacts: int | None = None
    events: int | None = None
    months: int | None = None
    seed: int | None = None
    orders: Path | None = None
    """A file of real orders in the columns of UCI Online Retail, in place of simulated ones."""

    def sandbox_options(self) -> dict[str, Any]:
        given = {"n_contacts": self.contacts, "n_web_events": self.events, "months": self.months, "seed": self.seed}
        return {name: value for name, value in given.items() if value is not None}

    def fingerprint(self) -> str:
        """Equal for the same store: options and the orders' content."""
        parts: dict[str, Any] = {"options": self.sandbox_options(), "orders": None}
        if self.orders is not None:
            with self.orders.open("rb") as file:
                parts["orders"] = hashlib.file_digest(file, "sha256").hexdigest()
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class DemoReport:
    """How a demo ended."""

    home: Path
    as_of: datetime
    report_path: Path
    snapshot_path: Path
    seconds: dict[str, float]
    data: ReportData
    syncs: dict[str, dict[str, Any]]
    """What each sync did."""
    esps: dict[str, dict[str, int]]
    """The twins' own counters, this run alone: requests, writes, throttled."""

    @property
    def writes(self) -> int:
        return sum(counters["writes"] for counters in self.esps.values())

    @property
    def requests(self) -> int:
        return sum(counters["requests"] for counters in self.esps.values())

    def to_dict(self) -> dict[str, Any]:
        return {
            "home": self.home,
            "as_of": self.as_of,
            "report_path": self.report_path,
            "snapshot_path": self.snapshot_path,
            "seconds": {name: round(value, 1) for name, value in self.seconds.items()},
            "writes_to_esp": self.writes,
            "esps": self.esps,
            "syncs": self.syncs,
            "data": asdict(self.data),
        }


def demo_settings(settings: Settings, config: DemoConfig, *, home_given: bool) -> Settings:
    """The demo's own installation: production target, in a home beside the user's unless one was named."""
    name = "demo-orders" if config.orders else "demo"
    home = settings.home if home_given else settings.home / name
    # everything else (threads, memory) as the user set it; the warehouse file lies in that home
    kept = settings.model_dump(exclude={"home", "warehouse", "landing", "target", "schema_override"})
    return load_settings(**kept, home=home, target="prod")


def claim_home(settings: Settings, config: DemoConfig, *, fresh: bool = False) -> None:
    """Make sure that this home is the demo's and holds just this store.

    Raises:
        DataError: there is no such file of orders.
        RefusedError: the home holds something else.
    """
    if config.orders is not None and not config.orders.is_file():
        raise DataError(
            "There is no such file of orders.",
            where=str(config.orders),
            todo="name a Parquet, CSV or XLSX file with the columns of UCI Online Retail",
        )
    marker, wanted = settings.home / MARKER, config.fingerprint()
    found = json.loads(marker.read_text(encoding="utf-8")) if marker.exists() else None
    if found is None and settings.warehouse_path.exists():
        raise RefusedError(
            "This folder holds a warehouse that is not a demo's.",
            where=str(settings.home),
            todo="name another folder with --home, or leave --home out",
        )
    if found is not None and found["fingerprint"] != wanted:
        if not fresh:
            raise RefusedError(
                "This folder holds a demo of another store.",
                where=str(settings.home),
                todo="add --fresh to delete it and start anew, or name another folder with --home",
            )
        shutil.rmtree(settings.home)
    elif fresh and found is not None:
        shutil.rmtree(settings.home)
    settings.home.mkdir(parents=True, exist_ok=True)
    marker.write_text(
        json.dumps({"fingerprint": wanted, "options": config.sandbox_options(), "orders": bool(config.orders)}),
        encoding="utf-8",
    )


def make_store(
    settings: Settings, config: DemoConfig, on_line: Callable[[str], None] | None = None
) -> tuple[Path, bool]:
    """The store's files and manifest. Returns its path, and whether it was made just now."""
    from sandbox.config import SandboxConfig
    from sandbox.output import MANIFEST

    folder = settings.home / "files"
    manifest = folder / MANIFEST
    if manifest.exists():  # written last: a folder with one is complete
        return manifest, False
    options = SandboxConfig(**config.sandbox_options())
    if config.orders is not None:
        from sandbox.online_retail import convert

        report = convert(config.orders, folder, options, on_progress=on_line)
    else:
        from sandbox.generate import generate

        report = generate(folder, options, on_progress=on_line)
    return report.manifest_path, True


def run_demo(settings: Settings, config: DemoConfig, out: Output) -> DemoReport:
    """All steps, each with its seconds on stderr."""
    as_of = _fill(settings, config, out)
    _model(settings, out)
    syncs, esps = _send(settings, out)
    with out.step("Publish the snapshot"):
        snapshot = pipeline.publish(settings)
    with out.step("Write the report") as step:
        from cli.report.render import write_report

        data = read_report_data(settings)
        path = write_report(settings, data, syncs, dict(out.seconds))
        step.note(path.name)
    return DemoReport(settings.home, as_of, path, snapshot, dict(out.seconds), data, syncs, esps)


def _fill(settings: Settings, config: DemoConfig, out: Output) -> datetime:
    """Files → raw → checked → clock → normalized."""
    title = "Put real orders into the store" if config.orders else "Simulate a store"
    with out.step(title) as step:
        manifest, made = make_store(settings, config, step.detail)
        step.note("" if made else "there already")
    with out.step("Load into raw") as step:
        loaded = pipeline.load_files(settings, manifest, on_line=step.detail)
        step.note(pipeline.load_note(loaded))
    if loaded.as_of is None:
        raise DataError("The store's manifest names no as_of.", where=str(manifest), todo="run again with --fresh")
    if loaded.loads:
        with out.step("Load what was planted (for tests)"):
            pipeline.load_truth(settings, manifest.parent)
    with out.step("Check the loads") as step:
        checked = pipeline.check_loads(settings)
        step.note(_check_note(checked))
    as_of = pipeline.pin(settings, loaded.as_of)
    out.say(f"  The clock stands at {as_of}Z, where the data ends.")
    with out.step("Normalize e-mails and phones") as step:
        normalized = pipeline.normalize(settings)
        step.note(pipeline.normalize_note(normalized))
    return as_of


def _model(settings: Settings, out: Output) -> None:
    """Models → predictions → models that need them → checked."""
    with out.step("Build profiles, facts, features") as step:
        built = pipeline.build_models(settings, "before_ml", on_line=step.detail)
        step.note(f"{built.n_models} models, {built.n_tests} tests passed")
    for job in JOBS:
        with out.step(f"Train and score: {job}") as step:
            trained = pipeline.train(settings, job, on_line=step.detail)
            step.note(trained.reason or f"{count(trained.n_scored)} profiles scored")
    before = built
    with out.step("Build segments, activation") as step:
        built = pipeline.build_models(settings, "after_ml", on_line=step.detail)
        step.note(f"{built.n_models - before.n_models} models, {built.n_tests - before.n_tests} tests passed")
    with out.step("Check what would leave") as step:
        checked = pipeline.check_activation(settings)
        step.note(_check_note(checked))


def _send(settings: Settings, out: Output) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, int]]]:
    """Plan and sync against each twin; its counters before and after give this run's own."""
    syncs: dict[str, dict[str, Any]] = {}
    traffic: dict[str, dict[str, int]] = {}
    for name in ESPS:
        with ExitStack() as stack:
            with out.step(f"Start the simulated {VENDORS[name]}") as step:
                state, log = state_path(settings.home, name), settings.home / "logs" / f"{name}.log"
                twin = stack.enter_context(start_twin(name, state, log))
                step.note(twin.page)
            before = _esp_counters(twin.stats)
            with out.step(f"Plan the sync to {VENDORS[name]}") as step:
                plan = pipeline.plan_sync(settings, name, overrides=AS_SIMULATED, on_line=step.detail)
                step.note(plan_note(plan.to_dict()))
            with out.step(f"Sync to {VENDORS[name]}") as step:
                report = pipeline.apply_sync(settings, name, overrides=AS_SIMULATED, on_line=step.detail)
                step.note(f"{count(report.writes)} writes, {count(report.requests)} requests")
            after = _esp_counters(twin.stats)
        syncs[name] = report.to_dict()
        traffic[name] = {counter: after[counter] - before.get(counter, 0) for counter in after}
    return syncs, traffic


def _esp_counters(url: str) -> dict[str, int]:
    import httpx

    answer = httpx.get(url, timeout=10).json()
    return {name: int(answer[name]) for name in ("requests", "writes", "throttled")}


def plan_note(plan: dict[str, Any]) -> str:
    names = ("created", "updated", "entering", "leaving")
    return ", ".join(f"{count(plan[name])} {name}" for name in names if isinstance(plan.get(name), int))


def _check_note(report: CheckReport) -> str:
    if not report.runs:
        return "passed before"
    return f"{plural(report.passed, 'expectation')} passed" + (f", {report.failed} failed" if report.failed else "")

"""The doctor finds what is broken, says what to do, and repairs nothing."""

from __future__ import annotations

import importlib.metadata
import shutil
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest
from filelock import FileLock

import cli.doctor
from cli.doctor import examine, locked_packages
from tests.cli.conftest import Outcome
from warehouse.settings import PROJECT_DIR, Settings

Call = Callable[..., Outcome]


def level(findings: list[cli.doctor.Finding], subject: str) -> str:
    return next(finding.level for finding in findings if finding.subject == subject)


def test_a_sound_installation(mailwright: Call, tmp_path: Path) -> None:
    outcome = mailwright("doctor", "--json")
    levels = {finding["subject"]: finding["level"] for finding in outcome.document["findings"]}
    assert outcome.code == 0, outcome.stdout
    assert levels["home"] == levels["lock"] == levels["dbt"] == levels["dbt profile"] == levels["telemetry"] == "ok"
    assert levels["warehouse"] == "warn"  # none yet
    assert not (tmp_path / "home").exists()  # it only looked


def test_every_trouble_says_what_to_do(mailwright: Call, tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file where a folder should be", encoding="utf-8")
    outcome = mailwright("doctor", "--json")
    assert outcome.code == 1
    troubles = [finding for finding in outcome.document["findings"] if finding["level"] == "fail"]
    assert troubles
    assert all(finding["todo"] for finding in troubles)
    assert mailwright("doctor").code == 1


def test_a_file_that_is_no_warehouse(settings: Settings) -> None:
    settings.home.mkdir(parents=True)
    settings.warehouse_path.write_bytes(b"SQLite format 3" + bytes(200))
    assert level(examine(settings), "warehouse") == "fail"


def test_a_damaged_warehouse(settings: Settings) -> None:
    settings.home.mkdir(parents=True)
    with duckdb.connect(str(settings.warehouse_path)) as con:
        con.execute("create table t as select range as i from range(100000)")
    content = settings.warehouse_path.read_bytes()
    settings.warehouse_path.write_bytes(content[: len(content) // 2])
    assert level(examine(settings), "warehouse") == "fail"


def test_a_readable_warehouse(settings: Settings) -> None:
    settings.home.mkdir(parents=True)
    with duckdb.connect(str(settings.warehouse_path)) as con:
        con.execute("create table t (i integer)")
    assert level(examine(settings), "warehouse") == "ok"


def test_rules_are_counted_and_held_against_the_catalogue(settings: Settings) -> None:
    def rules() -> cli.doctor.Finding:
        return next(finding for finding in examine(settings) if finding.subject == "rules")

    assert (rules().level, rules().message.split()[0]) == ("ok", "none")
    settings.home.mkdir()
    file = settings.home / "recommendation_rules.yml"
    file.write_text("boost: [{name: season, categories: [garden], factor: 2}]", encoding="utf-8")
    assert (rules().level, rules().message) == ("ok", "0 recommend, 0 exclude, 1 boost")
    with duckdb.connect(str(settings.warehouse_path)) as con:
        con.execute(f"create schema {settings.schema}")
        con.execute(f"create table {settings.schema}.dim_products as select 'p' as product_id, 'tea' as category")
    assert rules().level == "warn"
    assert "category garden" in rules().message
    file.write_text("boost: [{name: season, categories: [garden]}]", encoding="utf-8")
    assert (rules().level, rules().message) == ("fail", f"{file}: Rule 'season': factor: is missing.")


def test_a_held_lock_is_told_not_waited_for(settings: Settings) -> None:
    settings.home.mkdir(parents=True)
    with FileLock(settings.lock_path):
        settings.lock_path.with_suffix(".holder").write_text("build (process 1)", encoding="utf-8")
        (finding,) = [finding for finding in examine(settings) if finding.subject == "lock"]
    assert finding.level == "warn"
    assert "build (process 1)" in finding.message


def test_packages_against_the_lock(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    versions = locked_packages(PROJECT_DIR / "requirements" / "runtime.txt")
    assert versions["duckdb"] == importlib.metadata.version("duckdb")

    def installed(name: str) -> str:
        if name == "scipy":
            raise importlib.metadata.PackageNotFoundError(name)
        return "0.0.1" if name == "rich" else versions.get(name, "1")

    monkeypatch.setattr(cli.doctor, "version", installed)
    found = {finding.level: finding.message for finding in examine(settings) if finding.subject == "packages"}
    assert "scipy" in found["fail"]
    assert "rich 0.0.1" in found["warn"]


def test_a_full_disk(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage(10**12, 10**12, 10**6))
    assert level(examine(settings), "disk") == "fail"


def test_credentials_are_never_shown(mailwright: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAILCHIMP_API_KEY", "feedfacefeedface-us9")
    monkeypatch.setenv("MAILCHIMP_LIST_ID", "abc123")
    outcome = mailwright("doctor")
    assert "feedface" not in outcome.stdout + outcome.stderr
    assert "mailchimp: set" in outcome.stdout


def test_a_look_that_fails_is_a_finding(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_path: object) -> None:
        raise RuntimeError("no such device")

    monkeypatch.setattr(shutil, "disk_usage", fail)
    assert level(examine(settings), "disk") == "fail"

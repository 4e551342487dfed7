"""What goes where: one JSON document on stdout, everything else on stderr, help that teaches."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from cli import pipeline
from cli.output import jsonable
from cli.redact import redact
from cli.report.sync_view import duration
from ingest.report import LoadReport
from tests.cli.conftest import Outcome
from warehouse.settings import PROJECT_DIR

Call = Callable[..., Outcome]
COMMANDS = (
    "demo", "load", "build", "train", "check", "plan", "sync", "pull", "status", "doctor", "backup", "restore", "ui",
    "twin",
)  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_help_teaches(mailwright: Call, command: str) -> None:
    outcome = mailwright(command, "--help")
    assert outcome.code == 0
    for expected in ("Example", "Exit codes", "--json", "--home", "--target"):
        assert expected in outcome.stdout


def test_help_is_light() -> None:
    """No heavy import on the way to `--help`."""
    heavy = "pandas sklearn great_expectations dagster matplotlib pyarrow dbt"
    code = f"import sys, cli.app; print([m for m in {heavy.split()!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT_DIR, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_options_stand_before_or_after_the_command(mailwright: Call, tmp_path: Path) -> None:
    before = mailwright("--json", "doctor", home=tmp_path / "one")
    after = mailwright("doctor", "--json", "--home", tmp_path / "two", home=tmp_path / "one")
    assert str(tmp_path / "one") in before.stdout
    assert str(tmp_path / "two") in after.stdout
    assert str(tmp_path / "one") not in after.stdout


def test_noise_does_not_reach_a_machine(mailwright: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def noisy(*_: object, **__: object) -> LoadReport:
        print("a library says hello")
        return LoadReport(loads=(), skipped=())

    monkeypatch.setattr(pipeline, "load_files", noisy)
    stdout = sys.stdout
    outcome = mailwright("load", tmp_path, "--json")
    assert outcome.document["loads"] == []
    assert "hello" in outcome.stderr
    assert sys.stdout is stdout  # and it is put back


def test_load_for_people_and_for_machines(mailwright: Call, tmp_path: Path) -> None:
    file = tmp_path / "crm_contacts.csv"
    file.write_text(
        "contact_id,email,phone,first_name,last_name,gender,birth_year,city,country,time_zone,interests,user_id,"
        "source,referrer,created_at,updated_at\n"
        "c1,jane.doe@example.org,,Jane,Doe,,,,,,,,,,2026-01-01T00:00:00Z,2026-01-01T00:00:00Z\n"
        "c2,joe@example.org,,Joe,Doe,,notayear,,,,,,,,2026-01-01T00:00:00Z,2026-01-01T00:00:00Z\n",
        encoding="utf-8",
    )
    first = mailwright("load", file)
    assert first.code == 0, first.stderr
    assert "raw.crm_contacts" in first.stdout
    assert "1 quarantined" in first.stderr
    assert "@" not in first.stdout + first.stderr
    again = mailwright("load", file, "--json")
    assert again.document["loads"] == []
    assert len(again.document["skipped"]) == 1


def test_json_keeps_instants_and_money_exact() -> None:
    found = jsonable(
        {
            "at": datetime(2011, 12, 10),
            "net": Decimal("8911407.90"),
            "n": np.int64(3),
            "nan": float("nan"),
            "path": Path("/x"),
        }
    )
    assert found == {"at": "2011-12-10T00:00:00Z", "net": "8911407.90", "n": 3, "nan": None, "path": "/x"}


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("bounced: Jane.Doe+shop@mail.example.co.uk.", "Doe"),
        ("key sesame-open-us1 was wrong", "sesame"),
        ("cannot reach postgres://mailwright:hunter2@db/warehouse", "hunter2"),
        ("用户@例え.テスト wrote", "例え"),
        ("she called from +4915112345678", "1511"),
    ],
)
def test_redacted(text: str, hidden: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAILCHIMP_API_KEY", "sesame-open-us1")
    assert hidden not in redact(text)


def test_redaction_leaves_plain_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_TOKEN", "1")
    text = "raw.shop_orders.email: 12 rows, at 2011-12-10, @ noon; see /home/me/.mailwright"
    assert redact(text) == text


@pytest.mark.parametrize(("seconds", "said"), [(42.4, "42 s"), (185, "3 min 5 s"), (7800, "2 h 10 min")])
def test_durations(seconds: float, said: str) -> None:
    assert duration(seconds) == said


@pytest.mark.parametrize("number", ["02079460000", "020 7946 0000", "004420 7946 0000", "+442079460000"])
def test_a_telephone_with_a_name_is_redacted_whole(number: str) -> None:
    said = redact(f"explain 'phone_and_name:{number} Ann Smith' customer_id:7")
    assert said == "explain 'phone_and_name:[telephone and name]' customer_id:7"
    assert redact("phone_and_name:sha256:0f6a1b2c3d4e") == "phone_and_name:sha256:0f6a1b2c3d4e"

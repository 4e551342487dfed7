"""`build` and `train` call the right steps in the right order; what the steps do is tested where they live."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from cli import pipeline
from ingest.normalize import NormalizeReport
from ml_jobs.catalogue import JOBS
from ml_jobs.report import JobReport
from tests.cli.conftest import Outcome
from warehouse.build import BuildReport
from warehouse.rules_report import RulesReport
from warehouse.settings import Settings

Call = Callable[..., Outcome]
AS_OF = datetime(2026, 7, 1)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What was called, as (step, schema, detail); nothing is built."""
    made: list[tuple[Any, ...]] = []

    def normalize(settings: Settings) -> NormalizeReport:
        made.append(("normalize", settings.schema))
        return NormalizeReport(n_new=0, n_invalid=0, n_role=0, n_emails=0, n_phones=0)

    def build_models(settings: Settings, stage: str = "all", *, as_of: Any = None, on_line: Any = None) -> BuildReport:
        made.append(("build", settings.schema, stage, as_of))
        status = "awaiting_ml" if stage == "before_ml" else "succeeded"
        return BuildReport("build_1", settings.schema, as_of or AS_OF, AS_OF, status, 61, 522, 0)

    def train(settings: Settings, job: str, *, on_line: Any = None) -> JobReport:
        made.append(("train", settings.schema, job))
        return JobReport(job, "trained", AS_OF, f"{job}-abc", {"auc": 0.75}, 100, 20, 50)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(pipeline, "assert_loaded", lambda _settings: None)
    monkeypatch.setattr(pipeline, "rules_of", lambda _settings: RulesReport(0, 0, 0, ()))
    for step in (normalize, build_models, train):
        monkeypatch.setattr(pipeline, step.__name__, step)
    return made


def test_nothing_to_build(mailwright: Call) -> None:
    outcome = mailwright("build")
    assert outcome.code == 3
    assert outcome.stderr.startswith("Error: Nothing was loaded yet")
    assert "mailwright load" in outcome.stderr


def test_a_build_normalizes_first(mailwright: Call, calls: list[tuple[Any, ...]]) -> None:
    outcome = mailwright("--target", "prod", "build")
    assert outcome.code == 0
    assert calls == [("normalize", "analytics"), ("build", "analytics", "all", None)]
    assert "522 tests passed" in outcome.stdout


def test_a_build_says_which_rules_it_read(
    mailwright: Call, calls: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "rules_of", lambda _settings: RulesReport(2, 0, 1, ("product GRILL",)))
    outcome = mailwright("build", "--json")
    assert calls
    assert outcome.document["rules"] == {"n_recommend": 2, "n_exclude": 0, "n_boost": 1, "unknown": ["product GRILL"]}
    said = " ".join(outcome.stderr.split())
    assert "3 rules of recommendation_rules.yml" in said
    assert "recommendation_rules.yml names what the catalogue does not have: product GRILL." in said


@pytest.mark.parametrize(
    ("n_invalid", "n_disposable", "said"),
    [
        (0, 0, "1,200 new"),
        (1100, 0, "1,200 new, of them 1,100 not valid"),
        (0, 40, "1,200 new, of them 40 disposable"),
        (1100, 40, "1,200 new, of them 1,100 not valid and 40 disposable"),
    ],
)
def test_addresses_of_no_use_are_counted(
    mailwright: Call,
    calls: list[tuple[Any, ...]],
    monkeypatch: pytest.MonkeyPatch,
    n_invalid: int,
    n_disposable: int,
    said: str,
) -> None:
    counts = {"n_invalid": n_invalid, "n_disposable": n_disposable}
    report = NormalizeReport(n_new=1200, n_role=0, n_emails=1200, n_phones=0, **counts)
    monkeypatch.setattr(pipeline, "normalize", lambda _settings: report)
    assert pipeline.normalize_note(report) == said
    assert said in " ".join(mailwright("build").stderr.split())


def test_training_stands_between_the_stages(mailwright: Call, calls: list[tuple[Any, ...]]) -> None:
    outcome = mailwright("--target", "prod", "build", "--train", "--json")
    assert [call[0] for call in calls] == ["normalize", "build", *["train"] * len(JOBS), "build"]
    assert [call[2] for call in calls if call[0] == "build"] == ["before_ml", "after_ml"]
    assert [job["job"] for job in outcome.document["jobs"]] == list(JOBS)


def test_the_past_has_a_schema_of_its_own(mailwright: Call, calls: list[tuple[Any, ...]]) -> None:
    outcome = mailwright("--target", "prod", "build", "--as-of", "2011-09-01")
    assert calls[-1] == ("build", "asof_20110901", "all", datetime(2011, 9, 1))
    assert "asof_20110901" in outcome.stdout
    assert "never synced" in outcome.stdout


def test_the_past_can_be_trained_too(mailwright: Call, calls: list[tuple[Any, ...]]) -> None:
    mailwright("build", "--as-of", "2011-09-01T12:00Z", "--train")
    assert {call[1] for call in calls} == {"asof_20110901t120000"}
    assert calls[1][3] == datetime(2011, 9, 1, 12)


def test_half_a_build_says_what_is_next(mailwright: Call, calls: list[tuple[Any, ...]]) -> None:
    assert "mailwright train" in mailwright("build", "--stage", "before_ml").stdout


def test_one_job_alone(mailwright: Call, calls: list[tuple[Any, ...]]) -> None:
    outcome = mailwright("train", "--job", "churn")
    assert [call[2] for call in calls] == ["churn"]
    assert "churn-abc" in outcome.stdout
    assert "auc 0.75" in outcome.stdout

"""What all model jobs do alike: train beside rivals, go live by evidence, score with what lives.

A job says how its data are read, and how a model is validated, fitted, stored and asked; `train`, `score` and `run` do
the rest. Errors of the data (too little, a leak) refuse the training: what reigned goes on, and the reason is recorded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from ml_jobs import registry
from ml_jobs.errors import ArtefactError, HistoriesError, TrainingRefusedError
from ml_jobs.feedback.record import record
from ml_jobs.gate import Decision, GateConfig, Trial, decide
from ml_jobs.io import clear_predictions, replace_predictions
from ml_jobs.report import JobReport, OnProgress, in_one, tell
from warehouse.clock import utcnow
from warehouse.settings import Settings

if TYPE_CHECKING:
    import pyarrow as pa

Data = TypeVar("Data")
Model = TypeVar("Model")


@dataclass(frozen=True)
class Validation:
    """What a back-test on the newest complete window found."""

    metrics: dict[str, Any]
    n_test: int
    trial: Trial | None
    """None: too few people to tell."""
    calibration: list[registry.CalibrationBin] = field(default_factory=list)
    choice: Any = None
    """What an earlier window decided about the model, for `fit`."""


def unchosen(error: TrainingRefusedError) -> dict[str, str]:
    """What the metrics of a run say where no earlier cut-off told which method is best."""
    return {"note": f"no method was chosen by the cut-off before the newest: {error}"}


class JobConfig(Protocol):
    """A frozen pydantic model."""

    @property
    def gate(self) -> GateConfig: ...

    def model_dump(self, *, mode: str) -> dict[str, Any]: ...


class Job(Protocol[Data, Model]):
    """One kind of model."""

    name: str
    table: str
    """Table of the ML schema that holds the newest predictions."""

    @property
    def config(self) -> JobConfig:
        """All that decides the model, beside the data."""
        ...

    def read(self, settings: Settings, as_of: datetime) -> Data:
        """All that was known before `as_of`. Raises FeatureTableError."""
        ...

    def size(self, data: Data) -> int:
        """Rows to learn from."""
        ...

    def digest(self, data: Data) -> str:
        """sha256 of what the model is fitted on."""
        ...

    def validate(self, data: Data) -> Validation:
        """Back-test on the newest window. Raises TrainingRefusedError."""
        ...

    def fit(self, data: Data, choice: Any) -> Model:
        """On everything. Raises TrainingRefusedError."""
        ...

    def to_stored(self, model: Model) -> dict[str, Any]:
        """Plain types, so that an artefact outlives a refactoring."""
        ...

    def predictions(
        self,
        stored: dict[str, Any],
        run: registry.ModelRun,
        settings: Settings,
        as_of: datetime,
        on_progress: OnProgress,
    ) -> tuple[pa.Table, int]:
        """(rows of `table` for everyone who can be scored, how many people)."""
        ...


def train(job: Job[Any, Any], settings: Settings, on_progress: OnProgress = None) -> JobReport:
    """Validate, fit on everything before the clock's `as_of`, register, and decide whether the model goes live.

    Raises:
        FeatureTableError: a relation or columns are missing.
    """
    as_of = registry.begin(settings)
    lost = _depose_the_lost(job, settings, as_of)
    params = job.config.model_dump(mode="json")
    tell(on_progress, f"{job.name}: reading")
    try:
        data = job.read(settings, as_of)
        tell(on_progress, f"{job.name}: validating and fitting on {job.size(data):,} rows")
        validation = job.validate(data)
        model = job.fit(data, validation.choice)
    except (TrainingRefusedError, HistoriesError) as error:
        reason = " ".join(str(error).split())
        tell(on_progress, f"{job.name}: skipped, {reason}")
        registry.record_refusal(settings, job.name, as_of, params, reason)
        return JobReport(job.name, "skipped", as_of, reason=reason)
    version = registry.content_version(job.name, params, as_of.isoformat(), job.digest(data))
    before = registry.run_of(settings, version)
    # the same content was decided on: it may reign by now, and is no rival of itself. But what it lost to may be lost
    decision = (
        Decision(before.is_live, before.decision)
        if before and not lost
        else _decision(job, settings, as_of, validation.trial, lost)
    )
    run = registry.ModelRun(
        model_version=version,
        job=job.name,
        as_of=as_of,
        trained_at=utcnow(),
        params=params,
        metrics=validation.metrics,
        artefact_sha256=registry.save_artefact(settings, job.to_stored(model)),
        n_train=job.size(data),
        n_test=validation.n_test,
        is_live=decision.goes_live,
        was_tried=before.was_tried if before and not lost else validation.trial is not None,
        decision=decision.reason,
    )
    registry.record_run(settings, run, validation.calibration)
    status = "trained" if decision.goes_live else "kept"
    tell(on_progress, f"{job.name}: {'goes live' if decision.goes_live else 'stays aside'}, {decision.reason}")
    reason = None if decision.goes_live else decision.reason
    return JobReport(
        job.name, status, as_of, run.model_version, run.metrics, run.n_train, run.n_test, reason=reason,
        decision=decision.reason,
    )  # fmt: skip


def _depose_the_lost(job: Job[Any, Any], settings: Settings, as_of: datetime) -> list[str]:
    """Of what should reign at `as_of`, newest first, until one can be loaded: what was said of the files of others."""
    lost: list[str] = []
    while (run := registry.reigning_run(settings, job.name, as_of)) is not None:
        try:
            registry.load_artefact(settings, run)
        except ArtefactError as error:
            lost.append(error.what)
            registry.depose(settings, run, error.what)
        else:
            break
    return lost


def _decision(
    job: Job[Any, Any], settings: Settings, as_of: datetime, trial: Trial | None, lost: Sequence[str]
) -> Decision:
    """Against what reigned when the window of the `trial` began, if its file is there."""
    now = registry.reigning_run(settings, job.name, as_of)
    then = registry.reigning_run(settings, job.name, trial.began_at) if now and trial else None
    rival: tuple[str, Any] | None = None
    if then is not None:
        try:
            rival = then.model_version, registry.load_artefact(settings, then)
        except ArtefactError as error:
            lost = [*lost, error.what]
    decision = decide(trial, rival, now.was_tried if now else None, job.config.gate)
    return Decision(decision.goes_live, "; ".join((decision.reason, *lost)), decision.differences)


def score(job: Job[Any, Any], settings: Settings, on_progress: OnProgress = None) -> JobReport:
    """Replace the predictions, by the model that reigns at the clock's `as_of`; without one the table is emptied:
    predictions of another day must not pass for today's. What was said is kept, and the day compared with the model's
    first (ml_jobs/feedback).

    Raises:
        FeatureTableError: a relation or columns are missing.
        ArtefactError: the model's file is missing or was changed.
    """
    as_of = registry.begin(settings)
    run = registry.reigning_run(settings, job.name, as_of)
    if run is None:
        clear_predictions(settings, job.table)
        return JobReport(job.name, "skipped", as_of, reason="there is no trained model yet")
    stored = registry.load_artefact(settings, run)
    rows, n_scored = job.predictions(stored, run, settings, as_of, on_progress)
    replace_predictions(settings, job.table, rows, purpose=f"score {job.name}")
    drifted = [one.name for one in record(settings, job.table, run, stored, as_of) if one.is_over]
    if drifted:
        tell(on_progress, f"{job.name}: not as on the model's first day: {', '.join(drifted)}")
    return JobReport(
        job.name, "scored", as_of, run.model_version, run.metrics, run.n_train, run.n_test, n_scored,
        decision=run.decision,
    )  # fmt: skip


def refresh(job: Job[Any, Any], settings: Settings, on_progress: OnProgress = None) -> JobReport:
    """Score with what lives; train only where nothing does, or where its file is lost: that can live no more."""
    if registry.reigning_run(settings, job.name, registry.begin(settings)) is None:
        return run(job, settings, on_progress)
    try:
        return score(job, settings, on_progress)
    except ArtefactError as error:
        tell(on_progress, f"{job.name}: trains anew. {error.what}")
        return run(job, settings, on_progress)


def run(job: Job[Any, Any], settings: Settings, on_progress: OnProgress = None) -> JobReport:
    """Train, then score with what lives; if that is an older model, the report says why."""
    trained = train(job, settings, on_progress)
    return in_one(trained, score(job, settings, on_progress))

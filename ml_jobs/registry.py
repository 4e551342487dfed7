"""The model registry: `<ml_schema>.model_runs`, `metrics` and `calibration`, and artefacts addressed by their sha256.

An artefact is a joblib file, and to load one is to run code: so it is loaded only after its bytes hash to what the
registry recorded.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from ml_jobs.errors import ArtefactError, UnreadableArtefactError
from ml_jobs.io import transaction
from ml_jobs.metrics import metrics_of
from warehouse.clock import read_clock, utcnow
from warehouse.connection import connect
from warehouse.settings import Settings
from warehouse.state import ensure_state


@dataclass(frozen=True)
class ModelRun:
    """One row of model_runs. A refused training has no artefact, and says why in its metrics."""

    model_version: str
    job: str
    as_of: datetime
    trained_at: datetime
    params: dict[str, Any]
    metrics: dict[str, Any]
    artefact_sha256: str | None
    n_train: int
    n_test: int
    is_live: bool = False
    """Whether it may score. A model that stays aside has an artefact, but lost against a rival (ml_jobs/gate.py)."""
    was_tried: bool = False
    """Whether its back-test had enough people to tell anything."""
    decision: str = ""
    """Why it went live, or did not."""


@dataclass(frozen=True)
class CalibrationBin:
    """One bin of predictions on the held-out cut-off; rates in 0..1."""

    bin: int
    n: int
    mean_predicted: float
    observed_rate: float


def begin(settings: Settings) -> datetime:
    """Make sure that the registry exists; the clock's `as_of`.

    Raises:
        DataError: nothing was built into this schema yet.
    """
    with connect(settings, purpose="begin a model job") as con:
        ensure_state(con, settings)
        return read_clock(con, settings.schema).as_of


def content_version(job: str, params: dict[str, Any], *digests: str) -> str:
    """`<job>-<12 hex>` of all that decides the model: config, recipe, libraries and the data it was fitted on."""
    import numpy
    import scipy
    import sklearn

    libraries = {"numpy": numpy.__version__, "scipy": scipy.__version__, "sklearn": sklearn.__version__}
    text = json.dumps(
        {"params": params, "recipe": recipe(), "libraries": libraries, "digests": digests}, sort_keys=True
    )
    return f"{job}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


@cache
def recipe() -> str:
    """sha256 of the jobs' sources: what another recipe made of the same rows is another model, to be tried anew."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(path.relative_to(Path(__file__).parent).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def digest_of(*arrays: Any) -> str:
    """sha256 over dtype, shape and bytes of numpy arrays (text arrays by their values)."""
    import numpy as np

    digest = hashlib.sha256()
    for array in arrays:
        if array.dtype == object:
            array = np.asarray(array, dtype=np.str_)
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def artefact_path(settings: Settings, sha256: str) -> Path:
    return settings.artefacts_dir / f"{sha256}.joblib"


def save_artefact(settings: Settings, model: object) -> str:
    """Store `model` under the sha256 of its bytes, and return that."""
    import joblib

    buffer = io.BytesIO()
    joblib.dump(model, buffer, compress=3)
    data = buffer.getvalue()
    sha256 = hashlib.sha256(data).hexdigest()
    path = artefact_path(settings, sha256)
    path.parent.mkdir(parents=True, exist_ok=True)
    # by rename: a killed run leaves no half file under a name that promises its content
    scratch = path.with_suffix(f".{os.getpid()}.tmp")
    with scratch.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    scratch.replace(path)
    return sha256


def load_artefact(settings: Settings, run: ModelRun) -> Any:
    """The model of `run`, after its hash was verified.

    Raises:
        ArtefactError: the file is missing or was changed.
        UnreadableArtefactError: it cannot be read now (permissions, a disk).
    """
    import joblib

    todo = f"run `mailwright train` to make a new one, or restore {settings.artefacts_dir} from a backup"
    path = artefact_path(settings, run.artefact_sha256 or "none")
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise ArtefactError(f"The artefact of {run.model_version} is missing.", where=str(path), todo=todo) from None
    except OSError as error:
        raise UnreadableArtefactError(
            f"The artefact of {run.model_version} cannot be read: {error.strerror}.",
            where=str(path),
            todo=f"let this user read {settings.artefacts_dir}, and repeat the command",
        ) from None
    if hashlib.sha256(data).hexdigest() != run.artefact_sha256:
        raise ArtefactError(
            f"The artefact of {run.model_version} is not the file that was stored: it was not loaded.",
            where=str(path),
            todo=todo,
        )
    return joblib.load(io.BytesIO(data))


def record_run(settings: Settings, run: ModelRun, calibration: Sequence[CalibrationBin] = ()) -> None:
    """Write one run, its metrics and its calibration; the same version again replaces its rows (equal content, newer
    trained_at)."""
    schema = settings.ml_schema
    with connect(settings, purpose=f"train {run.job}") as con, transaction(con):
        for table in ("metrics", "calibration", "model_runs"):
            con.execute(f'delete from "{schema}".{table} where model_version = ?', [run.model_version])
        con.execute(
            f'insert into "{schema}".model_runs (model_version, job, as_of, trained_at, params, metrics, '
            "artefact_sha256, n_train, n_test, is_live, was_tried, decision) "
            "values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                run.model_version,
                run.job,
                run.as_of,
                run.trained_at,
                json.dumps(run.params, sort_keys=True),
                json.dumps(run.metrics, sort_keys=True),
                run.artefact_sha256,
                run.n_train,
                run.n_test,
                run.is_live,
                run.was_tried,
                run.decision,
            ],
        )
        for metric in metrics_of(run.metrics):
            con.execute(
                f'insert into "{schema}".metrics (model_version, metric, value, low, high, n) '
                "values (?, ?, ?, ?, ?, ?)",
                [run.model_version, metric.name, metric.value, metric.low, metric.high, run.n_test],
            )
        for row in calibration:
            con.execute(
                f'insert into "{schema}".calibration (model_version, bin, n, mean_predicted, observed_rate) '
                "values (?, ?, ?, ?, ?)",
                [run.model_version, row.bin, row.n, row.mean_predicted, row.observed_rate],
            )


def reigning_run(settings: Settings, job: str, as_of: datetime) -> ModelRun | None:
    """The newest model that went live and whose `as_of` is not after `as_of`: a model must not know the future."""
    return _first_run(
        settings,
        # before models were held against each other, each went live
        "job = ? and as_of <= ? and artefact_sha256 is not null and coalesce(is_live, true) "
        "order by as_of desc, trained_at desc, model_version",
        [job, as_of],
    )


def depose(settings: Settings, run: ModelRun, reason: str) -> None:
    """What went live with `run` lives no more, since its file can not be loaded: what reigned before it does again."""
    with connect(settings, purpose=f"depose {run.model_version}") as con:
        con.execute(
            f'update "{settings.ml_schema}".model_runs set is_live = false, decision = ? where model_version = ?',
            [f"{run.decision}; {reason}" if run.decision else reason, run.model_version],
        )


def run_of(settings: Settings, model_version: str) -> ModelRun | None:
    """The run of this version, which is of one content, if there was one."""
    return _first_run(settings, "model_version = ? and artefact_sha256 is not null", [model_version])


def _first_run(settings: Settings, condition: str, values: list[Any]) -> ModelRun | None:
    with connect(settings, read_only=True, purpose="look into the model registry") as con:
        rows = con.execute(
            "select model_version, job, as_of, trained_at, params, metrics, artefact_sha256, n_train, n_test, "
            f'is_live, was_tried, decision from "{settings.ml_schema}".model_runs where {condition} limit 1',
            values,
        ).fetchall()
    if not rows:
        return None
    *known, is_live, was_tried, decision = rows[0]
    version, job, as_of, trained_at, params, metrics, sha256, n_train, n_test = known
    found = json.loads(metrics)
    return ModelRun(
        version, job, as_of, trained_at, json.loads(params), found, sha256, n_train, n_test,
        is_live=is_live is not False,
        # one from before says in a note that there was no back-test
        was_tried="note" not in found if was_tried is None else was_tried,
        decision=decision or "",
    )  # fmt: skip


def record_refusal(settings: Settings, job: str, as_of: datetime, params: dict[str, Any], reason: str) -> None:
    """A run without an artefact, so that "why is there no score?" is answered by a select."""
    version = content_version(job, params, as_of.isoformat(), reason)
    metrics = {"status": "skipped", "reason": reason}
    record_run(settings, ModelRun(version, job, as_of, utcnow(), params, metrics, None, 0, 0))

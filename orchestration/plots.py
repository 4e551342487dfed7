"""Plots of a model for its asset's metadata: images inside Markdown, as Dagster's UI shows them."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from orchestration.names import MEASURE_OF_JOB
from warehouse.connection import connect
from warehouse.settings import Settings

if TYPE_CHECKING:
    import duckdb
    import numpy as np
    from matplotlib.axes import Axes

    from ml_jobs.feedback.watch import Uplift

_BINS = 30


def model_plots(settings: Settings, job: str, model_version: str) -> dict[str, str]:
    """Name of each plot → Markdown: the measure over all trainings, the back-test's calibration, the scores of the
    newest day, and the uplift of each day. One that has nothing to show is left out."""
    from ml_jobs.feedback.watch import uplifts

    ml = settings.ml_schema
    with connect(settings, read_only=True, purpose=f"plot {job}") as con:
        history = con.execute(
            "select runs.as_of, metrics.value, coalesce(runs.is_live, true) "
            f'from "{ml}".metrics as metrics join "{ml}".model_runs as runs using (model_version) '
            "where runs.job = ? and metrics.metric = ? and metrics.segment = '' "
            "order by runs.as_of, runs.trained_at, model_version",
            [job, MEASURE_OF_JOB[job]],
        ).fetchall()
        calibration = con.execute(
            f'select mean_predicted, observed_rate, n from "{ml}".calibration where model_version = ? order by bin',
            [model_version],
        ).fetchall()
        horizon, scores = _newest_scores(con, ml, job)
    found: dict[str, str] = {}
    if history:
        found["history"] = _history(history, MEASURE_OF_JOB[job])
    if calibration:
        found["calibration"] = _calibration(calibration)
    if len(scores):
        with _image("Scores of the newest day") as (axes, made):
            axes.hist(scores, bins=_BINS)
            axes.set(xlabel=f"score, within {horizon} days" if horizon else "score", ylabel="people")
        found["scores"] = made[0]
    told = [one for one in uplifts(settings) if one.measure == "bought"] if job == "recommendations" else []
    if any(one.low is not None for one in told):
        found["uplift"] = _uplift(told)
    return found


def _newest_scores(con: duckdb.DuckDBPyConnection, ml: str, job: str) -> tuple[int | None, np.ndarray]:
    """Of the newest day: the horizon in days, of several the shortest, and each person's first score for it."""
    import numpy as np

    newest = (
        f'"{ml}".prediction_log where job = ? '
        f'and as_of_on = (select max(as_of_on) from "{ml}".prediction_log where job = ?)'
    )
    ((horizon,),) = con.execute(f"select min(horizon_days) from {newest}", [job, job]).fetchall()
    sql = f"select value from {newest} and rank = 1 and horizon_days is not distinct from ?"
    return horizon, np.asarray(con.execute(sql, [job, job, horizon]).fetchnumpy()["value"])


def _history(rows: Sequence[tuple[Any, ...]], measure: str) -> str:
    with _image(f"{measure} of each training") as (axes, made):
        axes.plot([row[0] for row in rows], [row[1] for row in rows], lw=1)
        for is_live, face in ((True, "C0"), (False, "white")):
            ours = [row for row in rows if row[2] is is_live]
            label = "went live" if is_live else "stayed aside"
            axes.scatter([row[0] for row in ours], [row[1] for row in ours], c=face, edgecolors="C0", label=label)
        axes.set(xlabel="trained as of", ylabel=measure)
        axes.tick_params(axis="x", rotation=30)
        axes.legend()
    return made[0]


def _calibration(rows: Sequence[tuple[Any, ...]]) -> str:
    most = max(row[2] for row in rows)
    with _image("Calibration in the back-test") as (axes, made):
        axes.plot([0, 1], [0, 1], color="lightgrey", zorder=0)
        axes.scatter([row[0] for row in rows], [row[1] for row in rows], s=[20 + 80 * row[2] / most for row in rows])
        axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="predicted", ylabel="observed")
    return made[0]


def _uplift(rows: Sequence[Uplift]) -> str:
    """Of the days that can tell: the difference between the shares who bought, with its 95 % interval."""
    import numpy as np

    told = [(one.as_of_on, one.uplift, one.low) for one in rows if one.uplift is not None and one.low is not None]
    days = np.asarray([day for day, *_ in told], dtype="datetime64[D]")
    found, low = np.asarray([values for _, *values in told]).T
    with _image("Bought more often than who was held out") as (axes, made):
        axes.axhline(0, color="lightgrey", zorder=0)
        axes.errorbar(days, found, found - low, fmt="o")
        axes.set(xlabel="offered on", ylabel="difference of the shares who bought")
        axes.tick_params(axis="x", rotation=30)
    return made[0]


@contextmanager
def _image(title: str) -> Iterator[tuple[Axes, list[str]]]:
    """Axes to draw on, and a list that holds the Markdown when the block is left."""
    from matplotlib.figure import Figure

    made: list[str] = []
    # of its own, not pyplot's: those are kept for ever
    figure = Figure(figsize=(5, 3), layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, fontsize="medium")
    yield axes, made
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=80, metadata={"Software": None})
    made.append(f"![{title}](data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()})")

"""Back-test on the newest window: the probability of a click that the model gave each mail, beside what happened."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ml_jobs.errors import TrainingRefusedError
from ml_jobs.gate import Trial, best_of
from ml_jobs.job import Validation
from ml_jobs.send_time.config import SendTimeConfig
from ml_jobs.send_time.features import Outcomes, Sends
from ml_jobs.send_time.model import METHODS, SendTimeModel, fit, simpler

if TYPE_CHECKING:
    import numpy as np

_LEAST = 1e-6


def merit(model: SendTimeModel, past: Sends, tested: Sends) -> np.ndarray:
    """Log-likelihood of each person's mails of the window, of those who got any, so that the mean is that of a mail."""
    import numpy as np

    rates = np.maximum(model.rates(model.factors(past), tested.person, tested.hour, tested.weekday), _LEAST)
    each = tested.clicks * np.log(rates) + (tested.sends - tested.clicks) * np.log1p(-rates)
    people, number = np.unique(tested.person, return_inverse=True)
    return np.bincount(number, each) * (len(people) / tested.sends.sum())


def evaluate(data: Outcomes, config: SendTimeConfig) -> Validation:
    """Fit to what was known when the newest window began, and measure on the mails of the window.

    Preferences, and then own rates, give way where a simpler method does better. Without enough clicks before the
    window, or in it, nothing can be told."""
    before, tested = data.before, data.tested
    n_clicks = int(tested.clicks.sum())
    if n_clicks < config.min_clicks:
        note = f"no back-test: {n_clicks} mails of the newest {config.test_days} days were clicked"
        return Validation({"note": note}, 0, trial=None, choice=METHODS[0])
    try:
        model = fit(before, config)
    except TrainingRefusedError as error:
        note = f"no back-test: when the newest window began, {error}"
        return Validation({"note": note}, 0, trial=None, choice=METHODS[0])
    merits = {method: merit(simpler(model, method), before, tested) for method in METHODS}
    method = best_of(merits, METHODS[0], METHODS[1:], config.gate)
    metrics: dict[str, Any] = {
        "log_loss": _loss(merits[method]),
        **{f"{name}_log_loss": _loss(each) for name, each in merits.items()},
        "method": method,
        "click_rate": round(n_clicks / int(tested.sends.sum()), 6),
        "click_rate_before": round(model.rate, 6),
        "person_strength": round(model.person_strength, 3),
        "hour_strength": round(model.hour_strength, 3),
        "weekday_strength": round(model.weekday_strength, 3),
        "best_hour_of_all": int(model.hour_order()[0]),
        "best_weekday_of_all": int(model.weekday_order()[0]) + 1,
        "n_hours_tried": sum(n > 0 for n in model.sends_by_hour),
        "n_hours_offered": len(model.hour_order()),
    }
    trial = Trial(
        began_at=data.window_begins_at,
        measure="log loss per mail",
        merit=merits[method],
        rivals={name: each for name, each in merits.items() if name != method and name != METHODS[0]},
        merit_of=lambda stored: merit(SendTimeModel.from_dict(stored), before, tested),
    )
    return Validation(metrics, len(merits[method]), trial, choice=method)


def _loss(merits: np.ndarray) -> float:
    return round(-float(merits.mean()), 6)

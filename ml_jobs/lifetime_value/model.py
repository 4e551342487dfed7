"""The models together: how often, for how much, and what trees know better of the sum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ml_jobs.errors import TrainingRefusedError
from ml_jobs.lifetime_value import bg_nbd, gamma_gamma
from ml_jobs.lifetime_value.bg_nbd import NAMES, BgNbd
from ml_jobs.lifetime_value.config import LifetimeValueConfig
from ml_jobs.lifetime_value.gamma_gamma import GammaGamma
from ml_jobs.lifetime_value.histories import Histories
from ml_jobs.lifetime_value.predict import Predictions, expected_revenue, predict
from ml_jobs.lifetime_value.trees import Trees

if TYPE_CHECKING:
    import numpy as np

BG_NBD, TREES = "bg_nbd", "trees"
"""Whose expectation of money it is. Purchases are BG/NBD's in any case."""


@dataclass(frozen=True)
class LifetimeValueModel:
    """Fitted to histories in days."""

    purchases: BgNbd
    values: GammaGamma
    trees: Trees | None = None
    """None: money is what BG/NBD and Gamma-Gamma expect."""

    @property
    def method(self) -> str:
        """BG_NBD or TREES."""
        return BG_NBD if self.trees is None else TREES

    def predict(self, people: Histories, features: np.ndarray, config: LifetimeValueConfig) -> Predictions:
        """Of each of `people`, in their order, at the horizons of `config`; `features` are the columns of `trees`."""
        said = predict(self.purchases, self.values, people, config)
        if self.trees is None:
            return said
        by_bg_nbd = expected_revenue(self.purchases, self.values, people, self.trees.horizon_days)
        return self.trees.correct(said, features, by_bg_nbd)

    def facts(self) -> dict[str, Any]:
        """What a reader of the registry wants to know of the fit."""
        suspect = [*self.purchases.at_boundary, *self.values.at_boundary]
        vague = [*self.purchases.undetermined, *self.values.undetermined]
        return {
            **{name: getattr(self.purchases, name) for name in NAMES},
            **{name: getattr(self.values, name) for name in ("p", "q", "gamma")},
            "n_repeat_buyers": self.purchases.n_repeat,
            "correlation_of_number_and_value": self.values.correlation,
            "is_converged": self.purchases.is_converged and self.values.is_converged,
            "at_boundary": ", ".join(suspect) or None,
            "undetermined": ", ".join(vague) or None,
        }

    def to_dict(self) -> dict[str, Any]:
        """What is stored: plain types, around scikit-learn's."""
        trees = None if self.trees is None else self.trees.to_dict()
        return {"purchases": self.purchases.to_dict(), "values": self.values.to_dict(), "trees": trees}

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> LifetimeValueModel:
        trees = stored.get("trees")  # models from before there were any have none
        return cls(
            BgNbd.from_dict(stored["purchases"]),
            GammaGamma.from_dict(stored["values"]),
            None if trees is None else Trees(**trees),
        )


def fit(people: Histories, config: LifetimeValueConfig) -> LifetimeValueModel:
    """BG/NBD and Gamma-Gamma.

    Raises:
        TrainingRefusedError: too few people, no difference between them, or a past that is too short.
    """
    oldest = float(people.age.max()) if len(people.age) else 0.0
    if len(people.age) and oldest < config.min_history_days:
        raise TrainingRefusedError(
            f"the first purchase was {oldest:.0f} days ago; {config.min_history_days} are needed to tell who stays"
        )
    return LifetimeValueModel(bg_nbd.fit(people, config), gamma_gamma.fit(people, config))

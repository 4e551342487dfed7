"""Probabilities into bands: by what reaching out costs, and what it brings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml_jobs.churn.config import ChurnConfig

if TYPE_CHECKING:
    import numpy as np

BANDS = ("low", "medium", "high")


def pays_from(config: ChurnConfig) -> tuple[float, float]:
    """Probabilities from which contacting pays: if it saves as many as is hoped (`medium`), and even by the cautious
    guess (`high`).

    It brings probability × save rate × value of one who is saved, and costs the same whoever is contacted. Above 1 it
    never pays.
    """
    loss = config.cost_of_contact / config.value_of_saved
    return loss / config.hopeful_save_rate, loss / config.save_rate


def band_of(probability: np.ndarray, config: ChurnConfig) -> np.ndarray:
    """Position in BANDS; a threshold belongs to the upper band. int64 (rows,)."""
    import numpy as np

    return np.digitize(probability, pays_from(config))

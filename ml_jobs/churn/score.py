"""Probabilities into bands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml_jobs.churn.config import ChurnConfig

if TYPE_CHECKING:
    import numpy as np

BANDS = ("low", "medium", "high")


def band_of(probability: np.ndarray, config: ChurnConfig) -> np.ndarray:
    """Position in BANDS by the declared thresholds; a threshold belongs to the upper band. int64 (rows,)."""
    import numpy as np

    return np.digitize(probability, [config.medium_from, config.high_from])

"""A var rfm that means nothing stops the run before it begins, and says all that is wrong with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.dbt import features_support as support

SOUND: dict[str, Any] = {
    "window_days": 365,
    "method": "fixed",
    "weights": {"recency": 1, "frequency": 1, "monetary": 1},
    "thresholds": {"recency_days": [180, 90, 60, 30], "frequency": [2, 3, 5, 10], "monetary": [50, 100, 250, 1000]},
}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (
            {"method": "quintile", "weights": {"recency": 1, "frequency": -1, "monetary": 1}},
            ["method is 'quintile': percentile or fixed; weights need recency, frequency and monetary"],
        ),
        (
            {"thresholds": {"recency_days": [30, 60, 90, 180], "frequency": [2, 3, 3, 10], "monetary": [50, 100]}},
            [
                "thresholds.recency_days need four numbers, falling",
                "thresholds.frequency need four numbers, rising",
                "thresholds.monetary need four numbers, rising",
            ],
        ),
        ({"window_days": 60}, ["There is no feature 'orders' over 60 days"]),
    ],
    ids=["method and weights", "thresholds", "window"],
)
def test_what_is_wrong_is_said(tmp_path: Path, wrong: dict[str, Any], said: list[str]) -> None:
    settings = support.new_settings(tmp_path)
    output = support.dbt(settings, "parse", variables={"rfm": {**SOUND, **wrong}}, fails=True)
    for text in said:
        assert text in output

"""Orders of two currencies are never added up: the build stops before anything reads them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.dbt import features_support as support
from tests.dbt.features_support import Built
from warehouse.settings import Settings

TEST = "orders_are_in_one_currency"
EUR = {"currency": "EUR"}
GBP = {"currency": "GBP"}
UNKNOWN = {"currency": None}
YEN_OUT = {"currency": "JPY", "excluded_reason": "test_order"}
YEN_CANCELLED = {"currency": "JPY", "excluded_reason": "cancelled_order"}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return support.new_settings(tmp_path_factory.mktemp("currencies"))


@pytest.mark.parametrize(
    ("lines", "declared", "fails"),
    [
        ([EUR, EUR, UNKNOWN, YEN_OUT], None, False),
        ([EUR, GBP], None, True),
        ([EUR, YEN_CANCELLED], None, True),  # it counts as of a day before it was cancelled
        ([EUR, YEN_OUT], "EUR", False),
        ([GBP], "EUR", True),
    ],
)
def test_a_second_currency_fails(
    shop: Settings, lines: list[dict[str, str | None]], declared: str | None, fails: bool
) -> None:
    support.write(shop, {"int_orders__lines": lines})
    variables = {"shop_currency": declared} if declared else None
    output = support.dbt(shop, "test", "--select", TEST, variables=variables, fails=fails)
    assert ("ERROR=1" if fails else "PASS=1") in output


def test_it_stands_before_everything_that_adds_up(built: Built) -> None:
    manifest = json.loads(Path(built.target / "manifest.json").read_text(encoding="utf-8"))
    node = manifest["nodes"][f"test.mailwright.{TEST}"]
    assert node["depends_on"]["nodes"] == ["model.mailwright.int_orders__lines"]
    assert node["config"]["severity"].lower() == "error"
    children = manifest["child_map"]["model.mailwright.int_orders__lines"]
    assert {"model.mailwright.fct_order_lines", "model.mailwright.int_orders__cancelled_sales"} <= set(children)

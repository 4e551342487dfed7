"""What a person sees of checks: which load failed, what was found, and how to get out of it."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Outcome
from warehouse.connection import connect
from warehouse.settings import Settings

Call = Callable[..., Outcome]
PRODUCT = {
    "product_id": "p1", "product_name": "Tea", "category": "tea", "price": "5", "currency": "USD", "product_url": "",
    "image_url": "", "stock_quantity": "3",
}  # fmt: skip


def _products(path: Path, price: str, updated_at: str) -> Path:
    row = PRODUCT | {"price": price, "updated_at": updated_at}
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(row))
        writer.writeheader()
        writer.writerow(row)
    return path


def _load(mailwright: Call, path: Path) -> str:
    outcome = mailwright("load", path, "--table", "shop_products", "--json")
    assert outcome.code == 0, outcome.stderr
    return outcome.document["loads"][0]["load_id"]


@pytest.fixture
def loads(mailwright: Call, tmp_path: Path) -> tuple[str, str]:
    """A bad load, checked, and a good one after it."""
    bad = _load(mailwright, _products(tmp_path / "bad.csv", "-5", "2026-01-01 00:00:00"))
    return bad, _load(mailwright, _products(tmp_path / "good.csv", "5", "2026-01-02 00:00:00"))


def test_a_failed_check_names_load_finding_and_way_out(mailwright: Call, loads: tuple[str, str]) -> None:
    bad, good = loads
    outcome = mailwright("check")
    assert outcome.code == 3
    assert f"raw.shop_products ({bad})" in outcome.stderr
    assert good not in outcome.stderr
    assert "What to do" in outcome.stderr
    assert "--withdraw" in outcome.stderr
    assert re.search(r"\bexpected\b", outcome.stdout)


def test_status_lists_a_failing_load_until_it_is_withdrawn(mailwright: Call, loads: tuple[str, str]) -> None:
    bad, _ = loads
    mailwright("check")
    # a later good load of the same table does not open the gate, so it must not hide the bad one
    failing = [row for row in mailwright("status", "--json").document["tables"]["checks"] if not row["success"]]
    assert [row["subject_id"] for row in failing] == [bad]
    assert bad in mailwright("status").stdout
    assert mailwright("load", "--withdraw", bad).code == 0
    assert bad not in mailwright("status").stdout


def test_nothing_to_check_points_to_no_page(mailwright: Call, settings: Settings) -> None:
    with connect(settings):
        pass
    outcome = mailwright("check", home=settings.home)
    assert outcome.code == 0
    assert "Data Docs" not in outcome.stdout

"""What the docs say that each destination can do is what the suite shows."""

from __future__ import annotations

import importlib
import inspect

import pytest

from tests.reverse_etl.conformance.capabilities import CAPABILITIES, ROWS, VENDORS, Row
from warehouse.settings import PROJECT_DIR


def _rows() -> dict[str, list[str]]:
    """Of the section's tables: first cell → the others."""
    text = (PROJECT_DIR / "docs/syncs.md").read_text(encoding="utf-8")
    section = text.partition("## What each destination can do")[2].partition("\n## ")[0]
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line[:1] == "|"]
    return {cells[0]: cells[1:] for cells in lines}


def test_the_table_names_the_vendors_in_our_order() -> None:
    assert [name.lower() for name in _rows()["shown by tests"]] == list(VENDORS)
    assert set(CAPABILITIES) == set(VENDORS)


@pytest.mark.parametrize("row", ROWS, ids=[row.label for row in ROWS])
def test_what_the_table_says_is_what_the_suite_shows(row: Row) -> None:
    """The tests that a line rests on exist, and run at every vendor; they assert what the capabilities say."""
    assert _rows()[row.label] == [row.cell(CAPABILITIES[vendor]) for vendor in VENDORS]
    for name in row.tests:
        module, _, function = name.partition(".")
        found = getattr(importlib.import_module(f"tests.reverse_etl.conformance.test_{module}"), function)
        assert {"port", "wanted"} & set(inspect.signature(found).parameters)


def test_nothing_else_is_claimed() -> None:
    claimed = list(_rows())
    ours = claimed[claimed.index("shown by tests") + 1 :]
    assert ours == [row.label for row in ROWS]

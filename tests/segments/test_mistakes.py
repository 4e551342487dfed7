"""A mistake in a segment file stops its compilation, with file, line and what was probably meant; others go on."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.dbt import features_support as support
from warehouse.dbt import dbt_environment
from warehouse.settings import PROJECT_DIR

MISTAKES: dict[str, tuple[str, str]] = {
    # the condition on line 3 of the file, and what is said of it
    "column": (
        "prop('orders_90', '>=', 2)",
        "there is no column of the person 'orders_90'. Did you mean 'orders_90d'?",
    ),
    "event": (
        "did('Product View', within='7 days')",
        "there is no event 'Product View'. Did you mean 'Product Viewed'?",
    ),
    "event_column": (
        "did('Product Viewed', within='7 days', where=[prop('categry', '=', 'tea')])",
        "there is no column of that event 'categry'. Did you mean 'category'?",
    ),
    "text_for_number": ("prop('orders_90d', '>=', 'two')", "'orders_90d' is a number, and 'two' is none."),
    "number_for_text": ("prop('city', 'is', 7)", "'city' is a text, and 7 is none: write it in quotes."),
    "test_of_type": ("prop('orders_90d', 'contains', 'a')", "'contains' is no test of a number ('orders_90d')."),
    "test": ("prop('city', 'start with', 'a')", "Did you mean 'starts with'?"),
    "span": ("did('page', within='2 fortnights')", "'2 fortnights' is no span of time."),
    "mixed": ("did('page', between=('90 days', '24 hours'))", "mixes hours, which are exact, with whole days."),
    "order": ("did('page', between=('30 days', '90 days'))", "the farther offset comes first."),
    "two_windows": ("did('page', within='7 days', since='2026-01-01')", "and not by two of them."),
    "day": ("prop('first_purchase_at', 'before', '31.1.2026')", "'31.1.2026' is no day. Write it as 2026-01-31."),
    "no_day": ("prop('first_purchase_at', 'before', '2026-02-31')", "'2026-02-31' is no day of the calendar"),
    "instant": ("prop('first_purchase_at', '<', 'noon')", "'first_purchase_at' is an instant, and 'noon' is none"),
    "null": ("prop('city', '=', none)", "unknown is 'is empty'."),
    "list": ("prop('city', 'in', 'Graz')", "'in' takes a list of values, for 'city'."),
    "window_in_where": (
        "did('Order Placed', where=[prop('net_revenue', 'within last', '7 days')])",
        "'within last' is no test of a number ('net_revenue').",
    ),
    "where": ("did('page', within='1 hour', where=['x'])", "where takes a list of tests: [prop(…), …]."),
    "aggregate": ("total('Order Placed', 'median', 'net_revenue', '>', 1)", "there is no aggregate 'median'."),
    "sum_of_text": ("total('page', 'sum', 'page_url', '>', 1)", "'page_url' is a text, of which there is no sum."),
    "times": ("did('page', at_least='often')", "'often' is no number of events."),
    "rank_of_text": ("top_n('city', 10)", "'city' is a text: there is no more or less of it."),
    "share": ("random_share('x', 60, start=50)", "a share lies between 0 and 100 percent."),
    "no_condition": ("'orders_90d > 1'", "a condition is one of the vocabulary"),
    "compared": ("prop('orders_90d', '> column', 'city')", "'orders_90d' is a number and 'city' a text."),
    "anniversary": ("anniversary('orders_90d')", "'orders_90d' is a number, and an anniversary is that of an instant."),
    "segment_of_history": ("entered('lapsd', within='7 days')", "there is no segment 'lapsd'. Did you mean 'lapsed'?"),
    "stage_of_history": (
        "has_been_in_stage('customer_stage', 'lapsd_customer', '7 days')",
        "there is no stage of customer_stage 'lapsd_customer'. Did you mean 'lapsed_customer'?",
    ),
    "quote": ("prop('city', 'is', \"L'Aquila\")", ""),
}
"""By name; the last one is none: quotes are quoted."""


@pytest.fixture(scope="module")
def said(one_place: Callable[[], Path], tmp_path_factory: pytest.TempPathFactory) -> str:
    """What dbt says of a project with a segment for each mistake."""
    settings = support.new_settings(one_place())
    project = tmp_path_factory.mktemp("mistakes") / "project"
    shutil.copytree(PROJECT_DIR / "dbt_project", project, ignore=shutil.ignore_patterns("target", "logs"))
    for name, (condition, _) in MISTAKES.items():
        text = f"{{{{ segment(\n    all_of=[\n        {condition},\n    ],\n) }}}}\n"
        (project / "models" / "segments" / f"seg_wrong_{name}.sql").write_text(text, encoding="utf-8")
    support.write(settings, {})
    names = " ".join(sorted(path.stem for path in (project / "models" / "segments").glob("seg_*.sql")))
    environment = {**dbt_environment(settings), "MAILWRIGHT_SEGMENTS": names}
    wrong = [f"seg_wrong_{name}" for name in MISTAKES]
    output = support.dbt(settings, "run", "--select", *wrong, project=project, environment=environment, fails=True)
    return re.sub(r"\s+", " ", output)


@pytest.mark.parametrize("name", list(MISTAKES))
def test_a_mistake_is_told(name: str, said: str) -> None:
    message = MISTAKES[name][1]
    found = re.search(rf"models/segments/seg_wrong_{name}\.sql:(\d+): (.*?) > in macro", said)
    if not message:
        assert found is None, found
        return
    if name == "no_day":  # the calendar is asked by dbt's own helper, which knows no line
        assert message in said
        return
    assert found, f"nothing is said of {name}"
    assert int(found.group(1)) == 3
    assert message in found.group(2)


def test_a_circle_of_segments_is_told(one_place: Callable[[], Path], tmp_path: Path) -> None:
    settings = support.new_settings(one_place())
    project = tmp_path / "project"
    shutil.copytree(PROJECT_DIR / "dbt_project", project, ignore=shutil.ignore_patterns("target", "logs"))
    for one, other in (("left_shoe", "right_shoe"), ("right_shoe", "left_shoe")):
        text = f"{{{{ segment(all_of=[in_segment('{other}')]) }}}}\n"
        (project / "models" / "segments" / f"seg_{one}.sql").write_text(text, encoding="utf-8")
    output = support.dbt(settings, "compile", "--select", "seg_left_shoe", project=project, fails=True)
    assert "Found a cycle" in output
    assert "seg_left_shoe" in output
    assert "seg_right_shoe" in output

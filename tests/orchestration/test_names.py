"""Keys, groups and arguments, without Dagster and dbt."""

from __future__ import annotations

from typing import Any

import pytest

from orchestration import names


def props(resource_type: str, name: str, **more: Any) -> dict[str, Any]:
    return {"resource_type": resource_type, "name": name, "fqn": ["mailwright", name], **more}


@pytest.mark.parametrize(
    ("node", "key"),
    [
        (props("model", "fct_orders", fqn=["mailwright", "orders", "fct_orders"]), ("fct_orders",)),
        (props("seed", "rfm_cells"), ("rfm_cells",)),
        (props("source", "shop_orders", source_name="raw"), ("raw", "shop_orders")),
        (props("source", "identifier_normalized", source_name="raw"), names.NORMALIZED_KEY),
        (props("source", "recommendation_candidates", source_name="ml"), names.RECOMMENDATIONS_KEY),
        (props("source", "churn_predictions", source_name="ml"), names.CHURN_KEY),
        (props("source", "model_runs", source_name="ml"), ("ml", "model_runs")),
        (props("source", "clock", source_name="control"), ("control", "clock")),
    ],
)
def test_a_node_has_one_key(node: dict[str, Any], key: tuple[str, ...]) -> None:
    assert names.dbt_key(node) == key


@pytest.mark.parametrize(
    ("node", "group"),
    [
        (props("model", "fct_orders", fqn=["mailwright", "orders", "fct_orders"]), "orders"),
        (props("model", "seg_lapsed", fqn=["mailwright", "segments", "seg_lapsed"]), "segments"),
        (props("model", "deep", fqn=["mailwright", "a", "b", "deep"]), "a"),
        (props("model", "loose"), "models"),
        (props("seed", "rfm_cells"), "reference"),
        (props("source", "shop_orders", source_name="raw"), "raw"),
        (props("source", "clock", source_name="control"), "control"),
    ],
)
def test_the_group_is_the_folder(node: dict[str, Any], group: str) -> None:
    assert names.dbt_group(node) == group


def test_the_two_halves_share_nothing_and_leave_nothing_out() -> None:
    before, after = names.dbt_selection("before_ml"), names.dbt_selection("after_ml")
    assert before.exclude == after.select == "tag:after_ml"
    assert before.select == "fqn:*"
    assert after.exclude is None


def test_an_hourly_build_runs_no_unit_tests() -> None:
    assert names.dbt_build_arguments() == ["build", "--exclude-resource-type", "unit_test"]


def test_each_vendor_has_a_pool_of_its_own() -> None:
    assert names.api_pool("mailchimp") == "mailchimp_api"
    assert names.api_pool("mailchimp") != names.WRITER_POOL


def test_a_report_becomes_flat_metadata_without_lists() -> None:
    report = {"created": 3, "blocked": {"no_consent": 2}, "notes": ["x"], "as_of": "2011-12-10", "latency": None}
    assert names.numbers_of(report) == {"created": 3, "blocked.no_consent": 2, "as_of": "2011-12-10"}


def test_a_description_is_one_line_and_never_empty() -> None:
    assert names.one_line("  a\n  b ", "c") == "a b"
    assert names.one_line(None, "c") == "c"

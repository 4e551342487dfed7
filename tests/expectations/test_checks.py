"""Suites on loads and on what would leave: good data passes, bad data fails and is named, nothing personal shows."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from expectations.declared import ACTIVATION_TABLES, DECLARATIONS, activation_suite, load_suite
from expectations.runner import check_activation, check_loads
from ingest.load import load
from tests.expectations.conftest import CONTACTS, LINES, ORDERS, LoadRows, Query, build_activation
from warehouse.errors import ConfigError, DataError
from warehouse.settings import Settings


def test_a_good_load_passes_and_is_checked_once(
    settings: Settings, load_rows: LoadRows, query: Query, orders: str
) -> None:
    load_id = load_rows("shop_order_lines", LINES.format(price="2.5"))
    report = check_loads(settings, tables=["shop_order_lines"])
    assert orders not in {run.subject_id for run in report.runs}
    assert report.success
    assert report.failed == 0
    assert report.passed == len(report.results) > 20
    [(subject, table, suite, success, n, failed)] = query(
        "select subject_id, table_name, suite, success, n_expectations, n_failed from ops.check_runs"
    )
    assert (subject, table, suite, success, n, failed) == (
        load_id, "shop_order_lines", "raw.shop_order_lines", True, len(report.results), 0,
    )  # fmt: skip
    assert query("select count(*) from ops.check_results") == [(len(report.results),)]
    assert [run.subject_id for run in check_loads(settings).runs] == [orders]
    assert check_loads(settings).runs == ()
    assert len(check_loads(settings, [load_id]).runs) == 1


@pytest.mark.usefixtures("orders")
def test_mostly_negative_prices_fail_and_some_do_not(settings: Settings, load_rows: LoadRows, query: Query) -> None:
    some = load_rows("shop_order_lines", LINES.format(price="case when i < 2 then -1 else 2 end"))
    report = check_loads(settings)
    assert report.success
    assert {result.expectation for result in report.results if not result.is_met} >= {"share_negative_prices"}
    bad = load_rows("shop_order_lines", LINES.format(price="case when i < 80 then -1 else 2 end"))
    report = check_loads(settings)
    assert [run.subject_id for run in report.runs] == [bad], f"{some} passed"
    [failed] = [result for result in report.results if not result.success]
    assert (failed.table_name, failed.column_name) == ("shop_order_lines", "unit_price")
    assert failed.expectation == "share_negative_prices_severe"
    assert failed.unexpected_count == 80
    assert len(failed.sample_row_keys) == 5
    assert all(re.fullmatch(r"[0-9a-f]{12}", key) for key in failed.sample_row_keys)
    assert failed.message == "blocking: 0.8 found, at most 0.05 expected"
    [(keys,)] = query("select sample_row_keys from ops.check_results where subject_id = ? and not success", bad)
    assert json.loads(keys) == list(failed.sample_row_keys)
    assert report.to_dict()["success"] is False
    assert check_loads(settings).failed == 1, "a load that failed is checked again"


def test_values_that_nobody_declared(settings: Settings, load_rows: LoadRows) -> None:
    load_rows("shop_orders", ORDERS.format(bad=2))
    report = check_loads(settings)
    assert report.success
    assert report.warnings == 1
    load_rows("shop_orders", ORDERS.format(bad=30))
    report = check_loads(settings)
    [failed] = [result for result in report.results if not result.success]
    assert (failed.expectation, failed.column_name, failed.unexpected_count) == ("accepted_values", "channel", 30)


def test_an_undeclared_table_gets_the_generic_suite(settings: Settings, load_rows: LoadRows) -> None:
    load_rows("loyalty_points", "select i as member, 10 as points from range(10) t(i)")
    assert check_loads(settings).success
    load_rows("loyalty_points", "select null::bigint as member, null::integer as points from range(10)")
    report = check_loads(settings)
    assert [result.expectation for result in report.results if not result.success] == ["share_empty_rows"]


def test_an_empty_load_warns(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "points.csv").write_text("member,points\n", encoding="utf-8")
    load(settings, tmp_path / "points.csv")
    report = check_loads(settings)
    assert report.success
    assert [result.expectation for result in report.results if not result.is_met] == ["rows"]


def test_nothing_personal_enters_results_or_data_docs(settings: Settings, load_rows: LoadRows, query: Query) -> None:
    load_rows(
        "crm_contacts",
        CONTACTS.format(email="case when i < 20 then 'secret' || i else 'secret' || i || '@example.com' end"),
    )
    load_rows(
        "email_events",
        "select 'e' || i as event_id, case when i < 10 then 'leaked@example.com' else 'open' end as event, "
        "'reader' || i || '@example.com' as email, 'm' || i as message_id, 'k' as campaign_id, "
        "'https://x.example/?to=reader@example.com' as link_url, 'UA' as user_agent, '203.0.113.77' as ip, "
        "null::boolean as is_provider_flagged_machine, null::varchar as bounce_type, "
        "timestamp '2024-01-01' as occurred_at, timestamp '2024-01-01' as received_at from range(20) t(i)",
    )
    build_activation(settings, first_name="null", subscriber_hash="'wrong'", consent_verdict="'person@example.com'")
    reports = [check_loads(settings), check_activation(settings)]
    assert all(report.failed for report in reports)
    pages = list(settings.data_docs_dir.rglob("*.html"))
    assert len(pages) > 8
    assert all(run.docs_path and Path(run.docs_path).exists() for report in reports for run in report.runs)
    shown = "\n".join(page.read_text(encoding="utf-8") for page in pages)
    shown += "\n".join(path.read_text(encoding="utf-8") for path in settings.data_docs_dir.rglob("*.json"))
    shown += repr(query("select * from ops.check_results")) + "".join(
        json.dumps(report.to_dict()) for report in reports
    )
    for personal in ("example.com", "secret", "reader", "Wilhelmina", "Quackenbush", "203.0.113.77", "+4420794609"):
        assert personal not in shown
    index = (settings.data_docs_dir / "index.html").read_text(encoding="utf-8")
    assert "crm_contacts" in index
    assert "failed" in index


def test_data_docs_do_not_pile_up(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    from expectations import store

    monkeypatch.setattr(store, "KEPT_DOCS", 2)
    for number in range(4):
        store.write_index(settings.data_docs_dir, f"checks_{number}", [])
    assert sorted(path.name for path in settings.data_docs_dir.glob("checks_*")) == ["checks_2", "checks_3"]


def test_good_activation_passes(settings: Settings) -> None:
    build_id = build_activation(settings)
    report = check_activation(settings)
    assert [(run.subject_id, run.table_name, run.success) for run in report.runs] == [
        (build_id, table, True) for table in ACTIVATION_TABLES
    ], [result for result in report.results if not result.success]


@pytest.mark.parametrize(
    ("column", "sql", "expectation"),
    [
        ("profile_id", "'same'", "duplicate_people"),
        ("email", "case when i = 3 then null else 'person' || i || '@example.com' end", "not_null"),
        ("subscriber_hash", "md5(i::varchar)", "share_wrong_hash"),
        ("consent_verdict", "'subscribe'", "share_subscribed_against_consent"),
        ("consent_verdict", "'update_only'", "share_suppressed_not_unsubscribed"),
        ("rfm_score", "'999'", "share_wrong_rfm_score"),
        ("rec_1_price", "0::numeric(18,4)", "between"),
        ("recs_expire_at", "timestamp '2023-12-31'", "share_expired_offers"),
        ("as_of", "timestamp '2023-12-31'", "share_not_as_of_the_clock"),
    ],
)
def test_bad_activation_fails(settings: Settings, column: str, sql: str, expectation: str) -> None:
    build_activation(settings, **{column: sql})
    failed = [result for result in check_activation(settings).results if not result.success]
    assert expectation in {result.expectation for result in failed if result.table_name == ACTIVATION_TABLES[0]}


def test_a_missing_column_is_a_failure_not_a_crash(settings: Settings, query: Query) -> None:
    build_activation(settings)
    query('alter table "analytics".sync_esp__members drop column subscriber_hash')
    failed = {result.expectation: result for result in check_activation(settings).results if not result.success}
    assert failed["column_exists"].column_name == "subscriber_hash"
    assert "cannot be computed" in (failed["share_wrong_hash"].message or "")


def test_unknown_subjects(settings: Settings) -> None:
    with pytest.raises(DataError, match="no load 'load_x'"):
        check_loads(settings, ["load_x"])
    with pytest.raises(DataError, match="no succeeded build"):
        check_activation(settings)
    build_activation(settings)
    with pytest.raises(DataError, match="not the newest"):
        check_activation(settings, "build_other")


def test_all_declarations_are_valid_and_belong_to_a_table() -> None:
    settings = Settings()
    from ingest.contracts import declared_contracts, sources_path

    raw = declared_contracts(sources_path(settings))
    for path in DECLARATIONS.glob("*.yml"):
        if path.stem in ACTIVATION_TABLES:
            assert activation_suite(path.stem).metrics
        else:
            assert path.stem in raw
    for table, contract in raw.items():
        suite = load_suite(settings, table)
        assert {rule.column for rule in suite.rules} <= set(contract.names)
        names = [(metric.name, metric.severity) for metric in suite.metrics]
        assert len(names) == len(set(names))


def test_a_wrong_declaration_is_one_clear_message(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, load_rows: LoadRows
) -> None:
    load_rows("points", "select 1 as member")
    (tmp_path / "points.yml").write_text("metrics: [{name: x, share: 'true'}]", encoding="utf-8")
    monkeypatch.setattr("expectations.declared.DECLARATIONS", tmp_path)
    with pytest.raises(ConfigError, match="needs `min` or `max`"):
        check_loads(settings)


def test_real_orders_pass(settings: Settings, shared_dir: Callable[[str], Path], tmp_path: Path) -> None:
    source = f"read_parquet('{shared_dir('data/online_retail/online_retail.parquet')}', file_row_number = true)"
    with duckdb.connect() as con:
        names = {row[0].lower(): row[0] for row in con.execute(f"describe select * from {source}").fetchall()}
        invoice, stock = names.get("invoiceno") or names["invoice"], names["stockcode"]
        when, price = names["invoicedate"], names.get("unitprice") or names["price"]
        con.execute(
            f"copy (select cast({invoice} as varchar) as order_id, row_number() over (partition by {invoice} order by "
            f"file_row_number) as line_number, cast({stock} as varchar) as product_id, description, "
            f"cast(quantity as bigint) as quantity, cast({price} as decimal(18,4)) as unit_price, "
            f"cast({when} as timestamp) as created_at from {source}) to '{tmp_path}/shop_order_lines.parquet'"
        )
        con.execute(
            f"copy (select cast({invoice} as varchar) as order_id, any_value(cast({names['customerid']} as varchar)) "
            "as customer_id, null::varchar as user_id, null::varchar as email, 'web' as channel, case when "
            f"any_value(cast({invoice} as varchar)) like 'C%' then 'return' else 'sale' end as order_type, "
            "null::varchar as original_order_id, 'placed' as status, null::timestamp as cancelled_at, "
            "false as is_test, any_value(country) as country, 'GBP' as currency, "
            f"min(cast({when} as timestamp)) as ordered_at from {source} group by {invoice}) "
            f"to '{tmp_path}/shop_orders.parquet'"
        )
    report = load(settings, tmp_path / "shop_orders.parquet")
    lines = load(settings, tmp_path / "shop_order_lines.parquet")
    assert (report.rows_loaded, lines.rows_loaded, lines.rows_quarantined) == (25_900, 541_909, 0)
    checks = check_loads(settings)
    assert checks.success, [result for result in checks.results if not result.success]
    negative = [r for r in checks.results if r.expectation == "share_negative_prices_severe"]
    zero = [r for r in checks.results if r.expectation == "share_zero_prices_severe"]
    assert (negative[0].unexpected_count, zero[0].unexpected_count) == (2, 2_515)


CONSENT = "consent_event_id,email,channel,purpose,state,source,wording_version,evidence,occurred_at,received_at\n"
MAIL = (
    "event_id,event,email,message_id,campaign_id,link_url,user_agent,ip,is_provider_flagged_machine,bounce_type,"
    "occurred_at,received_at\n"
)


@pytest.mark.parametrize(
    ("table", "head", "good", "bad", "expectation"),
    [
        (
            "consent_events",
            CONSENT,
            "c{i},p{i}@example.com,email,newsletter,granted,form,v1,{{}},2024-01-01,2024-01-01\n",
            "x,p1@example.com,email,newsletter,withdrawn,preference_center,v1,{},,2024-01-02\n",
            "statements_quarantined",
        ),
        (
            "email_events",
            MAIL,
            "e{i},delivered,p{i}@example.com,m{i},c,,,,,,2024-01-01,2024-01-01\n",
            "x,unsubscribe,p1@example.com,m1,c,,,,,,yesterday,2024-01-02\n",
            "refusals_quarantined",
        ),
    ],
)
def test_a_refusal_that_cannot_be_read_blocks(
    settings: Settings, tmp_path: Path, table: str, head: str, good: str, bad: str, expectation: str
) -> None:
    path = tmp_path / f"{table}.csv"
    path.write_text(head + "".join(good.format(i=i) for i in range(200)), encoding="utf-8")
    load(settings, path)
    assert check_loads(settings).success
    path.write_text(head + "".join(good.format(i=i) for i in range(200, 400)) + bad, encoding="utf-8")
    assert load(settings, path).rows_quarantined == 1
    assert [r.expectation for r in check_loads(settings).results if not r.success] == [expectation]


def test_what_came_back_is_weighed_against_what_the_load_says_was_sent(settings: Settings, tmp_path: Path) -> None:
    """A pull may bring nothing but bounces: they are no share of anything."""
    row = "{i},{kind},p{i}@example.com,m{i},c,,,,,hard,2024-01-01,2024-01-01\n"
    back = [row.format(i=f"b{i}", kind="bounce") for i in range(20)]
    sent = [row.format(i=f"s{i}", kind="sent") for i in range(20)]
    loads = {}
    for name, rows in (("pulled", back), ("both", [line.replace("b", "c", 1) for line in back] + sent)):
        path = tmp_path / f"{name}.csv"
        path.write_text(MAIL + "".join(rows), encoding="utf-8")
        loads[load(settings, path, "email_events").loads[0].load_id] = name
    unmet = check_loads(settings).to_dict()["unmet"]
    assert [loads[one["subject_id"]] for one in unmet if one["expectation"] == "share_bounces"] == ["both"]

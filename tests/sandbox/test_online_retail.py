"""Real orders: nothing of the file is lost or changed, bad files give one clear error, the rest is simulated to fit."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingest.manifest import find_work
from sandbox.config import SandboxConfig
from sandbox.online_retail import convert
from sandbox.online_retail_goods import CATEGORIES, category_of
from sandbox.online_retail_read import COLUMNS, read_orders
from tests.sandbox.conftest import files_as_views
from tests.sandbox.orders_files import some_rows, write_csv, write_parquet, write_xlsx
from tests.sandbox.test_contract import hashes
from warehouse.errors import DataError

TINY = SandboxConfig(n_contacts=150, n_web_events=4_000)


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("orders")
    report = convert(write_parquet(folder / "orders.parquet", some_rows()), folder / "out", TINY)
    assert report.as_of == datetime(2011, 6, 21)
    return report.out_dir


def test_every_row_is_one_line_unchanged(converted: Path) -> None:
    con = files_as_views(converted)
    lines = con.execute(
        "select order_id, product_id, description, quantity, created_at, unit_price from shop_order_lines"
    ).fetchall()
    expected = [
        (i, c, d, q, at, Decimal(str(p)).quantize(Decimal("0.0001"))) for i, c, d, q, at, p, _, _ in some_rows()
    ]
    assert lines == expected
    numbers = con.execute(
        "select order_id, list(line_number order by line_number) from shop_order_lines group by 1"
    ).fetchall()
    assert all(positions == list(range(1, len(positions) + 1)) for _, positions in numbers)


def test_orders_and_customers(converted: Path) -> None:
    con = files_as_views(converted)
    kinds = dict(
        con.execute("select substr(order_id, 1, 1), any_value(order_type) from shop_orders group by 1").fetchall()
    )
    assert kinds == {"5": "sale", "C": "return", "A": "sale"}
    assert con.execute("select count(*) from shop_orders").fetchall() == [(64,)]
    customers = {int(customer) for *_, customer, _ in some_rows() if customer is not None}
    rows = con.execute("select customer_id, user_id, country from shop_customers").fetchall()
    assert {int(customer) for customer, _, _ in rows} == customers
    assert all(user == f"u{customer}" for customer, user, _ in rows)
    assert "EIRE" in {country for *_, country in rows}
    assert con.execute("select customer_id from shop_orders where order_id = '536369'").fetchall() == [(None,)]


def test_what_is_simulated_says_so(converted: Path) -> None:
    work = find_work(converted)
    assert work.as_of == datetime(2011, 6, 21)
    real = {file.table for file in work.files if file.provenance == "real"}
    assert real == {"shop_orders", "shop_order_lines", "shop_customers"}
    assert {file.provenance for file in work.files if file.table not in real} == {"simulated"}
    con = files_as_views(converted)
    addresses = con.execute("select distinct email from email_events union select email from consent_events").fetchall()
    assert all(email.split("@")[1].split(".")[-2] == "example" for (email,) in addresses)


def test_what_is_simulated_fits_the_orders(converted: Path) -> None:
    con = files_as_views(converted)
    fit = """
        select count(*), count(o.order_id), count(*) filter (w.user_id = o.user_id and w."timestamp" = o.ordered_at)
        from web_events w left join shop_orders o on o.order_id = json_extract_string(w.properties, '$.order_id')
        where w.event = 'Order Completed'
    """
    ((completed, known, exact),) = con.execute(fit).fetchall()
    assert completed == known == exact > 20
    viewed_before = """
        select count(distinct o.order_id) from shop_orders o join shop_order_lines l using (order_id)
        join web_events w on w.user_id = o.user_id and w.event = 'Product Viewed' and w."timestamp" < o.ordered_at
          and json_extract_string(w.properties, '$.product_id') = l.product_id
    """
    assert con.execute(viewed_before).fetchall()[0][0] > 20
    linked = "select count(distinct user_id) from crm_contacts where user_id in (select user_id from shop_customers)"
    assert con.execute(linked).fetchall() == [(12,)]
    for table, at in (("web_events", '"timestamp"'), ("email_events", "occurred_at"), ("crm_contacts", "updated_at")):
        assert con.execute(f"select max({at}) < timestamp '2011-06-21' from {table}").fetchall() == [(True,)]
    unsold = (
        "select count(*) from web_events where json_extract_string(properties, '$.product_id') in ('POST', 'M', 'B')"
    )
    assert con.execute(unsold).fetchall() == [(0,)]


def test_few_events_still_span_the_whole_period(tmp_path: Path) -> None:
    few = TINY.model_copy(update={"n_web_events": 2_000})
    # as in the real file, invoices are numbered by their instants
    rows = sorted(some_rows(600), key=lambda row: row[4])
    number = {old: str(536_365 + n) for n, old in enumerate(dict.fromkeys(row[0] for row in rows if row[0] < "A"))}
    rows = [(number.get(row[0], row[0]), *row[1:]) for row in rows]
    convert(write_parquet(tmp_path / "orders.parquet", rows), tmp_path / "out", few)
    con = files_as_views(tmp_path / "out")
    quarters = con.execute("""
        with period as (select min(ordered_at) as first_at, timestamp '2011-06-21' as last_at from shop_orders)

        select least(3, floor(4 * epoch(w."timestamp" - first_at) / epoch(last_at - first_at)))::int as quarter,
          count(*) filter (w.event = 'Order Completed') > 5, count(*) > 200
        from web_events as w cross join period where w."timestamp" >= first_at group by 1 order by 1
    """).fetchall()
    assert quarters == [(quarter, True, True) for quarter in range(4)]


def test_same_file_same_bytes(tmp_path: Path) -> None:
    orders = write_parquet(tmp_path / "orders.parquet", some_rows())
    convert(orders, tmp_path / "a", TINY)
    convert(orders, tmp_path / "b", TINY)
    assert hashes(tmp_path / "a") == hashes(tmp_path / "b")


@pytest.mark.parametrize(
    "write",
    [
        write_csv,
        lambda path, rows: write_csv(path, rows, encoding="latin-1"),
        lambda path, rows: write_csv(path, rows, encoding="utf-8-sig"),
        lambda path, rows: write_csv(path, rows, date_format="%-m/%-d/%Y %-H:%M"),
        lambda path, rows: write_csv(path, rows, date_format="%d/%m/%Y %H:%M"),
        write_xlsx,
    ],
    ids=["utf-8", "latin-1", "byte-order-mark", "published-dates", "day-first", "workbook"],
)
def test_all_formats_read_alike(write: Callable[..., Path], tmp_path: Path) -> None:
    reference = read_orders(write_parquet(tmp_path / "orders.parquet", some_rows()))
    name = "orders.xlsx" if write is write_xlsx else "orders.csv"
    rows = read_orders(write(tmp_path / name, some_rows()))
    for field in ("invoice", "stock_code", "description", "country"):
        assert getattr(rows, field).to_pylist() == getattr(reference, field).to_pylist(), field
    for field in ("quantity", "at", "price", "customer"):
        assert np.array_equal(getattr(rows, field), getattr(reference, field)), field


def test_customers_written_as_floats_and_names_of_the_second_edition(tmp_path: Path) -> None:
    text = "Invoice,StockCode,Description,Quantity,InvoiceDate,Price,Customer ID,Country\n"
    text += "489434,85048,LIGHTS,12,2009-12-01 07:45:00,6.95,13085.0,United Kingdom\n"
    text += "489435,85048,,1,2009-12-01 07:46:00,6.95,,United Kingdom\n"
    path = tmp_path / "orders.csv"
    path.write_text(text, encoding="utf-8")
    rows = read_orders(path)
    assert rows.customer.tolist() == [13085, -1]
    assert rows.description.to_pylist() == ["LIGHTS", None]


def cut_short(path: Path) -> Path:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


def renamed(tmp_path: Path) -> Path:
    path = write_csv(tmp_path / "orders.csv", some_rows())
    path.write_bytes(path.read_bytes().replace(b"UnitPrice", b"Cost"))
    return path


def replaced(tmp_path: Path, old: bytes, new: bytes) -> Path:
    path = write_csv(tmp_path / "orders.csv", some_rows())
    path.write_bytes(path.read_bytes().replace(old, new, 1))
    return path


def empty(tmp_path: Path, name: str) -> Path:
    path = tmp_path / name
    path.touch()
    return path


def without_rows(tmp_path: Path) -> Path:
    path = tmp_path / "orders.csv"
    path.write_text(",".join(COLUMNS) + "\n", encoding="utf-8")
    return path


def quantities_as_text(tmp_path: Path) -> Path:
    table = pq.read_table(write_parquet(tmp_path / "orders.parquet", some_rows()))
    table = table.set_column(3, "Quantity", pa.array(["many"] * table.num_rows))
    pq.write_table(table, tmp_path / "orders.parquet")
    return tmp_path / "orders.parquet"


def dates_as_numbers(tmp_path: Path) -> Path:
    table = pq.read_table(write_parquet(tmp_path / "orders.parquet", some_rows()))
    table = table.set_column(4, "InvoiceDate", pa.array([1.5] * table.num_rows))
    pq.write_table(table, tmp_path / "orders.parquet")
    return tmp_path / "orders.parquet"


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda p: p / "absent.csv", "no such file"),
        (lambda p: empty(p, "orders.parquet"), "is empty"),
        (lambda p: empty(p, "orders.csv"), "is empty"),
        (without_rows, "has no rows"),
        (lambda p: write_csv(p / "orders.txt", some_rows()), "not a format"),
        (lambda p: cut_short(write_parquet(p / "orders.parquet", some_rows())), "cannot be read as Parquet"),
        (lambda p: cut_short(write_xlsx(p / "orders.xlsx", some_rows())), "cannot be read as XLSX"),
        (lambda p: cut_short(write_csv(p / "orders.csv", some_rows())), "cannot be read as CSV"),
        (renamed, "lacks column UnitPrice"),
        (lambda p: replaced(p, b",2.55,", b",dear,"), "Column UnitPrice holds 'dear'"),
        (lambda p: replaced(p, b",2.55,", b",2.55551,"), "four decimals"),
        (lambda p: replaced(p, b",1,2010", b",1.5,2010"), "whole number"),
        (lambda p: replaced(p, b"2010-12-01 08:26:00", b"the first"), "Column InvoiceDate holds 'the first'"),
        (lambda p: replaced(p, b",1,2010", b",,2010"), "Column Quantity has 1 empty"),
        (quantities_as_text, "Column Quantity holds 'many' in row 1"),
        (dates_as_numbers, "InvoiceDate is of type double"),
    ],
)
def test_bad_files_give_one_clear_error_and_write_nothing(
    make: Callable[[Path], Path], says: str, tmp_path: Path
) -> None:
    path = make(tmp_path)
    with pytest.raises(DataError, match=says) as caught:
        convert(path, tmp_path / "out", TINY)
    assert str(path) in str(caught.value)
    assert "What to do:" in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_files_without_customers_work(tmp_path: Path) -> None:
    rows = [(*row[:6], None, row[7]) for row in some_rows(12)]
    report = convert(write_parquet(tmp_path / "orders.parquet", rows), tmp_path / "out", TINY)
    assert report.rows["shop_customers"] == 0
    assert report.rows["shop_order_lines"] == len(rows)


def test_one_line_is_enough(tmp_path: Path) -> None:
    report = convert(write_parquet(tmp_path / "orders.parquet", some_rows()[:1]), tmp_path / "out", TINY)
    assert report.as_of == datetime(2010, 12, 2)
    assert report.rows["shop_orders"] == 1


@pytest.mark.parametrize(
    ("name", "category"),
    [
        ("REGENCY CAKESTAND 3 TIER", "kitchen"),
        ("WHITE HANGING HEART T-LIGHT HOLDER", "candles"),
        ("JUMBO BAG RED RETROSPOT", "bags"),
        ("PARTY BUNTING", "party"),
        ("SET OF 6 CHRISTMAS TEA LIGHTS", "christmas"),
        ("GARDENERS KNEELING PAD KEEP CALM", "garden"),
        ("Manual", "other"),
        (None, "other"),
    ],
)
def test_categories_by_words(name: str | None, category: str) -> None:
    assert CATEGORIES[category_of(name)] == category


def test_the_published_facts(shared_dir: Callable[[str], Path], tmp_path: Path) -> None:
    """Every fact known of the published file holds of the converted tables."""
    source = shared_dir("data/online_retail/online_retail.parquet")
    report = convert(source, tmp_path / "out", SandboxConfig(n_contacts=5_000, n_web_events=50_000))
    assert report.as_of == datetime(2011, 12, 10)
    con = files_as_views(report.out_dir)
    facts = """
        select count(*), count(distinct order_id), count(distinct customer_id), count(distinct country),
            count(*) filter (customer_id is null), count(*) filter (order_id like 'C%'), count(*) filter (quantity < 0),
            count(*) filter (unit_price = 0), count(*) filter (unit_price < 0)
        from shop_order_lines join shop_orders using (order_id)
    """
    expected = (541_909, 25_900, 4_372, 38, 135_080, 9_288, 10_624, 2_515, 2)
    assert con.execute(facts).fetchall() == [expected]
    duplicates = """
        select sum(n - 1)::bigint from (
            select count(*) as n from shop_order_lines join shop_orders using (order_id)
            group by order_id, product_id, description, quantity, created_at, unit_price, customer_id, country
        )
    """
    assert con.execute(duplicates).fetchall() == [(5_268,)]
    clean = """
        select count(*), count(distinct customer_id), count(distinct order_id), round(sum(quantity * unit_price), 2)
        from shop_order_lines join shop_orders using (order_id)
        where customer_id is not null and order_type = 'sale' and quantity > 0 and unit_price > 0
    """
    assert con.execute(clean).fetchall() == [(397_884, 4_338, 18_532, Decimal("8911407.90"))]
    unchanged = f"""
        select count(*) from (
            select order_id, product_id, description, quantity, unit_price::double, created_at from shop_order_lines
            except all
            select InvoiceNo, StockCode, Description, Quantity, UnitPrice, InvoiceDate from '{source}'
        )
    """
    assert con.execute(unchanged).fetchall() == [(0,)]

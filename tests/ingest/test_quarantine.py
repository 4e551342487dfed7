"""Rows that cannot be read: kept with file, line and reason, while the others load; hostile text survives."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from ingest.load import load
from tests.ingest.conftest import HEADER, Declare, Query
from warehouse.errors import DataError
from warehouse.settings import Settings

QUARANTINE = "select line_number, reason from raw.quarantine order by line_number"


def _lines(*rows: str, end: str = "\n") -> str:
    return end.join([HEADER, *rows]) + end


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("gz", [False, True])
def test_csv_lines_are_those_of_the_file(
    settings: Settings, tmp_path: Path, declare: Declare, query: Query, end: str, gz: bool
) -> None:
    text = _lines(
        "a1,plain,1,1,2024-01-01,true",  # 2
        f'a2,"two{end}lines",1,1,2024-01-01,true',  # 3, 4
        "",  # 5
        "a3,x,one,1,2024-01-01,true",  # 6
        "a4,x,1,1,2024-01-01",  # 7
        "a5,x,1,1,2024-01-01,true,more",  # 8
        f'a6,"x{end}{end}y",1,cheap,yesterday,true',  # 9..11
        ",nameless,1,1,2024-01-01,true",  # 12
        "a3,x,one,1,2024-01-01,true",  # 13: the same bad row again
        "a7,x,1.5,1,2024-01-01,true",  # 14
        "a8,x,,,,",  # 15
        'a9,"never closed,1,1,2024-01-01,true',  # 16
        end=end,
    )
    path = tmp_path / ("items.csv.gz" if gz else "items.csv")
    path.write_bytes(gzip.compress(text.encode()) if gz else text.encode())
    report = load(settings, path)
    assert (report.rows_loaded, report.rows_quarantined) == (3, 8)
    assert query(QUARANTINE) == [
        (6, "quantity: not a whole number"),
        (7, "too few columns (expected number of columns: 6 found: 5)"),
        (8, "too many columns (expected number of columns: 6 found: 7)"),
        (9, "price: not a decimal number; sold_at: not a timestamp"),
        (12, "item_id: required, but empty"),
        (13, "quantity: not a whole number"),
        (14, "quantity: not a whole number"),
        (16, "a quote that is never closed, or text after a closing quote"),
    ]
    assert query("select item_id from raw.items order by _row_number") == [("a1",), ("a2",), ("a8",)]
    [(raw, name, table, load_id)] = query(
        "select raw_text, file_name, table_name, load_id from raw.quarantine where line_number = 6"
    )
    assert (raw, name, table) == ("a3,x,one,1,2024-01-01,true", path.name, "items")
    assert load_id == report.loads[0].load_id


def test_jsonl_lines_are_those_of_the_file(settings: Settings, tmp_path: Path, declare: Declare, query: Query) -> None:
    good = {"item_id": "a1", "quantity": 9007199254740993, "name": {"nested": [1, "ü"]}, "price": 1.5}
    lines = [
        json.dumps(good),
        "",
        "{broken",
        '["no", "object"]',
        json.dumps({"item_id": "a2", "quantity": 1.5}),
        json.dumps({"item_id": "a3", "is_gift": True, "sold_at": "2024-01-01 02:00:00+02"}),
        json.dumps({"name": "no key"}),
        '{"item_id": "\xff"}',
    ]
    declare(max_quarantined_share=0.8)
    path = tmp_path / "items.jsonl"
    path.write_bytes("\r\n".join(lines).encode("latin-1"))
    report = load(settings, path)
    assert (report.rows_loaded, report.rows_quarantined) == (2, 5)
    assert query(QUARANTINE) == [
        (3, "not valid JSON"),
        (4, "not a JSON object"),
        (5, "quantity: not a whole number"),
        (7, "item_id: required, but empty"),
        (8, "not UTF-8 text"),
    ]
    assert query("select _row_number, quantity, name, price, sold_at, is_gift from raw.items order by 1") == [
        (1, 9007199254740993, '{"nested":[1,"ü"]}', Decimal("1.5"), None, None),
        (6, None, None, None, datetime(2024, 1, 1), True),
    ]


def test_parquet_rows_that_do_not_fit(settings: Settings, tmp_path: Path, declare: Declare, query: Query) -> None:
    path = tmp_path / "items.parquet"
    duckdb.execute(
        "copy (select 'a' || i as item_id, null::varchar as name, case when i = 8 then 'nan'::double when i = 7 then "
        "1.5::double else i::double end as quantity, i as price, timestamptz '2024-01-01 02:00:00+02' as sold_at, "
        f"true as is_gift from range(1, 11) t(i)) to '{path}' (format parquet)"
    )
    report = load(settings, path)
    assert (report.rows_loaded, report.rows_quarantined) == (9, 1)
    assert query("select line_number, reason, raw_text like '%\"quantity\":1.5%' from raw.quarantine") == [
        (7, "quantity: not a whole number", True)
    ]
    assert query("select count(quantity), min(sold_at) from raw.items") == [(8, datetime(2024, 1, 1))]


def test_too_many_bad_rows_fail_the_file_and_the_limit_is_declared(
    settings: Settings, tmp_path: Path, declare: Declare, query: Query
) -> None:
    rows = [f"a{i},x,{'bad' if i % 5 == 0 else i},1,2024-01-01,true" for i in range(100)]
    path = tmp_path / "items.csv"
    path.write_text(_lines(*rows), encoding="utf-8")
    with pytest.raises(DataError, match=r"20 of 100 rows cannot be read \(limit 10.0%\)"):
        load(settings, path)
    assert query("select count(*) from raw.quarantine") == [(0,)]
    declare(max_quarantined_share=0.2)
    path.touch()
    assert load(settings, path).rows_quarantined == 20


def test_an_unclosed_quote_counts_all_lines_that_it_swallows(
    settings: Settings, tmp_path: Path, declare: Declare
) -> None:
    rows = [f"a{i},x,1,1,2024-01-01,true" for i in range(100)]
    rows[40] = 'a40,"oops,1,1,2024-01-01,true'
    path = tmp_path / "items.csv"
    path.write_text(_lines(*rows), encoding="utf-8")
    with pytest.raises(DataError, match="60 of 100 rows"):
        load(settings, path)


def test_a_negative_price_is_data(settings: Settings, tmp_path: Path, declare: Declare, query: Query) -> None:
    path = tmp_path / "items.csv"
    path.write_text(_lines("a1,Adjust bad debt,1,-11062.06,2011-08-12 14:51:00,false"), encoding="utf-8")
    assert load(settings, path).rows_quarantined == 0
    assert query("select price from raw.items") == [(Decimal("-11062.06"),)]


def test_mixed_line_ends_and_byte_order_marks(
    settings: Settings, tmp_path: Path, declare: Declare, query: Query
) -> None:
    mixed = tmp_path / "items.csv"
    mixed.write_bytes(f"\ufeff{HEADER}\r\na1,x,1,1,2024-01-01,true\na2,y,1,1,2024-01-01,true\r\n".encode())
    wide = tmp_path / "wide.csv"
    wide.write_text(_lines("a3,😀 שלום,1,1,2024-01-01,true"), encoding="utf-16")
    assert load(settings, mixed).rows_loaded == 2
    assert load(settings, wide, table="items").rows_loaded == 1
    assert query("select item_id, name from raw.items order by 1") == [("a1", "x"), ("a2", "y"), ("a3", "😀 שלום")]


HOSTILE = ["M\x00ll", "\u202eRTL\u202c", "\ufeffbom", "😀👩‍👩‍👧", "𝒵𐍈", "a\r\nb", "a\rb", ' "quoted" ', "';--", "=1+1"]


def _names(path: Path, names: list[str]) -> Path:
    if path.suffix == ".csv":
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator="\n")
            writer.writerow(["n", "name"])
            writer.writerows([[index, name] for index, name in enumerate(names)])
    elif path.suffix == ".jsonl":
        path.write_text(
            "".join(json.dumps({"n": index, "name": name}) + "\n" for index, name in enumerate(names)), "utf-8"
        )
    else:
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.table({"n": list(range(len(names))), "name": pa.array(names, pa.string())}), path)
    return path


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_hostile_text_survives(settings: Settings, tmp_path: Path, query: Query, suffix: str) -> None:
    load(settings, _names(tmp_path / f"names.{suffix}", HOSTILE))
    assert [row[0] for row in query("select name from raw.names order by n")] == HOSTILE


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_naughty_strings_survive(
    settings: Settings, tmp_path: Path, query: Query, suffix: str, shared_dir: Callable[[str], Path]
) -> None:
    names = json.loads(shared_dir("data/naughty_strings/blns.json").read_text(encoding="utf-8"))
    report = load(settings, _names(tmp_path / f"names.{suffix}", names))
    assert report.rows_quarantined == 0
    found = [row[0] for row in query("select name from raw.names order by n")]
    # an empty CSV field is null
    assert [name or "" for name in found] == names


@hypothesis_settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(
        st.tuples(
            st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12),
            st.one_of(st.integers(-(10**12), 10**12).map(str), st.sampled_from(["x", "1.5", ""])),
        ),
        min_size=1,
        max_size=25,
    )
)
def test_every_csv_row_is_loaded_or_quarantined_with_its_line(
    tmp_path_factory: pytest.TempPathFactory, declare: Declare, rows: list[tuple[str, str]]
) -> None:
    folder = tmp_path_factory.mktemp("rows")
    settings = Settings(home=folder / "home", target="prod")
    declare(max_quarantined_share=1.0)
    expected_lines = []
    with (folder / "items.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator="\n")
        writer.writerow(HEADER.split(","))
        line = 2
        for name, quantity in [*rows, ("good", "1")]:
            writer.writerow(["id", name, quantity, "", "", ""])
            if quantity in {"x", "1.5"}:
                expected_lines.append(line)
            # physical lines as editors and the csv module count them: \r\n, \n and \r end one
            line += 1 + name.replace("\r\n", "\n").replace("\r", "\n").count("\n")
    report = load(settings, folder / "items.csv")
    assert report.rows_loaded + report.rows_quarantined == len(rows) + 1
    with duckdb.connect(str(settings.warehouse_path)) as con:
        found = [row[0] for row in con.execute(QUARANTINE).fetchall()]
        kept = [row[0] for row in con.execute("select name from raw.items order by _row_number").fetchall()]
    assert found == expected_lines
    assert kept == [name for name, quantity in [*rows, ("good", "1")] if quantity not in {"x", "1.5"}]

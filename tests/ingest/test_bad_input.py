"""Bad input: each one clear message, and nothing half-written."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import duckdb
import pytest

from ingest.load import load
from tests.ingest.conftest import HEADER, Declare, Query
from warehouse.errors import DataError
from warehouse.settings import Settings

GOOD = "a1,x,3,2.50,2024-01-01,true"


def _refused(settings: Settings, path: Path, said: str) -> DataError:
    with pytest.raises(DataError, match=said) as caught:
        load(settings, path, table="items")
    assert caught.value.where
    assert caught.value.todo
    assert str(caught.value).count("\n") == 2
    return caught.value


@pytest.fixture(autouse=True)
def _declared(declare: Declare) -> None:
    """All of this happens to the declared table."""


@pytest.fixture(autouse=True)
def _nothing_is_kept(settings: Settings, declare: Declare, query: Query) -> object:
    yield
    if not settings.warehouse_path.exists():
        return
    assert query("select count(*) from ops.loads") == [(0,)]
    assert query("select count(*) from raw.items") == [(0,)]
    assert query("select count(*) from raw.quarantine") == [(0,)]
    assert not list((settings.home / "scratch").glob("*"))


def test_truncated_parquet(settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "items.parquet"
    duckdb.execute(f"copy (select 'a' as item_id from range(5000)) to '{path}' (format parquet)")
    path.write_bytes(path.read_bytes()[:-100])
    _refused(settings, path, "cut off or damaged")


def test_no_parquet_at_all(settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "items.parquet"
    path.write_text("hello, this is text\n" * 10, encoding="utf-8")
    _refused(settings, path, "not a Parquet file")


def test_parquet_damaged_inside(settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "items.parquet"
    columns = "i::varchar as item_id, md5(i::varchar) as name, i as quantity, i::decimal(18,4) as price"
    duckdb.execute(
        f"copy (select {columns}, timestamp '2024-01-01' as sold_at, true as is_gift from range(50000) t(i)) "
        f"to '{path}' (format parquet, compression zstd)"
    )
    data = bytearray(path.read_bytes())
    data[2000:200_000] = b"\xff" * 198_000
    path.write_bytes(bytes(data))
    _refused(settings, path, "cannot be read")


@pytest.mark.parametrize("name", ["items.csv", "items.parquet", "items.jsonl"])
def test_zero_bytes(settings: Settings, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"")
    _refused(settings, path, r"empty \(0 bytes\)")


def test_a_renamed_column_names_its_neighbour(settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "items.csv"
    path.write_text(HEADER.replace("quantity", "quantities") + f"\n{GOOD}\n", encoding="utf-8")
    error = _refused(settings, path, "missing column 'quantity' .did you mean 'quantities'")
    assert "new column 'quantities' (did you mean 'quantity'?)" in error.what
    assert "raw.items" in error.what
    assert "items.csv" in (error.where or "")
    assert "schema_drift" in (error.todo or "")


def test_a_retyped_parquet_column(settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "items.parquet"
    duckdb.execute(
        f"copy (select 1.0::double as item_id, 'x' as name, 1 as quantity, 1 as price, now()::timestamp as sold_at, "
        f"true as is_gift) to '{path}' (format parquet)"
    )
    _refused(settings, path, r"retyped column 'item_id' \(double instead of text\)")


def test_a_column_of_garbage_fails_the_whole_file_and_says_which(settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "items.csv"
    rows = "\n".join(f"a{i},x,many,1,2024-01-01,true" for i in range(50))
    path.write_text(f"{HEADER}\n{rows}\n", encoding="utf-8")
    error = _refused(settings, path, "50 of 50 rows cannot be read")
    assert "quantity: not a whole number (50)" in error.what
    assert "many" not in str(error), "values may be personal"


def test_a_wrong_encoding(settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "items.csv"
    path.write_bytes(f"{HEADER}\na,Müller,1,1,2024-01-01,true\n{GOOD}\n".encode("latin-1"))
    error = _refused(settings, path, "not UTF-8 text")
    assert "encoding" in (error.todo or "")


def test_cut_off_gzip(settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "items.csv.gz"
    path.write_bytes(gzip.compress(f"{HEADER}\n{GOOD}\n".encode() * 1000)[:-20])
    _refused(settings, path, "cut off")
    path.write_bytes(b"no gzip")
    _refused(settings, path, "not a whole gzip")


@pytest.mark.parametrize(("name", "hint"), [("items.xlsx", "CSV"), ("items.json", "jsonl"), ("items.pdf", "manifest")])
def test_unknown_extension(settings: Settings, tmp_path: Path, name: str, hint: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"x")
    assert hint in (_refused(settings, path, "extension").todo or "")


def test_no_such_path(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "items.csv").write_text(HEADER, encoding="utf-8")
    _refused(settings, tmp_path / "itmes.csv", re.escape("Did you mean 'items.csv'?"))


def test_an_empty_folder(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    _refused(settings, tmp_path / "in", "no file to load")


def test_a_name_that_cannot_be_a_table(settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "quarantine.csv"
    path.write_text("a\n1\n", encoding="utf-8")
    with pytest.raises(DataError, match="cannot be the name of a raw table"):
        load(settings, path)


def test_a_header_that_names_a_column_twice(settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "items.csv"
    path.write_text(f"{HEADER},Name\n{GOOD},y\n", encoding="utf-8")
    _refused(settings, path, "more than once")


def test_header_only_loads_no_row_and_says_so(
    settings: Settings, tmp_path: Path, query: Query, request: pytest.FixtureRequest
) -> None:
    path = tmp_path / "items.csv"
    path.write_text(HEADER, encoding="utf-8")
    report = load(settings, path)
    assert report.loads[0].rows_loaded == 0
    assert "the file holds no row" in report.loads[0].notes
    query("delete from ops.loads")

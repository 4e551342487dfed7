"""Files become rows: formats, idempotence, folders, manifests."""

from __future__ import annotations

import gzip
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
from warehouse.errors import ConfigError, DataError
from warehouse.settings import Settings

ROW = "a1,Ünïcode 😀,3,2.50,2024-01-01T10:00:00+02:00,true"
WANTED = ("a1", "Ünïcode 😀", 3, Decimal("2.5000"), datetime(2024, 1, 1, 8), True)
SELECT = "select item_id, name, quantity, price, sold_at, is_gift from raw.items order by item_id"


def _parquet(path: Path, select: str) -> Path:
    duckdb.execute(f"copy ({select}) to '{path}' (format parquet)")
    return path


def _csv(path: Path, *rows: str) -> Path:
    path.write_text("\n".join([HEADER, *rows]) + "\n", encoding="utf-8")
    return path


def _one(tmp_path: Path, kind: str) -> Path:
    path = tmp_path / f"items.{kind}"
    text = f"{HEADER}\n{ROW}\n"
    line = (
        '{"item_id": "a1", "name": "Ünïcode 😀", "quantity": 3, "price": 2.5, '
        '"sold_at": "2024-01-01T08:00:00Z", "is_gift": true}\n'
    )
    match kind:
        case "csv":
            path.write_text(text, encoding="utf-8")
        case "csv.gz":
            path.write_bytes(gzip.compress(text.encode()))
        case "tsv":
            path.write_text(text.replace(",", "\t"), encoding="utf-8")
        case "jsonl" | "ndjson":
            path.write_text(line, encoding="utf-8")
        case "jsonl.gz":
            path.write_bytes(gzip.compress(line.encode()))
        case _:
            _parquet(
                path,
                "select 'a1' as item_id, 'Ünïcode 😀' as name, 3::integer as quantity, 2.5::double as price, "
                "timestamp '2024-01-01 08:00:00' as sold_at, true as is_gift",
            )
    return path


@pytest.mark.parametrize("kind", ["csv", "csv.gz", "tsv", "jsonl", "jsonl.gz", "ndjson", "parquet"])
def test_each_format_gives_the_same_row(
    settings: Settings, tmp_path: Path, declare: Declare, query: Query, kind: str
) -> None:
    report = load(settings, _one(tmp_path, kind))
    assert [(one.table, one.rows_loaded, one.rows_quarantined) for one in report.loads] == [("items", 1, 0)]
    assert query(SELECT) == [WANTED]
    assert query("select _row_number from raw.items where _loaded_at is not null") in ([(1,)],)
    [(load_id, sha)] = query("select load_id, file_sha256 from ops.loads")
    assert load_id == report.loads[0].load_id
    assert len(sha) == 64


def test_the_same_content_is_loaded_once_and_a_changed_file_again(
    settings: Settings, tmp_path: Path, declare: Declare, query: Query
) -> None:
    path = _csv(tmp_path / "items.csv", ROW)
    first = load(settings, path)
    again = load(settings, path)
    assert not again.loads
    assert again.skipped[0].load_id == first.loads[0].load_id
    assert "same content" in again.skipped[0].reason
    copy = tmp_path / "copy" / "items.csv"
    copy.parent.mkdir()
    copy.write_bytes(path.read_bytes())
    assert len(load(settings, copy).skipped) == 1
    _csv(path, ROW, "b2,,1,1,2024-01-02,false")
    assert load(settings, path).rows_loaded == 2
    assert query("select count(*), count(distinct _load_id) from raw.items") == [(3, 2)]


@hypothesis_settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.permutations(["a", "b", "c", "a", "c"]))
def test_any_order_and_repetition_of_files_gives_the_same_rows(
    tmp_path_factory: pytest.TempPathFactory, declare: Declare, order: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("any_order")
    settings = Settings(home=folder / "home", target="prod")
    for name in order:
        load(settings, _csv(folder / f"{name}.csv", f"{name},{name},1,1,2024-01-01,true"), table="items")
    with duckdb.connect(str(settings.warehouse_path)) as con:
        assert con.execute("select item_id, name from raw.items order by 1").fetchall() == [
            ("a", "a"),
            ("b", "b"),
            ("c", "c"),
        ]


def test_a_dropped_raw_table_is_loaded_anew(settings: Settings, tmp_path: Path, declare: Declare, query: Query) -> None:
    path = _csv(tmp_path / "items.csv", ROW)
    load(settings, path)
    query("drop table raw.items")
    assert load(settings, path).rows_loaded == 1


def test_folder_names_tables_by_stem_and_by_sub_folder(settings: Settings, tmp_path: Path, query: Query) -> None:
    folder = tmp_path / "in"
    (folder / "visits").mkdir(parents=True)
    (folder / "things.csv").write_text("a,b\n1,x\n", encoding="utf-8")
    (folder / "visits" / "one.jsonl").write_text('{"at": "2024-01-01"}\n', encoding="utf-8")
    (folder / "visits" / "two.jsonl").write_text('{"at": "2024-01-02"}\n', encoding="utf-8")
    (folder / ".hidden.csv").write_text("never\n", encoding="utf-8")
    (folder / "README.txt").write_text("not data\n", encoding="utf-8")
    report = load(settings, folder)
    assert [(one.table, one.file_name) for one in report.loads] == [
        ("things", "things.csv"),
        ("visits", "visits/one.jsonl"),
        ("visits", "visits/two.jsonl"),
    ]
    assert query("select count(*) from raw.visits") == [(2,)]
    assert "not declared" in report.loads[0].notes[0]


def test_manifest_with_options(settings: Settings, tmp_path: Path, declare: Declare, query: Query) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "one.txt").write_bytes(
        "item_id;name;quantity;price;sold_at;is_gift\n1;Müller;1;1.234,5;31/12/2023 23:00;yes\n".encode("latin-1")
    )
    manifest = tmp_path / "load.yml"
    manifest.write_text(
        "as_of: 2024-01-01T00:00:00+02:00\nprovenance: real\nloads:\n"
        "  - table: items\n    files: a/*.txt\n    format: {type: csv, encoding: latin-1, decimal_comma: true, "
        'timestamp_format: "%d/%m/%Y %H:%M"}\n',
        encoding="utf-8",
    )
    report = load(settings, manifest)
    assert report.as_of == datetime(2023, 12, 31, 22)
    assert report.loads[0].provenance == "real"
    assert query(SELECT) == [("1", "Müller", 1, Decimal("1234.5000"), datetime(2023, 12, 31, 23), True)]
    assert load(settings, tmp_path / "a" / "..").skipped, "a folder with a manifest is that manifest"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("loads: [{table: items, files: x.csv, fromat: {}}]", "did you mean 'format'"),
        ("loads: [{table: items, files: x.csv, schema_drift: sometimes}]", "'sometimes' is none of"),
        ("loads: [{table: items}]", "names no file for table 'items'"),
        ("as_of: [", "not YAML"),
        ("{}", "names no file"),
    ],
)
def test_a_wrong_manifest_is_one_clear_message(settings: Settings, tmp_path: Path, text: str, said: str) -> None:
    manifest = tmp_path / "load.yml"
    manifest.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=said):
        load(settings, manifest)


def test_a_manifest_that_names_a_missing_file(settings: Settings, tmp_path: Path) -> None:
    manifest = tmp_path / "load.yml"
    manifest.write_text("tables: {items: gone/*.csv}", encoding="utf-8")
    with pytest.raises(DataError, match=r"'gone/\*\.csv', but there is no such file"):
        load(settings, manifest)


def test_types_of_an_undeclared_table_come_from_all_of_its_values(
    settings: Settings, tmp_path: Path, query: Query
) -> None:
    path = tmp_path / "t.csv"
    path.write_text("id,code,n,x,at,b,empty\n1,007,1,1.5,2024-01-01,true,\n2,008,2,2,2024-01-02,false,\n", "utf-8")
    load(settings, path)
    assert query("select column_name, column_type from (describe raw.t) limit 7") == [
        ("id", "BIGINT"),
        ("code", "VARCHAR"),
        ("n", "BIGINT"),
        ("x", "DOUBLE"),
        ("at", "TIMESTAMP"),
        ("b", "BOOLEAN"),
        ("empty", "VARCHAR"),
    ]


def test_declared_tables_exist_even_without_files(
    settings: Settings, tmp_path: Path, declare: Declare, query: Query
) -> None:
    (tmp_path / "other.csv").write_text("a\n1\n", encoding="utf-8")
    load(settings, tmp_path / "other.csv")
    assert query("select count(*) from raw.items") == [(0,)]

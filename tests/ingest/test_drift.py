"""Schema drift: an error by default, or what was declared."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from ingest.load import load
from tests.ingest import conftest
from tests.ingest.conftest import HEADER, Declare, Query
from warehouse.errors import ConfigError, DataError
from warehouse.settings import Settings


def _file(tmp_path: Path, header: str, row: str, name: str = "items.csv") -> Path:
    path = tmp_path / name
    path.write_text(f"{header}\n{row}\n", encoding="utf-8")
    return path


GOOD = "a1,x,3,2.50,2024-01-01,true"


def test_column_order_and_case_are_no_drift(settings: Settings, tmp_path: Path, declare: Declare, query: Query) -> None:
    load(settings, _file(tmp_path, "QUANTITY, Item_Id ,name,price,sold_at,is_gift", "3,a1,x,1,2024-01-01,true"))
    assert query("select item_id, quantity from raw.items") == [("a1", 3)]


def test_ignore_new(settings: Settings, tmp_path: Path, declare: Declare, query: Query) -> None:
    path = _file(tmp_path, HEADER + ",colour", GOOD + ",red")
    with pytest.raises(DataError, match="new column 'colour'"):
        load(settings, path)
    declare(schema_drift="ignore_new")
    report = load(settings, path)
    assert report.loads[0].notes == ("left out new columns: colour",)
    assert len(query("select * from raw.items")[0]) == 6 + 3


def test_add_new_evolves_the_table_with_nulls(
    settings: Settings, tmp_path: Path, declare: Declare, query: Query
) -> None:
    load(settings, _file(tmp_path, HEADER, GOOD))
    declare(schema_drift="add_new")
    load(settings, _file(tmp_path, HEADER + ",Colour", GOOD.replace("a1", "a2") + ",red", "new.csv"), table="items")
    load(settings, _file(tmp_path, HEADER, GOOD.replace("a1", "a3"), "old.csv"), table="items")
    assert query("select item_id, colour from raw.items order by 1") == [("a1", None), ("a2", "red"), ("a3", None)]


def test_an_optional_column_may_be_missing(
    settings: Settings, tmp_path: Path, declare: Declare, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    optional = {"name": "is_gift", "data_type": "boolean", "config": {"meta": {"optional": True}}}
    monkeypatch.setattr(conftest, "COLUMNS", [*conftest.COLUMNS[:-1], optional])
    declare()
    without = HEADER.removesuffix(",is_gift")
    report = load(settings, _file(tmp_path, without, GOOD.removesuffix(",true")))
    assert report.loads[0].notes == ()
    load(settings, _file(tmp_path, HEADER, GOOD.replace("a1", "a2"), "with.csv"), table="items")
    assert query("select item_id, is_gift from raw.items order by 1") == [("a1", None), ("a2", True)]
    with pytest.raises(DataError, match="missing column 'price'"):
        load(settings, _file(tmp_path, without.replace(",price", ""), "a3,x,3,2024-01-01", "less.csv"), table="items")


def test_null_fill_but_never_a_required_column(
    settings: Settings, tmp_path: Path, declare: Declare, query: Query
) -> None:
    path = _file(tmp_path, "item_id,name", "a1,x")
    with pytest.raises(DataError, match="missing columns 'quantity', 'price', 'sold_at', 'is_gift'"):
        load(settings, path)
    declare(schema_drift=["null_fill", "ignore_new"])
    load(settings, path)
    assert query("select name, price from raw.items") == [("x", None)]
    with pytest.raises(DataError, match="missing column 'item_id'"):
        load(settings, _file(tmp_path, "name", "y", "other.csv"), table="items")


def test_cast_of_a_retyped_column(settings: Settings, tmp_path: Path, declare: Declare, query: Query) -> None:
    path = tmp_path / "items.parquet"
    duckdb.execute(
        "copy (select 'a' || i as item_id, 'x' as name, case when i = 3 then 'few' else i::varchar end as quantity, "
        "1 as price, timestamp '2024-01-01' as sold_at, true as is_gift from range(20) t(i)) "
        f"to '{path}' (format parquet)"
    )
    with pytest.raises(DataError, match=r"retyped column 'quantity' \(varchar instead of bigint\)"):
        load(settings, path)
    declare(schema_drift="cast")
    assert load(settings, path).rows_quarantined == 1
    assert query("select sum(quantity) from raw.items") == [(sum(range(20)) - 3,)]


def test_a_column_without_values_has_no_type(
    settings: Settings, tmp_path: Path, declare: Declare, query: Query
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "items.parquet"
    columns = {"item_id": ["a1"], "name": pa.nulls(1), "quantity": pa.array([None], pa.string())}
    pq.write_table(pa.table({**columns, "price": [1], "sold_at": pa.nulls(1), "is_gift": pa.nulls(1)}), path)
    load(settings, path)
    assert query("select item_id, name, quantity, sold_at, is_gift from raw.items") == [("a1", None, None, None, None)]


def test_an_undeclared_table_holds_files_to_its_first_one(settings: Settings, tmp_path: Path) -> None:
    load(settings, _file(tmp_path, "id,n", "x,1", "things.csv"))
    with pytest.raises(DataError, match=r"missing column 'n' .did you mean 'num'"):
        load(settings, _file(tmp_path, "id,num", "x,1", "more.csv"), table="things")


def test_json_keys_that_no_line_has_are_null(
    settings: Settings, tmp_path: Path, declare: Declare, query: Query
) -> None:
    path = tmp_path / "items.jsonl"
    path.write_text('{"item_id": "a1"}\n', encoding="utf-8")
    assert load(settings, path).rows_loaded == 1
    path.write_text('{"item_id": "a1", "colour": "red"}\n', encoding="utf-8")
    with pytest.raises(DataError, match="new column 'colour'"):
        load(settings, path)


def test_a_policy_that_is_none(settings: Settings, tmp_path: Path, declare: Declare) -> None:
    declare(schema_drift="whatever")
    with pytest.raises(ConfigError, match="'whatever' is none of"):
        load(settings, _file(tmp_path, HEADER, GOOD))


def test_the_projects_own_contracts_can_be_read() -> None:
    from ingest.contracts import declared_contracts

    path = Settings().dbt_project_dir / "models" / "staging" / "sources.yml"
    contracts = declared_contracts(path)
    assert {"crm_contacts", "shop_orders", "shop_order_lines", "web_events", "consent_events"} <= set(contracts)
    assert "identifier_normalized" not in contracts
    email = contracts["crm_contacts"].column("email")
    assert email is not None
    assert email.identifier == "email"

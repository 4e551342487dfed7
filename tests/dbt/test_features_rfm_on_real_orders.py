"""RFM on real orders: UCI Online Retail in its usual clean cut."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import duckdb

from tests.dbt.features_support import Built

CLEAN_CUT = """
create table analytics.profile_features as
select
    cast(CustomerID as varchar) as profile_id,
    timestamp '2011-12-10' as as_of,
    cast(date '2011-12-09' - max(cast(InvoiceDate as date)) as integer) as recency_days,
    count(distinct InvoiceNo) as orders_365d,
    sum(cast(Quantity * cast(UnitPrice as decimal(18, 4)) as decimal(18, 4))) as revenue_365d
from read_parquet($file)
where CustomerID is not null and InvoiceNo not like 'C%' and Quantity > 0 and UnitPrice > 0
group by CustomerID
"""


def test_frequency_scores_of_real_customers(built: Built, shared_dir: Callable[[str], Path], tmp_path: Path) -> None:
    """The compiled model itself, over the clean cut (all of it: the window is as long as the data)."""
    file = shared_dir("data/online_retail/online_retail.parquet")
    compiled = built.target / "compiled" / "mailwright" / "models" / "lifecycle" / "rfm_scores.sql"
    with duckdb.connect(str(tmp_path / built.settings.warehouse_path.name)) as con:
        con.execute("create schema analytics")
        con.execute(f"attach '{built.settings.warehouse_path}' as seeds (read_only)")
        con.execute("create table analytics.rfm_cells as select * from seeds.analytics.rfm_cells")
        con.execute(CLEAN_CUT, {"file": str(file)})
        total = con.execute("select sum(revenue_365d) from analytics.profile_features").fetchall()[0][0]
        rows = con.execute(
            "select recency_score, frequency_score, monetary_score, rfm_cell, frequency "
            f"from ({compiled.read_text(encoding='utf-8')})"
        ).fetchall()
    assert round(total, 2) == Decimal("8911407.90")
    assert len(rows) == 4338
    assert Counter(row[1] for row in rows) == {1: 1493, 2: 835, 3: 508, 4: 802, 5: 700}
    # equal numbers of orders, equal scores; and all five scores are reached in each dimension
    by_frequency = {row[4]: row[1] for row in rows}
    assert all(by_frequency[row[4]] == row[1] for row in rows)
    assert {row[0] for row in rows} == {row[2] for row in rows} == {1, 2, 3, 4, 5}
    assert len({row[3] for row in rows}) == 11, "every cell has somebody"

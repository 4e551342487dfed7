"""Every model builds on PostgreSQL from the same raw rows, and every relation equals DuckDB's row by row.

Two engines with all their tests green have disagreed in silence before: this comparison is the proof, not a nicety.
"""

from __future__ import annotations

import json
import math
import shutil
from collections import Counter
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import duckdb
import psycopg
import pytest
from psycopg import sql

from tests.postgres.conftest import Server
from warehouse.connection import connect
from warehouse.dbt import run_dbt
from warehouse.settings import Settings

pytestmark = pytest.mark.postgres

TYPES = {
    "VARCHAR": "text",
    "DOUBLE": "double precision",
    "TIMESTAMP": "timestamp",
    "HUGEINT": "numeric(38,0)",
    "UBIGINT": "numeric(20,0)",
}


def _copy(con: duckdb.DuckDBPyConnection, pg: psycopg.Connection, schema: str, table: str) -> int:
    """Copy one table as it is: same columns, types and values."""
    columns = con.execute(
        "select column_name, data_type from duckdb_columns() where schema_name = ? and table_name = ? "
        "and database_name = current_database() order by column_index",
        [schema, table],
    ).fetchall()
    target = sql.Identifier(schema, table)
    definitions = [
        sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(TYPES.get(kind, kind.lower()))) for name, kind in columns
    ]
    pg.execute(sql.SQL("create schema if not exists {}").format(sql.Identifier(schema)))
    pg.execute(sql.SQL("create table {} ({})").format(target, sql.SQL(", ").join(definitions)))
    rows = con.execute(f'select * from "{schema}"."{table}"').fetchall()
    with pg.cursor() as cursor, cursor.copy(sql.SQL("copy {} from stdin").format(target)) as copy:
        for row in rows:
            copy.write_row(row)
    return len(rows)


def _canonical(value: Any) -> Any:
    """Values of both engines in one form: numbers by value (doubles to 9 significant digits), instants as text."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, float):
        return "nan" if math.isnan(value) else float(f"{value:.9g}")
    if isinstance(value, int | Decimal):
        return float(f"{float(value):.9g}") if value % 1 else int(value)
    if isinstance(value, datetime | date):
        return value.isoformat()
    return str(value)


def _rows(rows: list[tuple[Any, ...]]) -> Counter[tuple[Any, ...]]:
    return Counter(tuple(_canonical(value) for value in row) for row in rows)


HISTORY = ("lifecycle_transitions", "lifecycle_sizes", "recommendation_holdout")
VARIABLES = json.dumps({"recommendation_holdout": {"share": 0.2, "draw": 1}, "uplift_min_buyers": 1})
"""By default nobody is held out; and the store is small."""
EARLIER_DAYS = """
create temp table today as select as_of from analytics.clock;
create temp table people as
    select profile_id, row_number() over (order by profile_id) as n from analytics.lifecycle_stages;
create temp table sizes as from analytics.lifecycle_sizes;
delete from analytics.lifecycle_transitions;
insert into analytics.lifecycle_transitions
    select profile_id, 'customer_stage', null, 'visitor', as_of - interval 60 day from people, today where n % 5 > 0
    union all
    select profile_id, 'customer_stage', 'visitor', 'prospect', as_of - interval 1 day * (20 + n % 17)
    from people, today where n % 5 > 1
    union all
    select profile_id, 'journey_stage', null, 'consideration', as_of - interval 1 day * (n % 11) from people, today
    where n % 3 = 0;
delete from analytics.lifecycle_sizes;
insert into analytics.lifecycle_sizes by name
    select
        * exclude (back) replace (
            as_of_on - back as as_of_on,
            as_of - interval 1 day * back as as_of,
            (n_profiles * (length(stage) % (back % 5 + 2) + 1))::bigint as n_profiles
        )
    from sizes, (values (1), (29), (35)) as days (back);
update analytics.lifecycle_sizes as mine set share = n_profiles / (
    select sum(n_profiles) from analytics.lifecycle_sizes as every
    where every.as_of_on = mine.as_of_on and every.vocabulary = mine.vocabulary
);
insert into analytics.recommendation_holdout by name
    select
        (as_of - interval 30 day - interval 1 microsecond)::date as as_of_on, profile_id, 'earlier' as model_version,
        n % 3 = 0 as is_held_out, 0 as n_personal, as_of - interval 30 day as as_of
    from people, today;
"""
"""What builds of earlier days would have left: histories that both engines then go on with."""


@pytest.fixture(scope="module")
def both(postgres: Server, built_settings: Settings, tmp_path_factory: pytest.TempPathFactory):
    """The small store, built on DuckDB, and its raw rows, clock and predictions built again on PostgreSQL."""
    # a copy: it is kept open for long, and the built store is everybody's
    home = tmp_path_factory.mktemp("postgres")
    shutil.copyfile(built_settings.warehouse_path, home / "warehouse.duckdb")
    settings = built_settings.model_copy(update={"home": home})
    with connect(settings, purpose="test") as con:
        con.execute(EARLIER_DAYS)
    with connect(settings, read_only=True) as con, psycopg.connect(postgres.dsn, autocommit=True) as pg:
        for table in HISTORY:
            assert _copy(con, pg, "analytics", table) > 50
        tables = con.execute(
            "select schema_name, table_name from duckdb_tables() "
            "where schema_name in ('raw', 'ops', 'ml', 'ledger', 'identity', 'segments') "
            "or (schema_name = 'analytics' and table_name = 'clock') order by 1, 2"
        ).fetchall()
        assert sum(_copy(con, pg, schema, table) for schema, table in tables) > 10_000
    anew = ("lifecycle_matrix", "lifecycle_durations", "int_recommendations__audience+", "recommendation_uplift")
    again = run_dbt(settings, ["run", "--vars", VARIABLES, "--select", *HISTORY, *anew])
    assert again.success, again.explain(20)
    result = run_dbt(
        settings,
        ["build", "--vars", VARIABLES, "--exclude-resource-type", "unit_test"],
        target="postgres",
        environment=postgres.environment,
        timeout_seconds=1200,
    )
    assert result.success, result.explain(20)
    manifest = json.loads((settings.dbt_target_dir / "manifest.json").read_text(encoding="utf-8"))
    relations = sorted(
        (node["alias"], tuple(node["config"].get("meta", {}).get("audit_columns", [])))
        for node in manifest["nodes"].values()
        if node["resource_type"] in {"model", "seed"} and node["config"]["materialized"] != "ephemeral"
    )
    with connect(settings, read_only=True) as con, psycopg.connect(postgres.dsn) as pg:
        yield con, pg, relations, settings


def test_every_relation_is_equal_row_by_row(both) -> None:
    con, pg, relations, _ = both
    assert len(relations) > 40
    different: list[str] = []
    compared = 0
    for name, audit in relations:
        columns = [
            row[0]
            for row in con.execute(
                "select column_name from duckdb_columns() where schema_name = 'analytics' and table_name = ? "
                "and database_name = current_database() order by column_index",
                [name],
            ).fetchall()
            if row[0] not in audit
        ]
        listed = ", ".join(f'"{column}"' for column in columns) or "1"
        query = f'select {listed} from "analytics"."{name}"'
        ours = _rows(con.execute(query).fetchall())
        theirs = _rows(pg.execute(query).fetchall())  # pyright: ignore
        compared += ours.total()
        if ours != theirs:
            examples = [*list((ours - theirs).items())[:2], "…", *list((theirs - ours).items())[:2]]
            different.append(f"{name} ({ours.total()} / {theirs.total()} rows): {columns} {examples}")
    assert not different, f"{len(different)} relation(s) differ:\n" + "\n".join(different)
    assert compared > 20_000


def test_the_histories_went_on_from_the_earlier_days(both) -> None:
    """Else what is made of them would be equal because it is empty."""
    con, *_ = both
    for query in (
        "select count(*) from analytics.lifecycle_matrix where probability is not null",
        "select count(*) from analytics.lifecycle_durations where mean_days_to_next_stage is not null",
        "select count(*) from analytics.lifecycle_durations where median_days_to_next_stage is not null",
        "select count(*) from analytics.lifecycle_shifts where is_sudden",
        "select count(*) from analytics.lifecycle_drift where population_stability_index > 0.1",
        "select count(*) from analytics.recommendations where is_held_out",
        "select count(*) from analytics.recommendation_holdout where is_held_out and model_version <> 'earlier'",
        "select count(*) from analytics.recommendation_uplift where uplift_low is not null",
    ):
        assert con.execute(query).fetchall()[0][0] > 0, query


def test_the_comparison_can_fail(both) -> None:
    """Negative control: one changed value is seen."""
    con, pg, *_ = both
    query = "select product_id, price from analytics.dim_products"
    ours, theirs = con.execute(query).fetchall(), pg.execute(query).fetchall()
    assert _rows(ours) == _rows(theirs)
    theirs[0] = (theirs[0][0], theirs[0][1] + Decimal("0.01"))
    assert _rows(ours) != _rows(theirs)


def test_what_is_kept_up_is_as_if_made_anew(postgres: Server, both) -> None:
    """Web events go, come late and come again; then the facts and the rollup equal those of a full refresh."""
    *_, settings = both
    models = {
        "stg_web__events": "load_id, row_number",
        "int_web__events": "load_id, row_number",
        "identifier_daily": "identifier_type, identifier_value, activity_on",
    }

    def run(*args: str) -> list[list[tuple[Any, ...]]]:
        result = run_dbt(
            settings,
            ["run", *args, "--select", *models],
            target="postgres",
            environment=postgres.environment,
            timeout_seconds=1200,
        )
        assert result.success, result.explain(20)
        with psycopg.connect(postgres.dsn) as own:
            return [
                own.execute(f"select * from analytics.{name} order by {key}").fetchall()  # pyright: ignore
                for name, key in models.items()
            ]

    with psycopg.connect(postgres.dsn) as own:
        # a session per transaction: `both` holds its own open
        own.execute("create temporary table late as select * from raw.web_events where _row_number % 50 = 7")
        own.execute("delete from raw.web_events where _row_number % 9 = 4")
        own.execute(
            """update late set _load_id = 'late', _loaded_at = _loaded_at + interval '1 hour',
               received_at = received_at - interval '40 minutes', "timestamp" = "timestamp" - interval '1 day'"""
        )
        n_late = own.execute("insert into raw.web_events select * from late").rowcount
        own.execute("update raw.web_events set _load_id = 'another' where _row_number % 31 = 3 and _load_id <> 'late'")
    assert n_late > 100
    both[1].rollback()
    kept_up = run()
    assert [len(rows) > 100 for rows in kept_up] == [True] * len(models)
    assert [a == b for a, b in zip(kept_up, run("--full-refresh"), strict=True)] == [True] * len(models)

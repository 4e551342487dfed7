"""The gate: nothing leaves unless everything upstream passed its checks, for just the loads that were read.

Asked by the sync's runner, whether Dagster, an hourly run or the command line started it.
"""

from __future__ import annotations

import json

import duckdb

from expectations.declared import ACTIVATION_TABLES
from expectations.report import describe
from warehouse.errors import RefusedError
from warehouse.settings import Settings

_SHOWN = 3

_NEWEST_RUN = """
    select check_run_id, success, table_name
    from ops.check_runs
    where subject_kind = ? and subject_id = ? and table_name = ?
    order by checked_at desc, check_run_id desc
    limit 1
"""


def assert_checked(con: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    """Refuse unless the schema's newest build succeeded, and each load that it read and the activation models passed.

    Raises:
        RefusedError: names table, column, expectation, count and sample row keys (hashed), and what to do.
    """
    build_id = _newest_build(con, settings)
    loads = con.execute(
        "select read_loads.load_id, loads.table_name, loads.file_name from ops.build_loads as read_loads "
        "left join ops.loads as loads on read_loads.load_id = loads.load_id "
        "where read_loads.build_id = ? order by loads.loaded_at, read_loads.load_id",
        [build_id],
    ).fetchall()
    withdrawn = [load_id for load_id, table, _ in loads if table is None]
    if withdrawn:
        raise RefusedError(
            f"Load {withdrawn[0]} was withdrawn after the build that read it.",
            where=f"build {build_id} of schema '{settings.schema}'",
            todo="run `mailwright build` again, then `mailwright check`",
        )
    unchecked = []
    for load_id, table, file_name in loads:
        run = con.execute(_NEWEST_RUN, ["load", load_id, table]).fetchall()
        if not run:
            unchecked.append(f"raw.{table} ({file_name})")
        elif not run[0][1]:
            raise _failed(
                con,
                run[0][0],
                f"raw.{table}",
                f"load {load_id} ({file_name})",
                f"correct the file and load it again; withdraw this load with `mailwright load --withdraw {load_id}`; "
                "then build and check again",
            )
    if unchecked:
        more = f" and {len(unchecked) - _SHOWN} more" if len(unchecked) > _SHOWN else ""
        raise RefusedError(
            f"{len(unchecked)} load{'s were' if len(unchecked) > 1 else ' was'} never checked: "
            f"{', '.join(unchecked[:_SHOWN])}{more}.",
            where=f"build {build_id} of schema '{settings.schema}'",
            todo="run `mailwright check`, then this again",
        )
    for table in ACTIVATION_TABLES:
        run = con.execute(_NEWEST_RUN, ["build", build_id, table]).fetchall()
        if not run:
            raise RefusedError(
                f"{settings.schema}.{table} was not checked since it was built.",
                where=f"build {build_id} of schema '{settings.schema}'",
                todo="run `mailwright check`, then this again",
            )
        if not run[0][1]:
            raise _failed(
                con,
                run[0][0],
                f"{settings.schema}.{table}",
                f"build {build_id}",
                "look at the rows by `mailwright check`'s Data Docs, correct the source or the model, then build and "
                "check again",
            )


def _newest_build(con: duckdb.DuckDBPyConnection, settings: Settings) -> str:
    rows = con.execute(
        "select build_id, status, message from ops.builds where schema_name = ? "
        "order by started_at desc, build_id desc limit 1",
        [settings.schema],
    ).fetchall()
    if not rows:
        raise RefusedError(
            f"Schema '{settings.schema}' was never built.",
            where=str(settings.warehouse_path),
            todo="run `mailwright build`, then `mailwright check`",
        )
    build_id, status, message = rows[0]
    if status != "succeeded":
        because = f": {message}" if message else ""
        raise RefusedError(
            f"The newest build of schema '{settings.schema}' is '{status}'{because}.",
            where=f"build {build_id}",
            todo="run `mailwright build` to its end, then `mailwright check`",
        )
    return build_id


def _failed(con: duckdb.DuckDBPyConnection, run_id: str, table: str, subject: str, todo: str) -> RefusedError:
    rows = con.execute(
        "select expectation, column_name, unexpected_count, sample_row_keys, message, docs_path "
        "from ops.check_results as results inner join ops.check_runs as runs "
        "on results.check_run_id = runs.check_run_id "
        "where results.check_run_id = ? and not results.success order by expectation, column_name",
        [run_id],
    ).fetchall()
    lines = [
        describe(table, expectation, column, count, tuple(json.loads(keys or "[]")))
        + (f" ({message})" if message else "")
        for expectation, column, count, keys, message, _ in rows[:_SHOWN]
    ]
    more = f"; and {len(rows) - _SHOWN} more" if len(rows) > _SHOWN else ""
    docs = rows[0][5] if rows else None
    return RefusedError(
        f"{table} did not pass its checks: {'; '.join(lines)}{more}.",
        where=subject + (f", Data Docs {docs}" if docs else ""),
        todo=todo,
    )

"""What `mailwright status` reads: loads, builds, checks, syncs, pulls. Read-only, and no personal column."""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import duckdb

from cli.report.data import Row, fetch
from warehouse.clock import utcnow
from warehouse.connection import connect
from warehouse.settings import Settings

QUERIES: dict[str, str] = {
    "loads": """
        select
            table_name,
            count(*) as files,
            cast(sum(rows_loaded) as bigint) as rows_loaded,
            cast(sum(rows_quarantined) as bigint) as rows_quarantined,
            string_agg(distinct provenance, ', ' order by provenance) as provenance,
            max(loaded_at) as last_loaded_at
        from ops.loads group by table_name order by table_name""",
    "quarantine": """
        select table_name, reason, count(*) as rows from raw.quarantine
        group by table_name, reason order by rows desc, table_name, reason""",
    "builds": """
        select
            build_id, schema_name, as_of, known_at, started_at, finished_at, status, n_models, n_tests, n_failed,
            message
        from ops.builds order by started_at desc, build_id desc limit 5""",
    # the newest look at each table, and every load that fails still: one of them shuts the sync
    "checks": """
        select
            ranked.subject_kind,
            ranked.subject_id,
            ranked.table_name,
            ranked.success,
            ranked.n_expectations,
            ranked.n_failed,
            ranked.checked_at,
            ranked.age = 1 as is_newest
        from (
            select
                runs.*,
                row_number() over (
                    partition by runs.subject_kind, runs.table_name, runs.suite
                    order by runs.checked_at desc, runs.check_run_id desc
                ) as age,
                row_number() over (
                    partition by runs.subject_kind, runs.subject_id, runs.table_name, runs.suite
                    order by runs.checked_at desc, runs.check_run_id desc
                ) as age_of_subject
            from ops.check_runs as runs
            where runs.subject_kind <> 'load' or runs.subject_id in (select loads.load_id from ops.loads as loads)
        ) as ranked
        where ranked.age = 1 or (ranked.age_of_subject = 1 and ranked.subject_kind = 'load' and not ranked.success)
        order by ranked.subject_kind desc, ranked.table_name, ranked.checked_at, ranked.subject_id""",
    "unchecked_loads": """
        select loads.table_name, count(*) as files
        from ops.loads as loads
        where not exists (
            select 1 from ops.check_runs as runs
            where runs.subject_kind = 'load' and runs.subject_id = loads.load_id
        )
        group by loads.table_name order by loads.table_name""",
    "models": """
        select newest.*
        from (
            select *, row_number() over (partition by job order by as_of desc, trained_at desc, model_version) as age
            from {ml}.model_runs
        ) as newest
        where newest.age = 1
        order by newest.job""",
    "syncs": """
        select
            newest.sync_name,
            newest.destination,
            newest.schema_name,
            newest.as_of,
            newest.status,
            newest.started_at,
            newest.finished_at,
            newest.message,
            newest.report
        from (
            select
                *,
                row_number() over (
                    partition by sync_name, destination order by started_at desc, sync_run_id desc
                ) as age
            from ledger.sync_runs
        ) as newest
        where newest.age = 1
        order by newest.sync_name, newest.destination""",
    "pulls": """
        select newest.destination, newest.status, newest.started_at, newest.finished_at, newest.message, newest.report
        from (
            select
                *,
                row_number() over (partition by destination order by started_at desc, pull_id desc) as age
            from ledger.engagement_pulls
        ) as newest
        where newest.age = 1
        order by newest.destination""",
    "ledger": """
        select sync_name, object, state, rejected_class, count(*) as records
        from ledger.sync_state
        group by sync_name, object, state, rejected_class
        order by sync_name, object, state, rejected_class""",
    "rejected": """
        select sync_name, object, rejected_class, message, count(*) as records
        from ledger.sync_state where state = 'rejected'
        group by all order by records desc, sync_name, object, rejected_class, message limit 20""",
    "in_doubt": """
        select sync_name, object, count(*) as records
        from ledger.sync_state where is_doubtful
        group by sync_name, object order by sync_name, object""",
}


@dataclass(frozen=True)
class Status:
    """The state of one installation, as tables of rows."""

    home: str
    warehouse: str
    megabytes: float
    schema: str
    as_of: datetime | None
    """The clock of the schema; None if nothing was built there."""
    data_age_hours: float | None
    """Hours of wall clock since the newest load."""
    looked_at: datetime
    tables: dict[str, list[Row]]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def _model(row: Row) -> Row:
    """The newest run of a job; a warehouse that nothing has written to since has no column for whether it is live."""
    if row["artefact_sha256"] is None:
        state = "refused"
    else:
        state = "stays aside" if row.get("is_live") is False else "live"
    return {name: row[name] for name in ("job", "model_version", "as_of", "trained_at")} | {"state": state}


def read_status(settings: Settings) -> Status:
    """Everything, from one read-only connection; what does not exist yet is empty.

    Raises:
        DataError: there is no warehouse. RetriableError: it stayed busy.
    """
    tables: dict[str, list[Row]] = {}
    as_of = None
    with connect(settings, read_only=True, purpose="status") as con:
        for name, sql in QUERIES.items():
            tables[name] = []
            with contextlib.suppress(duckdb.CatalogException):
                tables[name] = fetch(con, sql.format(ml=settings.ml_schema))
        with contextlib.suppress(duckdb.CatalogException):
            rows = con.execute(f'select as_of from "{settings.schema}".clock').fetchall()
            as_of = rows[0][0] if rows else None
    tables["models"] = [_model(row) for row in tables["models"]]
    for row in (*tables["syncs"], *tables["pulls"]):
        row["report"] = json.loads(row["report"]) if row["report"] else {}
    now = utcnow()
    newest = max((row["last_loaded_at"] for row in tables["loads"]), default=None)
    return Status(
        home=str(settings.home),
        warehouse=str(settings.warehouse_path),
        megabytes=round(settings.warehouse_path.stat().st_size / 1024**2, 1),
        schema=settings.schema,
        as_of=as_of,
        data_age_hours=round((now - newest).total_seconds() / 3600, 2) if newest else None,
        looked_at=now,
        tables=tables,
    )

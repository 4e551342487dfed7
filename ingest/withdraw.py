"""Withdraw a load: the way back from a file that should never have come in."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ingest.types import quoted
from warehouse.connection import connect
from warehouse.errors import DataError
from warehouse.settings import Settings
from warehouse.state import ensure_state


@dataclass(frozen=True)
class WithdrawReport:
    """What was taken out."""

    load_id: str
    table: str
    file_name: str
    rows: int

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return asdict(self)


def withdraw(settings: Settings, load_id: str) -> WithdrawReport:
    """Take the rows of a load out of its raw table and quarantine; the same file may then be loaded again.

    Builds that read it stay on record, and the gate refuses to sync them: build again.

    Raises:
        DataError: there is no such load.
    """
    with connect(settings, purpose="withdraw a load") as con:
        ensure_state(con, settings)
        known = con.execute("select table_name, file_name from ops.loads where load_id = ?", [load_id]).fetchall()
        if not known:
            raise DataError(f"There is no load '{load_id}'.", todo="`mailwright status` lists the loads")
        table, file_name = known[0]
        con.execute("begin")
        try:
            there = con.execute(
                "select 1 from duckdb_tables() where schema_name = 'raw' and table_name = ? "
                "and database_name = current_database()",
                [table],
            ).fetchall()
            rows = 0
            if there:
                deleted = con.execute(f"delete from raw.{quoted(table)} where _load_id = ?", [load_id])
                rows = deleted.fetchall()[0][0]
            con.execute("delete from raw.quarantine where load_id = ?", [load_id])
            con.execute("delete from ops.loads where load_id = ?", [load_id])
            con.execute("commit")
        except BaseException:
            con.execute("rollback")
            raise
    return WithdrawReport(load_id, table, file_name, rows)

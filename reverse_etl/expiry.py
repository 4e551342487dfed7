"""What a model says is not to be shown from an instant on must not be sent after it, however late a sync runs."""

from __future__ import annotations

from datetime import datetime

import duckdb

from reverse_etl.diff import Scope
from reverse_etl.outbox import now_of_rows
from reverse_etl.plan import Guard

EXPIRES = ("expire_at", "expires_at")
"""How columns end that hold such an instant."""


def expired(con: duckdb.DuckDBPyConnection, scope: Scope, as_of: datetime | None) -> list[Guard]:
    """A guard for each column that is sent and names an instant that has passed since the models were built.

    What had passed by then already (an old coupon) is history, which building again would not mend.
    """
    if as_of is None:
        return []
    model, now = f'"{scope.schema}"."{scope.declaration.model}"', now_of_rows(con, scope.schema, as_of)
    found = []
    for column in (name for name in scope.declaration.columns if name.endswith(EXPIRES)):
        n = con.execute(
            f'select count(*) from {model} where try_cast("{column}" as timestamp) > ? '
            f'and try_cast("{column}" as timestamp) <= ?',
            [as_of, now],
        ).fetchall()[0][0]
        if n:
            found.append(Guard("expired", f"What {n} rows offer has expired ({column}): build the models again."))
    return found

"""A local day begins at the same instant on PostgreSQL, whichever of two equal hours the engine would name."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import psycopg
import pytest

from tests.dbt import test_local_midnight as midnight
from tests.postgres.conftest import Server

pytestmark = pytest.mark.postgres


@pytest.mark.parametrize("zone", midnight.ZONES)
def test_a_day_begins_when_its_first_event_can_happen(postgres: Server, zone: str) -> None:
    wanted = midnight.midnights(ZoneInfo(zone))
    with psycopg.connect(postgres.dsn) as pg:
        pg.execute("create temporary table given (day date)")
        with pg.cursor() as cursor, cursor.copy("copy given from stdin") as copy:
            for day in wanted:
                copy.write_row([day])
        query = f"select day, {midnight.midnight_sql(zone)} from given"
        assert dict(pg.execute(query).fetchall()) == wanted  # pyright: ignore

"""An attack on the graph: a hundred thousand people with one device and one telephone stay apart."""

from __future__ import annotations

from datetime import datetime

import pyarrow as pa
import pytest

from tests.identity_quality.conftest import BuildIdentity
from warehouse.connection import connect
from warehouse.settings import Settings

N = 100_000
DEVICE, SWITCHBOARD = "dev-everybodys", "+442079460958"
SEEN, AS_OF = datetime(2026, 1, 1), datetime(2026, 2, 1)


def _numbered(prefix: str) -> pa.Array:
    return pa.array([f"{prefix}{i}" for i in range(N)], pa.string())


def _always(value: object, kind: pa.DataType) -> pa.Array:
    return pa.array([value] * N, kind)


@pytest.mark.timeout(1200)
def test_one_device_and_one_telephone_of_100_000_people_join_nobody(
    settings: Settings, build_identity: BuildIdentity
) -> None:
    instants = _always(SEEN, pa.timestamp("us"))
    contacts = {
        "contact_id": _numbered("k"),
        "user_id": _numbered("u"),
        "email": pa.array([f"person{i}@example.com" for i in range(N)], pa.string()),
        "phone": _always(SWITCHBOARD, pa.string()),
        "created_at": instants,
        "updated_at": instants,
    }
    events = {
        "message_id": _numbered("m"),
        "type": _always("page", pa.string()),
        "anonymous_id": _numbered("a"),
        "user_id": _numbered("u"),
        "timestamp": instants,
        "received_at": instants,
        "properties": _always("{}", pa.string()),
        "context": _always(f'{{"device": {{"id": "{DEVICE}"}}}}', pa.string()),
    }
    build_identity(
        {"crm_contacts": contacts, "web_events": events}, AS_OF, "int_identity__quarantine", "identity_splits"
    )
    with connect(settings, purpose="test") as con:
        con.execute(f"set search_path = '\"{settings.schema}\"'")
        profiles = "int_identity__identifier_profiles"
        # contact, login, address and browser of the same number, and nothing else, are a profile
        people = con.execute(
            "select count(*), count(distinct profile_id), min(n), max(n), min(n_numbers), max(n_numbers) from ("
            "select profile_id, count(*) as n, count(distinct regexp_extract(identifier_value, '[0-9]+')) as n_numbers "
            f"from {profiles} where identifier_value not in (?, ?) group by profile_id)",
            [DEVICE, SWITCHBOARD],
        ).fetchall()
        assert people == [(N, N, 4, 4, 1, 1)]
        # what everybody shares is nobody's
        assert con.execute(
            f"select count(*) from {profiles} where identifier_value in (?, ?)", [DEVICE, SWITCHBOARD]
        ).fetchall() == [(0,)]
        # and the check names it: which value, which limit, how many
        named = con.execute(
            "select identifier_type, identifier_value, reason, limit_name is not null, n_partners "
            "from int_identity__quarantine order by identifier_type"
        ).fetchall()
        assert [row[:4] for row in named] == [
            ("device_id", DEVICE, "over_budget", True),
            ("phone", SWITCHBOARD, "over_budget", True),
        ]
        assert min(row[4] for row in named) > N // 2
        splits = con.execute("select * from identity_splits").df().astype(str)
        for value in (DEVICE, SWITCHBOARD):
            assert (splits == value).any(axis=1).any(), f"identity_splits does not name {value}"

"""With provider rules, whoever writes one mailbox in several ways is one person; mail goes where it was asked for."""

from __future__ import annotations

from datetime import datetime, timedelta

import pyarrow as pa
import pytest

from cli import pipeline
from tests.identity_quality.conftest import BuildIdentity
from warehouse.build import open_build
from warehouse.connection import connect
from warehouse.dbt import run_dbt
from warehouse.settings import Settings

WRITTEN = datetime(2026, 1, 1)
AS_OF = datetime(2026, 2, 1)
SPELLINGS = ["A.nn+shop@gmail.com", "ann@googlemail.com", "ann@gmail.com", "a.nn@example.org", "ann@example.org"]


def people(settings: Settings) -> dict[str, str]:
    """Contact → profile."""
    with connect(settings, read_only=True, purpose="test") as con:
        return dict(
            con.execute(
                f'select identifier_value, profile_id from "{settings.schema}".int_identity__identifier_profiles '
                "where identifier_type = 'contact_id'"
            ).fetchall()
        )


def addresses(settings: Settings) -> set[str]:
    with connect(settings, read_only=True, purpose="test") as con:
        return {
            value
            for (value,) in con.execute(
                f'select identifier_value from "{settings.schema}".int_identity__identifier_profiles '
                "where identifier_type = 'email'"
            ).fetchall()
        }


def test_provider_rules_on_and_off_again(
    settings: Settings, build_identity: BuildIdentity, monkeypatch: pytest.MonkeyPatch
) -> None:
    instants = pa.array([WRITTEN] * len(SPELLINGS), pa.timestamp("us"))
    contacts = {
        "contact_id": pa.array([f"k{n}" for n in range(len(SPELLINGS))]),
        "email": pa.array(SPELLINGS),
        "created_at": instants,
        "updated_at": instants,
    }
    build_identity({"crm_contacts": contacts}, AS_OF, "int_identity__identifier_profiles", "int_identity__resolved")
    apart = people(settings)
    assert len(set(apart.values())) == len(SPELLINGS)

    def again(day: int) -> dict[str, str]:
        pipeline.normalize(settings)
        open_build(settings, AS_OF + timedelta(days=day))
        tests = ["--indirect-selection", "cautious", "--exclude-resource-type", "unit_test"]
        select = ["--select", "+int_identity__identifier_profiles", "+int_identity__resolved"]
        result = run_dbt(settings, ["build", *select, *tests])
        assert result.success, result.explain()
        return people(settings)

    monkeypatch.setenv("MAILWRIGHT_NORMALIZE_PROVIDER_RULES", "true")
    together = again(1)
    # dots matter at a company's own domain
    assert len({together[f"k{n}"] for n in (0, 1, 2)}) == 1
    assert len(set(together.values())) == 3
    # the oldest name stays, and each address is there as it is written to
    assert together["k0"] in {apart[f"k{n}"] for n in (0, 1, 2)}
    assert addresses(settings) == {spelling.lower() for spelling in SPELLINGS}

    monkeypatch.setenv("MAILWRIGHT_NORMALIZE_PROVIDER_RULES", "false")
    assert again(2) == apart

"""A public data set of people typed again with errors: the graph joins whoever shares a mailbox, nobody else."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from tests.identity_quality.conftest import BuildIdentity
from tests.identity_quality.oracle import agreement, pairs_of
from warehouse.connection import connect
from warehouse.settings import Settings

WRITTEN = datetime(2026, 1, 1)
AS_OF = datetime(2026, 2, 1)


def test_precision_and_recall_on_fake_1000(
    settings: Settings,
    shared_dir: Callable[[str], Path],
    build_identity: BuildIdentity,
    capsys: pytest.CaptureFixture[str],
) -> None:
    people = pd.read_csv(shared_dir("data/identity/fake_1000.csv"), dtype=str).reset_index(drop=True)
    assert pairs_of(people["cluster"].value_counts()) == 2_031
    # as a CRM numbers its contacts: "0" alone would be a filler
    people["unique_id"] = "K" + people["unique_id"]
    # what a join on the column would do: whoever has no address is alone
    exact = people["email"].fillna("none " + people["unique_id"])
    baseline = agreement(exact.tolist(), people["cluster"].tolist())
    assert (round(baseline[0], 3), round(baseline[1], 3)) == (1.000, 0.336)

    def text(column: pd.Series) -> pa.Array:
        return pa.array(column, pa.string(), from_pandas=True)

    instants = pa.array([WRITTEN] * len(people), pa.timestamp("us"))
    contacts = {
        "contact_id": text(people["unique_id"]),
        "email": text(people["email"]),
        "first_name": text(people["first_name"]),
        "last_name": text(people["surname"]),
        "city": text(people["city"]),
        "birth_year": pa.array(people["dob"].str[:4].astype(int).tolist(), pa.int64()),
        "created_at": instants,
        "updated_at": instants,
    }
    build_identity({"crm_contacts": contacts}, AS_OF, "int_identity__identifier_profiles")
    with connect(settings, purpose="test") as con:
        profiles = dict(
            con.execute(
                f'select identifier_value, profile_id from "{settings.schema}".int_identity__identifier_profiles '
                "where identifier_type = 'contact_id'"
            ).fetchall()
        )
    assert set(profiles) == set(people["unique_id"])
    precision, recall = agreement([profiles[key] for key in people["unique_id"]], people["cluster"].tolist())
    with capsys.disabled():
        print(
            f"\nfake_1000, pairs of contacts: graph precision {precision:.4f} recall {recall:.4f}; "
            f"exact e-mail precision {baseline[0]:.4f} recall {baseline[1]:.4f}"
        )
    assert precision >= 0.999
    assert recall >= baseline[1]

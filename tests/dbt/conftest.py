"""Fixtures of the tests on the dbt project."""

from __future__ import annotations

import pytest

from tests.dbt import features_oracle as oracle
from tests.dbt import features_support as support
from tests.dbt.features_data import AS_OF, ZONE, draw


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> support.Built:
    """Features and all that follows from them, built once on small random data."""
    settings = support.new_settings(tmp_path_factory.mktemp("features"))
    rows = draw()
    support.write(settings, rows)
    variables = {"business_time_zone": ZONE}
    support.build(settings, variables=variables)
    found = (oracle.features(rows, profile["profile_id"], AS_OF) for profile in rows["dim_profiles"])
    return support.Built(
        settings, rows, [feature for feature in found if feature], support.target_of(settings, variables)
    )

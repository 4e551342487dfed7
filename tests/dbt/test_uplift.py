"""Who is held out, what is kept of it from day to day, and what the others are found to buy more, with a real dbt."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest

from tests.dbt import features_support as support
from tests.dbt import recommendations_oracle as oracle
from tests.dbt.features_data import AS_OF, ZONE
from tests.dbt.features_support import Built
from warehouse.settings import PROJECT_DIR, Settings

SHARE = 0.4
VARIABLES: Mapping[str, Any] = {"business_time_zone": ZONE, "recommendation_holdout": {"share": SHARE, "draw": 1}}
OFFERED = ("int_recommendations__audience", "int_recommendations__rule_offers", "recommendations")
HORIZON, KEPT = timedelta(days=30), timedelta(days=58)
"""Vars uplift_horizon_days, and that with outcome_days."""


def drawn(profile_id: str) -> bool:
    """As documented: the first eight digits of the MD5 of salt, draw and profile, in ten thousandths."""
    digits = hashlib.md5(f"recommendation_holdout|1|{profile_id}".encode(), usedforsecurity=False).hexdigest()[:8]
    return int(digits, 16) % 10_000 < SHARE * 10_000


@pytest.fixture(scope="module")
def with_holdout(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The built store, offered anew with some people held out."""
    settings = support.new_settings(tmp_path_factory.mktemp("holdout"))
    shutil.copytree(built.settings.home, settings.home)
    support.build(settings, *OFFERED, "recommendation_holdout", variables=VARIABLES)
    return settings


@pytest.fixture
def store(with_holdout: Settings, tmp_path: Path) -> Settings:
    """A copy, to be changed."""
    settings = support.new_settings(tmp_path)
    shutil.copytree(with_holdout.home, settings.home)
    return settings


def write(settings: Settings, *statements: str) -> None:
    with duckdb.connect(str(settings.warehouse_path)) as con:
        for statement in statements:
            con.execute(statement)


def agreed(built: Built) -> set[str]:
    granted = {
        c["profile_id"] for c in built.rows["dim_consent"] if c["purpose"] == "profiling" and c["state"] == "granted"
    }
    return granted & {p["profile_id"] for p in built.rows["dim_profiles"] if p["email"]}


def offers(settings: Settings) -> dict[tuple[str, str], list[tuple[str, str]]]:
    found: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for row in support.read(settings, "recommendations", "profile_id, placement, rank"):
        found.setdefault((row["profile_id"], row["placement"]), []).append((row["product_id"], row["rung"]))
    return found


def test_who_is_held_out_is_offered_what_people_without_consent_are(built: Built, with_holdout: Settings) -> None:
    held_out = {who for who in agreed(built) if drawn(who)}
    assert 0 < len(held_out) < len(agreed(built))
    audience = support.read(with_holdout, "int_recommendations__audience", "profile_id, placement")
    assert {row["profile_id"] for row in audience if row["is_held_out"]} == held_out
    marked = support.read(with_holdout, "recommendations", "profile_id, placement, rank")
    assert {row["profile_id"] for row in marked if row["is_held_out"]} == held_out

    refused = [c for c in built.rows["dim_consent"] if c["profile_id"] not in held_out or c["purpose"] != "profiling"]
    wanted = oracle.recommendations({**built.rows, "dim_consent": refused}, AS_OF)
    found = offers(with_holdout)
    assert found == {key: value for key, value in wanted.items() if value}
    before = offers(built.settings)
    assert {key for key in before if key not in found} == {
        (who, placement) for who, placement in before if who in held_out and placement != "email"
    }
    assert {key: value for key, value in found.items() if key[0] not in held_out} == {
        key: value for key, value in before.items() if key[0] not in held_out
    }
    assert any(found[who, "email"] != before[who, "email"] for who in held_out if (who, "email") in found)


def test_both_groups_are_people_with_candidates(built: Built, with_holdout: Settings) -> None:
    fresh = {
        c["profile_id"]
        for c in built.rows["ml.recommendation_candidates"]
        if c["placement"] == "email" and AS_OF - timedelta(days=7) < c["as_of"] <= AS_OF
    }
    rows = support.read(with_holdout, "recommendation_holdout", "profile_id")
    assert {row["profile_id"] for row in rows} == fresh & agreed(built)
    assert {row["profile_id"] for row in rows if row["is_held_out"]} == {
        who for who in fresh & agreed(built) if drawn(who)
    }
    assert {row["is_held_out"] for row in rows} == {True, False}
    personal = Counter(
        who for (who, placement), one in offers(with_holdout).items() if placement == "email"
        for _, rung in one if rung == "personal"
    )  # fmt: skip
    assert {row["profile_id"]: row["n_personal"] for row in rows} == {
        row["profile_id"]: personal[row["profile_id"]] for row in rows
    }
    assert sum(personal.values()) > 0


def days_kept(settings: Settings, at: datetime, *, fails: bool = False) -> dict[str, int]:
    """Move the clock, keep the day; rows by day."""
    write(settings, f"update analytics.clock set as_of = timestamp '{at}', known_at = timestamp '{at}'")
    # candidates of that day: the model went on scoring
    write(settings, f"update \"{settings.ml_schema}\".recommendation_candidates set as_of = timestamp '{at}'")
    support.dbt(
        settings, "run", "--select", "int_recommendations__candidates", "int_recommendations__audience",
        "recommendation_holdout", variables=VARIABLES, fails=fails,
    )  # fmt: skip
    rows = support.read(settings, "recommendation_holdout", "profile_id")
    return dict(sorted(Counter(str(row["as_of_on"]) for row in rows).items()))


def test_the_last_build_of_a_day_stands_and_a_day_leaves_when_nobody_asks_for_it(store: Settings) -> None:
    first = days_kept(store, AS_OF)
    (n,) = first.values()
    assert list(first) == ["2025-06-30"]
    write(
        store,
        "delete from analytics.dim_consent "
        "where profile_id = (select max(profile_id) from analytics.recommendation_holdout)",
    )
    assert days_kept(store, AS_OF + timedelta(hours=1)) == {"2025-06-30": n - 1}
    assert days_kept(store, AS_OF + timedelta(days=1, hours=1)) == {"2025-06-30": n - 1, "2025-07-01": n - 1}
    assert list(days_kept(store, AS_OF + timedelta(hours=1) + KEPT)) == ["2025-07-01", "2025-08-27"]
    days_kept(store, AS_OF, fails=True)


N_WORLDS, N_PEOPLE, RATE, EFFECT, BASKET = 400, 600, 0.3, 0.1, 20.0


def worlds(seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(people, orders) of stores under a model each, a fifth of whose people are held out: in every second one the
    others buy more often by EFFECT."""
    random = np.random.default_rng(seed)
    number = np.repeat(np.arange(N_WORLDS), N_PEOPLE)
    is_held_out = random.random(len(number)) < 0.2
    people = pd.DataFrame({
        "model_version": [f"w{one:03d}" for one in number],
        "as_of_on": AS_OF.date(),
        "as_of": AS_OF,
        "profile_id": [f"p{one:06d}" for one in range(len(number))],
        "is_held_out": is_held_out,
        "n_personal": np.where(is_held_out, 0, 3),
    })  # fmt: skip
    buys = random.random(len(number)) < RATE + EFFECT * (~is_held_out & (number % 2 == 1))
    n_orders = np.where(buys, 1 + random.poisson(0.5, len(number)), 0)
    buyers = np.repeat(people["profile_id"].to_numpy(), n_orders)
    orders = pd.DataFrame({
        "order_id": [f"o{one}" for one in range(len(buyers))],
        "profile_id": buyers,
        "ordered_at": AS_OF + pd.to_timedelta(random.integers(0, 30 * 86400, len(buyers)), unit="s"),
        "is_purchase": True,
        # gamma of shape 2: skewed as baskets are
        "net_revenue": np.round(random.gamma(2, BASKET / 2, len(buyers)), 2),
    })  # fmt: skip
    return people, orders


@pytest.fixture(scope="module")
def found(with_holdout: Settings, tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """Uplift of all worlds, 30 days later."""
    settings = support.new_settings(tmp_path_factory.mktemp("worlds"))
    shutil.copytree(with_holdout.home, settings.home)
    people, orders = worlds(20240611)
    with duckdb.connect(str(settings.warehouse_path)) as con:
        con.execute("set schema = 'analytics'")
        con.register("people", people)
        con.register("bought", orders)
        con.execute("delete from recommendation_holdout")
        con.execute("insert into recommendation_holdout by name select * from people")
        con.execute("delete from fct_orders")
        con.execute("insert into fct_orders by name select * from bought")
        con.execute(f"update clock set as_of = timestamp '{AS_OF + HORIZON}'")
    support.dbt(settings, "run", "--select", "recommendation_uplift", variables=VARIABLES)
    with duckdb.connect(str(settings.warehouse_path), read_only=True) as con:
        return con.execute("select * from analytics.recommendation_uplift order by model_version, measure").df()


def effect_on(found: pd.DataFrame) -> pd.Series:
    """True effect of each row."""
    worth = found["measure"].map({"bought": 1.0, "orders": 1.5, "net_revenue": 1.5 * BASKET})
    return worth * EFFECT * (found["model_version"].str[1:].astype(int) % 2)


def test_the_mart_is_welchs_interval(found: pd.DataFrame) -> None:
    people, orders = worlds(20240611)
    spent = orders.groupby("profile_id")["net_revenue"].sum()
    people["spent"] = people["profile_id"].map(spent).fillna(0.0)
    for version in ("w000", "w001"):
        ours = people[people["model_version"] == version]
        treated, held_out = ours[~ours["is_held_out"]]["spent"], ours[ours["is_held_out"]]["spent"]
        (row,) = found[(found["model_version"] == version) & (found["measure"] == "net_revenue")].to_dict("records")
        assert (row["n_treated"], row["n_held_out"]) == (len(treated), len(held_out))
        difference = treated.mean() - held_out.mean()
        error = np.sqrt(treated.var() / len(treated) + held_out.var() / len(held_out))
        assert [row["uplift"], row["standard_error"], row["uplift_low"], row["uplift_high"]] == pytest.approx(
            [difference, error, difference - 1.96 * error, difference + 1.96 * error]
        )


@pytest.mark.parametrize("measure", ["bought", "orders", "net_revenue"])
@pytest.mark.parametrize("is_effective", [False, True], ids=["without effect", "with an effect"])
def test_an_interval_covers_the_truth_as_often_as_it_says(
    found: pd.DataFrame, measure: str, is_effective: bool
) -> None:
    """Of 200 worlds 190 are expected, with a standard deviation of 3."""
    ours = found[(found["measure"] == measure) & ((effect_on(found) > 0) == is_effective)]
    assert len(ours) == N_WORLDS / 2
    covers = (ours["uplift_low"] <= effect_on(ours)) & (ours["uplift_high"] >= effect_on(ours))
    assert 0.905 <= covers.mean() <= 0.985
    assert ours["uplift"].mean() == pytest.approx(effect_on(ours).mean(), abs=3 * ours["uplift"].std() / 200**0.5)


def test_an_effect_is_seen_and_none_is_not(found: pd.DataFrame) -> None:
    """With 120 held out beside 480, a difference of 10 points in 30 % is seen in most worlds; harm nearly never."""
    bought = found[found["measure"] == "bought"]
    is_seen = bought["uplift_low"] > 0
    assert is_seen[effect_on(bought) > 0].mean() > 0.5
    assert is_seen[effect_on(bought) == 0].mean() < 0.06
    assert bought["is_harmful"][effect_on(bought) > 0].sum() == 0
    assert bought["is_harmful"][effect_on(bought) == 0].mean() < 0.06


def test_the_documented_numbers_of_people_suffice() -> None:
    """Of docs/recommendations.md: n held out, nine times as many not, found four times in five."""
    lines = (PROJECT_DIR / "docs" / "recommendations.md").read_text(encoding="utf-8").splitlines()
    table = [re.findall(r"[\d.,]+|–", line) for line in lines if re.match(r"\| \d+ % \|", line)]
    assert len(table) == 4
    random = np.random.default_rng(20240611)
    for rate, *cells in ((float(row[0]) / 100, *row[1:]) for row in table):
        for effect, cell in zip((0.005, 0.01, 0.02), cells, strict=True):
            if cell == "–":
                continue
            n = int(cell.replace(",", ""))
            held_out, treated = (
                random.binomial(n, rate, 4000) / n,
                random.binomial(9 * n, rate + effect, 4000) / (9 * n),
            )
            error = np.sqrt(held_out * (1 - held_out) / n + treated * (1 - treated) / (9 * n))
            assert 0.72 < np.mean(treated - held_out > 1.96 * error) < 0.85, (rate, effect)
            assert n * rate >= 30


@pytest.mark.parametrize("share", [1, -0.1, 0.00001, "half"])
def test_a_share_that_is_none_is_told(store: Settings, share: Any) -> None:
    output = support.dbt(
        store, "compile", "--select", "int_recommendations__audience",
        variables={**VARIABLES, "recommendation_holdout": {"share": share, "draw": 1}}, fails=True,
    )  # fmt: skip
    said = " ".join(output.split())
    assert f"vars.recommendation_holdout.share is '{share}': 0, or a number from 0.0001 to below 1" in said

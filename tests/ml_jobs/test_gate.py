"""Who goes live: not who is newest, but who is not worse than what reigned, and than the simplest methods."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_jobs import registry
from ml_jobs.churn import job as churn
from ml_jobs.churn.config import ChurnConfig
from ml_jobs.churn.evaluate import split
from ml_jobs.churn.train import fit
from ml_jobs.errors import UnreadableArtefactError
from ml_jobs.gate import GateConfig, NotComparableError, Trial, best_of, decide, difference_to
from ml_jobs.recommendations import job as recommendations
from ml_jobs.recommendations.config import RankerConfig, RecommendationConfig
from tests.ml_jobs import stores
from warehouse.settings import Settings

AS_OF = datetime(2024, 6, 1)
FAST = ChurnConfig(
    # without BG/NBD, which knows by itself how the planted buyers come and go
    features=tuple(name for name in stores.PURCHASE_FEATURES if name != "purchase_days_lifetime"),
    max_iter=20,
    n_folds=2,
)
FLAT = FAST.model_copy(
    update={
        "max_iter": 1,
        "learning_rate": 1e-6,
        "recency": "items_30d",
        "frequency": "items_30d",
        "monetary": "items_30d",
    }
)
"""A recipe that learns next to nothing."""
GATE = GateConfig(margin=0.01)
LIVE = "select model_version, as_of from {ml}.model_runs where is_live order by as_of"


def trial(merit: np.ndarray, stored: np.ndarray | Exception | None = None, **rivals: np.ndarray) -> Trial:
    """A trial whose reigning model had the merit `stored`."""

    def merit_of(_: object) -> np.ndarray:
        if isinstance(stored, Exception):
            raise stored
        assert stored is not None
        return stored

    return Trial(AS_OF, "merit", merit, rivals, merit_of)


def people(mean: float, spread: float = 0.0, n: int = 200) -> np.ndarray:
    """Merits with this mean: half above it, half below."""
    return mean + spread * np.where(np.arange(n) % 2, 1.0, -1.0)


@pytest.mark.parametrize(
    ("mean", "spread", "is_worse"),
    [
        (0.1, 0.0, False),
        (0.0, 0.0, False),
        (-0.005, 0.5, False),  # within the margin, and by chance
        (-0.005, 0.0, False),  # no chance, but within the margin
        (-0.02, 0.5, False),  # more than the margin, but perhaps by chance
        (-0.02, 0.01, True),
    ],
)
def test_worse_is_more_than_the_margin_and_more_than_chance(mean: float, spread: float, is_worse: bool) -> None:
    difference = difference_to("other", people(mean, spread), people(0.0), GATE)
    assert difference.is_worse(GATE.margin) is is_worse
    assert difference.low <= difference.mean + 1e-12
    assert difference.mean <= difference.high + 1e-12


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=50))
def test_of_two_models_one_at_most_is_worse_beyond_chance(pairs: list[tuple[float, float]]) -> None:
    ours, theirs = (np.asarray(column) for column in zip(*pairs, strict=True))
    few = GateConfig(margin=0.001, n_bootstrap=20)
    us, them = difference_to("them", ours, theirs, few), difference_to("us", theirs, ours, few)
    assert not (us.is_worse(0.001) and them.is_worse(0.001))
    assert not difference_to("itself", ours, ours, few).is_worse(0.001)


def test_a_model_that_loses_to_any_rival_stays_aside_and_says_to_which() -> None:
    decision = decide(trial(people(0.5), people(0.6), simple=people(0.1)), ("old-1", {}), True, GATE)
    assert not decision.goes_live
    assert "worse by merit than old-1 -0.1000" in decision.reason
    assert "simple" not in decision.reason
    decision = decide(trial(people(0.5), people(0.4), simple=people(0.9)), ("old-1", {}), True, GATE)
    assert not decision.goes_live
    assert "simple" in decision.reason
    decision = decide(trial(people(0.5), people(0.4), simple=people(0.1)), ("old-1", {}), True, GATE)
    assert decision.goes_live
    assert [one.rival for one in decision.differences] == ["simple", "old-1"]


def test_without_enough_people_only_what_was_never_tried_is_replaced() -> None:
    assert decide(None, None, None, GATE).goes_live
    assert decide(None, None, False, GATE).goes_live
    assert not decide(None, None, True, GATE).goes_live


def test_a_reigning_model_that_cannot_be_asked_is_named() -> None:
    decision = decide(
        trial(people(0.5), NotComparableError("it reads x"), simple=people(0.4)), ("old-1", {}), True, GATE
    )
    assert decision.goes_live
    assert "old-1 could not be asked: it reads x" in decision.reason
    assert [one.rival for one in decision.differences] == ["simple"]


def test_what_is_simple_takes_the_place_of_what_is_worse() -> None:
    merits = {"new": people(0.5), "simple": people(0.6), "simplest": people(0.7)}
    assert best_of(merits, "new", ["simple", "simplest"], GATE) == "simplest"
    assert best_of(merits | {"simplest": people(0.2)}, "new", ["simple", "simplest"], GATE) == "simple"
    assert best_of(merits | {"new": people(0.7)}, "new", ["simple", "simplest"], GATE) == "new"


@pytest.mark.parametrize("wrong", [np.nan, -np.inf])
def test_a_merit_that_is_no_number_goes_nowhere(wrong: float) -> None:
    merit = people(0.5)
    merit[3] = wrong
    assert not decide(trial(merit, people(0.1), simple=people(0.1)), ("old-1", {}), True, GATE).goes_live


def churn_at(settings: Settings, as_of: datetime, n_cutoffs: int = 8) -> None:
    stores.set_as_of(settings, as_of)
    stores.build_churn_tables(settings, as_of, 60, n_cutoffs)


def test_a_stored_churn_model_says_today_what_it_said_when_it_was_fitted(settings: Settings) -> None:
    """What reigned when the window began is the very model that a back-test fits for that day."""
    stores.planted_churn(settings, AS_OF, n_people=500)
    churn_at(settings, AS_OF - timedelta(days=60), n_cutoffs=6)  # the same as are known then of eight from today
    first = churn.run(settings, config=FAST)
    churn_at(settings, AS_OF)
    job = churn.ChurnJob(FAST)
    rows = job.read(settings, AS_OF)
    found = job.validate(rows).trial
    assert found is not None
    reigned = registry.reigning_run(settings, "churn", found.began_at)
    assert reigned is not None
    assert reigned.model_version == first.model_version
    stored = registry.load_artefact(settings, reigned)
    known, test = split(rows)
    anew = fit(known, FAST, [stored["method"]])[stored["method"]].predict(test.features)
    np.testing.assert_allclose(found.merit_of(stored), -((anew - test.churned) ** 2), atol=1e-12)


@pytest.mark.parametrize("method", ["blend_0.3", "ease", "ranked"])
def test_a_stored_recommender_says_today_what_it_said_when_it_was_fitted(settings: Settings, method: str) -> None:
    """Though today's catalogue has another product before all others, and one has left it."""
    config = RecommendationConfig(
        methods=(method,), gate=GateConfig(margin=0.9), ranker=RankerConfig(min_bought=50, max_iter=20)
    )
    stores.planted_tastes(settings, AS_OF, n_people=200)
    stores.set_as_of(settings, AS_OF - timedelta(days=30))
    recommendations.run(settings, config=config)
    stores.set_as_of(settings, AS_OF)
    job = recommendations.RecommendationJob(config)
    unchanged = job.validate(job.read(settings, AS_OF)).trial
    assert unchanged is not None
    reigned = registry.reigning_run(settings, "recommendations", unchanged.began_at)
    assert reigned is not None
    stored = registry.load_artefact(settings, reigned)
    assert stored["method"] == method
    np.testing.assert_allclose(unchanged.merit_of(stored), unchanged.merit, atol=1e-6)
    stores.insert(settings, "dim_products", "select 'a_new' as product_id, 'New' as product_name, 1 as price, "
                  "true as is_in_stock, true as is_product")  # fmt: skip
    moved = job.validate(job.read(settings, AS_OF)).trial
    assert moved is not None
    np.testing.assert_allclose(moved.merit_of(stored), unchanged.merit, atol=1e-6)
    with stores.connect(settings) as con:
        con.execute(f"delete from {settings.schema}.dim_products where product_id = 'p000'")
    gone = job.validate(job.read(settings, AS_OF)).trial
    assert gone is not None
    assert 0 < gone.merit_of(stored).mean() < 1


def test_a_worse_model_stays_aside_and_the_one_before_it_scores(settings: Settings) -> None:
    stores.planted_churn(settings, AS_OF)
    churn_at(settings, AS_OF - timedelta(days=60))
    first = churn.run(settings, config=FAST)
    assert first.status == "scored"
    assert first.reason is None
    churn_at(settings, AS_OF)
    second = churn.run(settings, config=FLAT)
    assert second.status == "scored"
    assert second.model_version == first.model_version
    assert "stays aside: worse by Brier score than churn-" in str(second.reason)
    assert first.model_version in str(second.reason)
    assert stores.query(settings, LIVE) == [(first.model_version, AS_OF - timedelta(days=60))]
    aside = stores.query(
        settings, "select artefact_sha256 is not null, decision from {ml}.model_runs where not is_live"
    )
    assert len(aside) == 1
    assert aside[0][0]
    assert set(stores.query(settings, "select distinct model_version, as_of from {ml}.churn_predictions")) == {
        (first.model_version, AS_OF)
    }
    third = churn.run(settings, config=FAST)
    assert third.reason is None
    assert third.model_version != first.model_version
    assert first.model_version in third.decision


def test_the_same_content_again_changes_no_decision(settings: Settings) -> None:
    stores.planted_churn(settings, AS_OF, n_people=500)
    churn_at(settings, AS_OF)
    first = churn.run(settings, config=FAST)
    with stores.connect(settings) as con:
        con.execute(f"update {settings.ml_schema}.model_runs set decision = 'as it was', was_tried = false")
    again = churn.run(settings, config=FAST)
    assert (again.status, again.model_version, again.decision) == ("scored", first.model_version, "as it was")
    with stores.connect(settings) as con:
        con.execute(f"update {settings.ml_schema}.model_runs set is_live = false")
    assert churn.run(settings, config=FAST).status == "skipped"


def lose(settings: Settings, version: str) -> None:
    """The file of a model."""
    sql = f"select artefact_sha256 from {{ml}}.model_runs where model_version = '{version}'"
    (settings.artefacts_dir / f"{stores.query(settings, sql)[0][0]}.joblib").unlink()


def test_where_the_newest_file_is_lost_the_model_before_it_is_rival_and_scores(settings: Settings) -> None:
    stores.planted_churn(settings, AS_OF)
    churn_at(settings, AS_OF - timedelta(days=60))
    first = churn.run(settings, config=FAST)
    churn_at(settings, AS_OF - timedelta(days=10))
    second = churn.run(settings, config=FAST)
    churn_at(settings, AS_OF)
    assert churn.run(settings, config=FLAT).model_version == second.model_version
    lose(settings, str(second.model_version))
    report = churn.run(settings, config=FLAT)
    assert report.status == "scored"
    assert report.model_version == first.model_version
    assert f"worse by Brier score than {first.model_version}" in str(report.reason)
    gone = f"select is_live, decision from {{ml}}.model_runs where model_version = '{second.model_version}'"
    [(is_live, decision)] = stores.query(settings, gone)
    assert not is_live
    assert decision.endswith("is missing.")


def test_what_lost_to_a_model_that_is_lost_is_tried_anew(settings: Settings) -> None:
    stores.planted_churn(settings, AS_OF)
    churn_at(settings, AS_OF - timedelta(days=60))
    first = churn.run(settings, config=FAST)
    churn_at(settings, AS_OF)
    assert churn.run(settings, config=FLAT).model_version == first.model_version
    lose(settings, str(first.model_version))
    report = churn.run(settings, config=FLAT)
    assert (report.status, report.reason) == ("scored", None)
    assert report.model_version != first.model_version


def test_what_cannot_be_read_now_is_not_given_up(settings: Settings) -> None:
    """A disk that is away for an hour must not end the reign of every model that lies on it."""
    stores.planted_churn(settings, AS_OF, n_people=500)
    churn_at(settings, AS_OF)
    trained = churn.run(settings, config=FAST)
    (artefact,) = settings.artefacts_dir.glob("*.joblib")
    stored = artefact.read_bytes()
    artefact.unlink()
    artefact.mkdir()  # even root cannot read that as a file
    for command in (churn.train, churn.score):
        with pytest.raises(UnreadableArtefactError, match="cannot be read: Is a directory"):
            command(settings, config=FAST)
    artefact.rmdir()
    artefact.write_bytes(stored)
    assert churn.score(settings, config=FAST).model_version == trained.model_version


def test_a_refused_training_leaves_the_newest_model_that_can_be_loaded(settings: Settings) -> None:
    stores.planted_churn(settings, AS_OF)
    churn_at(settings, AS_OF - timedelta(days=10))
    first = churn.run(settings, config=FAST)
    churn_at(settings, AS_OF)
    lose(settings, str(churn.run(settings, config=FAST).model_version))
    with stores.connect(settings) as con:
        con.execute(f"delete from {settings.schema}.churn_training_set")
    report = churn.run(settings, config=FAST)
    assert (report.status, report.model_version) == ("scored", first.model_version)
    assert "not trained anew" in str(report.reason)


def test_what_another_recipe_makes_of_the_same_rows_is_tried_anew(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new release must not go live by what was decided of the one before it."""
    stores.planted_churn(settings, AS_OF, n_people=500)
    churn_at(settings, AS_OF)
    first = churn.run(settings, config=FAST)
    with stores.connect(settings) as con:
        con.execute(f"update {settings.ml_schema}.model_runs set decision = 'as it was'")
    monkeypatch.setattr(registry, "recipe", lambda: "of another release")
    second = churn.run(settings, config=FAST)
    assert second.model_version != first.model_version
    assert second.decision.startswith("by Brier score against")


def test_a_model_of_another_horizon_is_no_rival(settings: Settings) -> None:
    stores.planted_churn(settings, AS_OF, n_people=500)
    churn_at(settings, AS_OF - timedelta(days=60))
    churn.run(settings, config=FAST)
    stores.set_as_of(settings, AS_OF)
    stores.build_churn_tables(settings, AS_OF, 30)
    assert "could not be asked: it looks 60 days ahead, not 30" in churn.run(settings, config=FAST).decision


def test_models_from_before_there_was_a_gate_reign(settings: Settings) -> None:
    stores.planted_churn(settings, AS_OF, n_people=500)
    churn_at(settings, AS_OF)
    trained = churn.train(settings, config=FAST)
    with stores.connect(settings) as con:
        con.execute(f"update {settings.ml_schema}.model_runs set is_live = null, was_tried = null, decision = null")
    assert churn.score(settings, config=FAST).model_version == trained.model_version
    reigning = registry.reigning_run(settings, "churn", AS_OF)
    assert reigning is not None
    assert reigning.was_tried
    with stores.connect(settings) as con:
        con.execute(
            f"update {settings.ml_schema}.model_runs set metrics = json_object('note', 'no back-test: 3 buyers')"
        )
    reigning = registry.reigning_run(settings, "churn", AS_OF)
    assert reigning is not None
    assert not reigning.was_tried


@pytest.mark.parametrize("config", [FAST, FLAT], ids=["a better one", "a worse one"])
def test_a_reigning_model_whose_file_is_lost_does_not_stop_the_next(settings: Settings, config: ChurnConfig) -> None:
    stores.planted_churn(settings, AS_OF)
    churn_at(settings, AS_OF - timedelta(days=60))
    first = churn.train(settings, config=FAST)
    for artefact in settings.artefacts_dir.glob("*.joblib"):
        artefact.unlink()
    churn_at(settings, AS_OF)
    report = churn.run(settings, config=config)
    assert report.status == "scored"
    assert report.model_version != first.model_version
    assert "is missing" in report.decision

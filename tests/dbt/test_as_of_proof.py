"""Features as of a past instant are those of a warehouse that had been loaded until then and no further.

Ten small companies, each with a cut-off of its own, lie in one warehouse that knows all. The same ten lie in others
that were loaded up to the cut-off alone; one clock serves several of them, because there each company's history is
moved so that its cut-off is the clock's (by whole days, which no feature can tell).
"""

from __future__ import annotations

import hashlib
import random
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest

from cli import pipeline
from ingest.load import ensure_raw_tables
from tests.dbt import as_of_world as world
from tests.dbt import features_support as support
from tests.segments.inline import compile_inline
from tests.segments.worlds import CHAIN_KINDS, EVENT_KINDS, NESTING_KINDS, as_jinja, condition
from warehouse.clock import Clock, set_clock
from warehouse.settings import Settings
from warehouse.state import ensure_state

VARIABLES = {"known_at": world.KNOWN_AT, "training_min_history_days": 0}
MIDNIGHT, AFTERNOON = (
    world.START + timedelta(days=200),
    world.START + timedelta(days=200, hours=15, minutes=37, seconds=21),
)
CUTOFFS = {
    f"company{number}": (MIDNIGHT if number % 2 else AFTERNOON) - timedelta(days=90 + 3 * number)
    for number in range(10)
}
"""Half of them are midnights."""
NOW = world.START + timedelta(days=300)


@dataclass(frozen=True)
class Store:
    """A built warehouse, and the compiled SQL of models that are asked for cut-offs of the tests' own."""

    settings: Settings

    def query(self, sql: str) -> Any:
        """Rows of a query (a DataFrame)."""
        with duckdb.connect(str(self.settings.warehouse_path)) as con:
            return con.execute(sql).df()

    def at(self, model: str, cutoffs: Iterable[tuple[datetime, datetime]]) -> Any:
        """What a training model says of these (as_of, known_at) instead of int_training__cutoffs, in a query."""
        folder = support.target_of(self.settings, VARIABLES) / "compiled" / "mailwright" / "models" / "training"
        relation = r'("[^"]+"\.)?"analytics"\."int_training__cutoffs"'
        sql, n_found = re.subn(relation, "analytics.wanted_cutoffs", (folder / f"{model}.sql").read_text())
        assert n_found == 1
        with duckdb.connect(str(self.settings.warehouse_path)) as con:
            con.execute("create or replace table analytics.wanted_cutoffs (as_of timestamp, known_at timestamp)")
            con.executemany("insert into analytics.wanted_cutoffs values (?, ?)", list(cutoffs))
            return con.execute(f"select answer.* from ({sql}) as answer").df()


def build(home: Path, rows: world.Rows, as_of: datetime) -> Store:
    """Load the rows, and build everything up to the features."""
    settings = Settings(home=home, target="prod", lock_timeout_seconds=30)
    ensure_raw_tables(settings)
    with duckdb.connect(str(settings.warehouse_path)) as con:
        for table, found in world.together([rows, world.products()]).items():
            con.register("found", pd.DataFrame(found))
            con.execute(f"insert into raw.{table} by name select * from found")
            con.unregister("found")
        set_clock(con, settings.schema, Clock(as_of, as_of))
        ensure_state(con, settings)
    pipeline.normalize(settings)
    models = (
        "+profile_features", "+profile_feature_snapshots", "+training_late_rows",
        "+profile_daily", "+dim_products", "+fct_orders", "+lifecycle_stages", "+engagement_levels",
    )  # fmt: skip
    support.build(settings, *models, variables=VARIABLES)
    return Store(settings)


@pytest.fixture(scope="module")
def companies() -> dict[str, world.Rows]:
    return {name: world.Company(name, seed=1).rows for name in CUTOFFS}


@pytest.fixture(scope="module")
def whole(companies: dict[str, world.Rows], tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The warehouse that knows all."""
    return build(tmp_path_factory.mktemp("whole"), world.together(companies.values()), NOW)


@pytest.fixture(scope="module")
def company_of(whole: Store) -> dict[str, str]:
    """Company by profile, of every profile that there ever was: it is called after an identifier."""
    found = whole.query("select identifier_type, identifier_value from analytics.int_identity__identifiers")
    return {
        hashlib.md5(f"{kind}:{value}".encode()).hexdigest(): value[: len("company0")]
        for kind, value in found.itertuples(index=False)
    }


def of_company(frame: Any, company_of: dict[str, str], name: str) -> Any:
    """A company's profiles, by name."""
    return frame[frame["profile_id"].map(company_of) == name].set_index("profile_id").sort_index()


def moved(frame: Any, by: timedelta) -> Any:
    """The same at another time."""
    out = frame.copy()
    for column in frame.columns:
        if str(frame[column].dtype).startswith("datetime64"):
            out[column] = frame[column] + by
    return out


def differing(one: Any, other: Any) -> set[str]:
    """Profiles (the index) that are in one alone, or have another value in any column."""
    both = sorted(set(one.index) & set(other.index))
    unequal = one.loc[both].compare(other.loc[both]).index
    return set(one.index) ^ set(other.index) | set(unequal)


@pytest.mark.parametrize("clock", [MIDNIGHT, AFTERNOON])
def test_features_are_those_of_a_warehouse_loaded_until_then(
    clock: datetime,
    companies: dict[str, world.Rows],
    whole: Store,
    company_of: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Row by row and column by column, under the same names; what came later, of every kind, changed nothing."""
    mine = {name: at for name, at in CUTOFFS.items() if at.time() == clock.time()}
    assert len(mine) == 5
    loaded = [world.shifted(world.arrived_by(companies[name], at), clock - at) for name, at in mine.items()]
    until_then = build(tmp_path_factory.mktemp("until"), world.together(loaded), clock)
    wanted = until_then.query("select * from analytics.profile_features")
    got = whole.at("profile_feature_snapshots", [(at, at) for at in mine.values()])
    for name, at in mine.items():
        then = moved(of_company(wanted, company_of, name), at - clock)
        assert len(then) > 20
        now = of_company(got[got["as_of"] == at], company_of, name)
        pd.testing.assert_frame_equal(now, then, check_dtype=False, rtol=1e-12)
    compare_memberships(whole, until_then, clock, mine, company_of)


PROPERTIES = {
    "orders_lifetime": "bigint",
    "revenue_90d": "numeric",
    "engagement_score": "bigint",
    "tenure_days": "integer",
    "last_session_at": "timestamp",
    "first_purchase_at": "timestamp",
}
STAGES = ("prop('customer_stage', '=', 'prospect')", "prop('customer_stage', 'in', ['repeat_buyer', 'new_customer'])",
          "prop('engagement_level', '=', 'active')", "prop('journey_stage', '!=', 'awareness')")  # fmt: skip
OF_PEOPLE_AND_THEIR_EVENTS = ["prop", "random_share", *EVENT_KINDS, *CHAIN_KINDS, *NESTING_KINDS]
"""Not of what is known of people now alone (attributes, consent, history), nor of ranks: others are there then."""


def questions() -> dict[str, str]:
    """Conditions of every kind by name, as macro calls; none with a date, since histories are moved."""
    rng = random.Random("as of")
    asked = list(STAGES)
    while len(asked) < 60:
        text = as_jinja(condition(rng, PROPERTIES, kinds=OF_PEOPLE_AND_THEIR_EVENTS))
        if not re.search(r"since=|until=|'[0-9]{4}-", text):
            asked.append(text)
    return {f"q{number}": text for number, text in enumerate(asked)}


def compare_memberships(
    whole: Store, until_then: Store, clock: datetime, mine: dict[str, datetime], company_of: dict[str, str]
) -> None:
    """Who would have been in, by the whole warehouse, is who was in."""
    asked = questions()
    definitions = ", ".join(
        f"{{'name': '{name}', 'all_of': [{text}], 'any_of': [], 'none_of': [], 'capacity': none}}"
        for name, text in asked.items()
    )
    before = compile_inline(until_then.settings, f"members_query([{definitions}])", variables=VARIABLES)
    after = compile_inline(
        whole.settings, f"members_query([{definitions}], cutoffs='analytics.wanted_cutoffs')", variables=VARIABLES
    )
    was_in = until_then.query(f"select profile_id, segment_name from ({before})")
    with duckdb.connect(str(whole.settings.warehouse_path)) as con:
        con.execute("create or replace table analytics.wanted_cutoffs (as_of timestamp, known_at timestamp)")
        con.executemany("insert into analytics.wanted_cutoffs values (?, ?)", [(at, at) for at in mine.values()])
        would_be_in = con.execute(f"select as_of, profile_id, segment_name from ({after})").df()
    n_of: Counter[str] = Counter()
    for name, at in mine.items():
        then = set(of_company(was_in, company_of, name)["segment_name"].items())
        asked_then = would_be_in[would_be_in["as_of"] == at]
        now = set(of_company(asked_then, company_of, name)["segment_name"].items())
        wrong = {question: asked[question] for _, question in then ^ now}
        assert then == now, f"{name} at {at}: {sorted(then ^ now)[:5]} {wrong}"
        n_of.update(question for _, question in then)
    n_people = sum(len(of_company(was_in, company_of, name).index.unique()) for name in mine)
    assert sum(0 < n_of[question] < n_people for question in asked) > 20, "most questions tell people apart"


def test_what_is_known_later_changes_the_late_rows_profiles_alone(whole: Store, company_of: dict[str, str]) -> None:
    cutoffs = list(CUTOFFS.items())
    as_known = [(at, at) for _, at in cutoffs] + [(at, NOW) for _, at in cutoffs]
    features = whole.at("profile_feature_snapshots", as_known)
    links = whole.query(LINKS_NOW)
    late = whole.at("training_late_rows", [(at, at) for _, at in cutoffs])
    assert set(late["source"]) == {"web", "email", "order", "identifier", "edge"}
    sessions = whole.query(
        "select web_event_id, session_id, identifier_type, identifier_value from analytics.fct_web_events"
    )
    n_changed = 0
    for name, at in cutoffs:
        then = of_company(features[(features["as_of"] == at) & (features["known_at"] == at)], company_of, name)
        now = of_company(features[(features["as_of"] == at) & (features["known_at"] == NOW)], company_of, name)
        changed = differing(then.drop(columns="known_at"), now.drop(columns="known_at"))
        n_changed += len(changed)
        mine = late[late["as_of"] == at]
        mates = sessions[
            sessions["session_id"].isin(sessions[sessions["web_event_id"].isin(mine["row_id"])]["session_id"])
        ]
        touched: Any = pd.concat([mine, mates])[["identifier_type", "identifier_value"]].drop_duplicates()
        people = set(touched.merge(links)["person"])
        of_people: Any = links[links["person"].isin(people)]
        allowed = {
            hashlib.md5(f"{kind}:{value}".encode()).hexdigest()
            for kind, value in of_people[["identifier_type", "identifier_value"]].itertuples(index=False)
        }
        assert changed <= allowed
        assert set(then.index) - allowed, "everybody has late rows: this shows nothing"
    assert n_changed > 20


LINKS_NOW = """
    select identifier_type, identifier_value, profile_id as person
    from analytics.int_identity__identifier_profiles
"""
"""Whose an identifier is by now: a person's profiles of earlier are all called after her identifiers."""


def test_who_turned_out_to_be_one_were_two(whole: Store, company_of: dict[str, str]) -> None:
    """A merge by a later purchase, or anything else: both have their own row, with nothing of the other."""
    features = whole.at("profile_feature_snapshots", [(at, at) for at in CUTOFFS.values()])
    today = set(whole.query("select profile_id from analytics.dim_profiles")["profile_id"])
    swallowed = features[~features["profile_id"].isin(today)]
    assert len(swallowed) > 20
    assert (swallowed["orders_lifetime"] > 0).any()
    assert (swallowed["sessions_lifetime"] > 0).any()
    by_purchase = whole.query(
        "select left_type, left_value, right_type, right_value, first_seen_at from analytics.int_identity__edges "
        "where sources = 'shop_order' and is_active"
    )
    n_pairs = 0
    for left_type, left_value, right_type, right_value, seen_at in by_purchase.itertuples(index=False):
        at = CUTOFFS[left_value[: len("company0")]]
        ends = {
            hashlib.md5(f"{t}:{v}".encode()).hexdigest()
            for t, v in [(left_type, left_value), (right_type, right_value)]
        }
        rows = features[(features["as_of"] == at) & features["profile_id"].isin(ends)]
        n_pairs += int(seen_at >= at and len(rows) == 2)
    assert n_pairs > 0

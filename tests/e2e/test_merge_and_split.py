"""Two customers become one and two again: consent, memberships, history and what the ESP holds follow.

The whole graph is built for each step, by the project's own steps; rules are stated on the command line.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli import pipeline
from cli.app import app
from expectations.gate import assert_checked
from reverse_etl.report import SyncReport
from reverse_etl.runner import sync
from tests.reverse_etl.world import TwinServer, World
from warehouse.connection import connect
from warehouse.settings import Settings

OVERRIDES = ["share_leaving", "share_removed", "share_lowered"]


@dataclass(frozen=True)
class Customer:
    profile: str
    email: str
    customer: str

    @property
    def identifier(self) -> str:
        return f"customer_id:{self.customer}"


@dataclass
class Store:
    world: World
    settings: Settings
    days: int = 0

    def rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        with connect(self.settings, read_only=True) as con:
            return con.execute(sql, list(values)).fetchall()

    def next_day(self) -> None:
        """Tomorrow's build, checked."""
        (as_of,) = self.rows("select as_of from analytics.clock")[0]
        pipeline.pin(self.settings, as_of + timedelta(days=1))
        pipeline.normalize(self.settings)
        pipeline.build_models(self.settings, "all")
        pipeline.check_activation(self.settings)

    def send(self) -> SyncReport:
        target = self.world.destination()
        try:
            return sync(self.settings, "mailchimp", gate=assert_checked, destination=target, overrides=OVERRIDES)
        finally:
            target.close()

    def profile_of(self, customer: Customer) -> str:
        return self.rows(
            """select profile_id from analytics.int_identity__identifier_profiles
               where identifier_type = 'customer_id' and identifier_value = ?""",
            customer.customer,
        )[0][0]

    def consent(self, profile: str) -> tuple[str, bool]:
        return self.rows(
            "select state, is_mailable from analytics.dim_consent where profile_id = ? and purpose = 'newsletter'",
            profile,
        )[0]  # pyright: ignore[reportReturnType]

    def open_segments(self, profile: str) -> dict[str, Any]:
        return dict(
            self.rows(
                """select segment_name, entered_at from analytics.segment_membership_history
                   where profile_id = ? and left_at is null""",
                profile,
            )
        )  # pyright: ignore[reportReturnType]

    def inside(self, customer: Customer) -> set[str]:
        """Our segments at the ESP that hold her address."""
        from tests.reverse_etl.world import hash_of

        names = [row[0] for row in self.rows("select distinct segment_name from ledger.remote_segments")]
        return {name for name in names if hash_of(customer.email) in self.world.twin.inside(name)}

    def identity(self, *arguments: str) -> None:
        done = CliRunner().invoke(app, ["--home", str(self.settings.home), "--target", "prod", "identity", *arguments])
        assert done.exit_code == 0, done.output


@pytest.fixture
def store(own_copy: Settings, tmp_path: Path) -> Iterator[Store]:
    with TwinServer(tmp_path / "twin.sqlite") as twin:
        yield Store(World(own_copy, twin), own_copy)


def _customers(store: Store, state: str, n: int) -> list[Customer]:
    """Customers of that consent with one address and one account each, in a segment."""
    found = store.rows(
        """select p.profile_id, p.email, min(i.identifier_value)
           from analytics.dim_profiles as p
           inner join analytics.dim_consent as c
               on p.profile_id = c.profile_id and c.purpose = 'newsletter' and c.state = ?
           inner join analytics.profile_identifiers as i
               on p.profile_id = i.profile_id and i.identifier_type = 'customer_id'
           where exists (select 1 from analytics.segment_memberships as s where s.profile_id = p.profile_id)
               and (select count(*) from analytics.profile_identifiers as e
                    where e.profile_id = p.profile_id and e.identifier_type = 'email') = 1
               and not exists (select 1 from analytics.sync_esp__members as m where m.profile_id = p.profile_id
                    and m.consent_verdict <> case ? when 'granted' then 'subscribe' else 'unsubscribe' end)
           group by p.profile_id, p.email having count(*) = 1
           order by p.profile_id limit ?""",
        state, state, n,
    )  # fmt: skip
    assert len(found) == n
    return [Customer(*row) for row in found]


def test_consent_memberships_and_the_esp_follow_a_merge_and_a_split(store: Store) -> None:
    willing, first, second = _customers(store, "granted", 3)
    (refusing,) = _customers(store, "withdrawn", 1)
    twin = store.world.twin
    twin.put(refusing.email, "unsubscribed", FNAME="Hers")
    store.send()
    assert [twin.status(c.email) for c in (willing, first, second, refusing)] == [
        "subscribed", "subscribed", "subscribed", "unsubscribed",
    ]  # fmt: skip
    assert store.inside(willing)
    assert store.inside(first)
    assert store.inside(second)
    histories = {c: store.open_segments(c.profile) for c in (willing, first, second, refusing)}

    store.identity("link", willing.identifier, refusing.identifier, "--reason", "one household account, says support")
    store.identity("link", first.identifier, second.identifier, "--reason", "she told us")
    store.next_day()
    merged, both = store.profile_of(willing), store.profile_of(first)
    assert merged == store.profile_of(refusing)
    assert both == store.profile_of(second)
    assert {merged, both} <= {c.profile for c in histories}, "one of the two ids is kept"
    changes = store.rows(
        "select before_profile_id, after_profile_id, kind, cause, cause_detail from analytics.identity_changes"
    )
    gone = {c.profile for c in histories} - {merged, both}
    assert {(row[0], row[1], row[2]) for row in changes if row[0] in gone} == {
        (willing.profile if merged == refusing.profile else refusing.profile, merged, "merge"),
        (first.profile if both == second.profile else second.profile, both, "merge"),
    }
    assert all(row[3:] == ("edge", "rule: customer_id, customer_id") for row in changes if row[0] in gone)

    # the stricter consent holds for both, everywhere
    assert store.consent(merged) == ("withdrawn", False)
    assert store.consent(both) == ("granted", True)
    # nobody entered a segment by merging: what stays is as old as the older of the two
    for pair, profile in (((willing, refusing), merged), ((first, second), both)):
        now = store.open_segments(profile)
        older = {
            name: min(histories[c][name] for c in pair if name in histories[c]) for c in pair for name in histories[c]
        }
        assert {name: at for name, at in now.items() if name in older} == {n: at for n, at in older.items() if n in now}
        former = [c.profile for c in pair if c.profile != profile]
        of_former = "select 1 from analytics.segment_membership_history where profile_id in (select unnest(?))"
        assert not store.rows(of_former, former)
    store.send()
    assert twin.status(willing.email) == "unsubscribed", "she was subscribed, and is of a person who refused"
    assert store.inside(willing) == set()
    in_use = store.rows("select email from analytics.dim_profiles where profile_id = ?", both)[0][0]
    used, unused = (first, second) if in_use == first.email else (second, first)
    assert store.inside(used)
    assert store.inside(unused) == set()
    cleared = twin.member(unused.email)
    assert cleared is not None
    assert (cleared.status, cleared.merge_fields.get("MW_STAGE") or "") == ("subscribed", "")
    assert store.send().writes == 0

    rules = store.rows("select rule_id from identity.rules order by rule_id")
    for (rule_id,) in rules:
        store.identity("withdraw", rule_id, "--reason", "it was a mistake")
    store.next_day()
    assert [store.profile_of(c) for c in histories] == [c.profile for c in histories], "everybody has her own id back"
    assert store.consent(willing.profile) == ("granted", True)
    assert store.consent(refusing.profile) == ("withdrawn", False)
    store.send()
    # what was ended stays ended: a status is never raised by us
    assert twin.status(willing.email) == "unsubscribed"
    assert store.inside(unused), "her own memberships again"
    filled = twin.member(unused.email)
    assert filled is not None
    assert filled.merge_fields["MW_STAGE"]
    assert store.send().writes == 0

"""The e-mail fact: who made an event, against an oracle; and after any history of builds, what a full refresh makes."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.dbt import email_support as support
from tests.dbt.email_support import ADDRESSES, AS_OF, Report
from warehouse.connection import connect
from warehouse.settings import Settings

few_examples = hypothesis_settings(
    max_examples=1,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
"""An example is many dbt runs, or thousands of events in one: hypothesis draws the seed, and shrinks nothing."""
seeds = st.integers(1, 2**32)

AGENTS = [
    None, "Firefox", "Mozilla/5.0", "mozilla/5.0", "Mozilla/5.0 (via ggpht.com GoogleImageProxy)", "x BARRACUDA y",
    "Proofpoint", "bingpreview/1", "YahooMailProxy", "MailPrivacyProxy",
]  # fmt: skip
IPS = [
    None, "203.0.113.9", "40.91.255.255", "40.92.0.0", "40.93.255.255", "40.94.0.0", "207.211.31.127", "207.211.31.128",
    "104.47.127.255", "104.47.128.0", "2a01:111:f403:8000::1", "2A01:111:F403:1::", "2a01:111:f404::",
    "40.92.0.256", "?",
]  # fmt: skip
LINKS = [None, "https://s.test/1", "https://s.test/2", "https://s.test/3", "https://s.test/4?MW_hidden=1"]


def story(chance: random.Random, message: str | None, starts_at: datetime, prefix: str) -> list[Report]:
    """What is reported of one message: sent, delivered or not, and what came of it; at instants at the rules' edges."""
    email = chance.choice(list(ADDRESSES))
    near = [-1, 0, 1, 1_999_999, 2_000_000, 2_000_001, 9_999_999, 10_000_000, 10_000_001, 3_600_000_000, 90_000_000_000]
    moments = [starts_at]
    found = []

    def note(event: str, at: datetime, **more: object) -> None:
        delay = timedelta(seconds=chance.choice([0, 1, 30, 86_400]))
        row = Report(f"{prefix}-{len(found)}", event, email, message, at, at + delay, campaign_id="c", **more)  # pyright: ignore
        if chance.random() < 0.1:  # to the other address of the same message
            row = replace(row, email=chance.choice(list(ADDRESSES)))
        found.append(row)

    note("sent", starts_at - timedelta(seconds=5))
    for _ in range(chance.randint(0, 2)):
        moments.append(chance.choice(moments) + timedelta(microseconds=chance.choice(near)))
        note("delivered", moments[-1])
    for _ in range(chance.randint(0, 8)):
        moments.append(chance.choice(moments) + timedelta(microseconds=chance.choice(near)))
        event = chance.choice(["open", "click", "click", "click", "unsubscribe", "complaint"])
        plain = chance.random() < 0.6
        note(
            event,
            moments[-1],
            link_url=None if event == "open" else chance.choice(LINKS[1:4] if plain else LINKS),
            user_agent="Firefox" if plain else chance.choice(AGENTS),
            ip="203.0.113.9" if plain else chance.choice(IPS),
            http_method=chance.choice([None, "GET"] if plain else ["GET", "HEAD", "head"]),
            is_provider_flagged_machine=chance.choice([None, False]) if plain else chance.choice([None, True]),
        )
    return found


@pytest.fixture
def store(one_place: Callable[[], Path]) -> Settings:
    """An empty warehouse; always at the same path, so that dbt parses the project once."""
    settings = Settings(home=one_place(), target="prod", lock_timeout_seconds=30)
    support.prepare(settings)
    return settings


@given(seed=seeds)
@few_examples
def test_who_made_an_event_is_what_the_rules_say(store: Settings, seed: int) -> None:
    chance = random.Random(seed)
    reports: list[Report] = []
    for number in range(1500):
        message = None if chance.random() < 0.05 else f"m{number}"
        reports += story(chance, message, AS_OF - timedelta(days=chance.uniform(5, 60)), f"e{number}")
    # reported again, later or earlier, and not as before
    for report in chance.sample(reports, 300):
        other = chance.choice(reports)
        again = replace(report, event=other.event, message_id=other.message_id, occurred_at=other.occurred_at)
        reports.append(replace(again, received_at=other.received_at + timedelta(days=1)))
    reports = [replace(report, load_id="l1", row_number=n) for n, report in enumerate(reports, start=1)]
    # the ESP's own clock may run ahead of its report: then the report dates the event
    dated = [replace(r, occurred_at=min(r.occurred_at, r.received_at)) for r in reports]
    support.add(store, reports, "l1")
    support.first_build(store)
    found = support.rows(
        store,
        """select email_event_id, p_human, machine_reason, machine_rule_version from analytics.int_email__events
           where report_number = 1""",
    )
    expected = support.verdicts(dated)
    assert len(found) == len(expected) > 5000
    assert {event: verdict for event, *verdict in found} == {event: list(v) for event, v in expected.items()}
    reasons = {reason for _, _, reason, _ in found}
    assert reasons == {
        None, "provider_flag", "hidden_link", "prefetch", "security_gateway", "instant", "link_burst",
        "scanner_network", "privacy_proxy", "click_without_open", "image_cache",
    }  # fmt: skip


@given(seed=seeds)
@few_examples
def test_any_history_of_builds_ends_in_what_a_full_refresh_makes(store: Settings, seed: int) -> None:
    """Loads in any order, late and repeated reports, withdrawals, addresses read otherwise, clocks, changed rules."""
    chance = random.Random(seed)
    pool: list[Report] = []
    for number in range(250):
        message = None if chance.random() < 0.05 else f"m{number}"
        # many of them around midnight
        day = AS_OF - timedelta(days=chance.randint(2, 60))
        starts_at = day + timedelta(seconds=chance.choice([-6, -1, 0, 40_000]))
        pool += story(chance, message, starts_at, f"e{number}")
    chance.shuffle(pool)
    waiting, loaded = pool[len(pool) // 2 :], pool[: len(pool) // 2]
    support.add(store, loaded, "l0")
    support.first_build(store)
    full_refresh = support.sql_of_a_full_refresh(store)
    loads = ["l0"]

    def more(size: int) -> None:
        nonlocal waiting
        new, waiting = waiting[:size], waiting[size:]
        again = []
        for report in chance.sample(loaded, 8):
            change = chance.choice(["same", "day", "message", "earlier", "event", "elsewhere", "elsewhere"])
            other = chance.choice(loaded)
            again.append(
                {
                    "same": report,
                    "day": replace(report, occurred_at=other.occurred_at, received_at=other.received_at),
                    "message": replace(
                        report, message_id=other.message_id, received_at=report.received_at - timedelta(hours=1)
                    ),
                    "earlier": replace(report, received_at=report.received_at - timedelta(days=30)),
                    # first of all, on another day and in another message
                    "elsewhere": replace(
                        other, event_id=report.event_id, received_at=report.received_at - timedelta(days=9)
                    ),
                    "event": replace(report, event=other.event, received_at=report.received_at - timedelta(hours=2)),
                }[change]
            )
        loads.append(f"l{len(loads)}")
        support.add(store, [*new, *again], loads[-1])
        loaded.extend(new)

    def change(sql: str, *values: object) -> None:
        with connect(store, purpose="test") as con:
            con.execute(sql, list(values))

    def withdraw() -> None:
        change("delete from raw.email_events where _load_id = ?", loads[-1])

    def withdraw_part() -> None:
        change("delete from raw.email_events where _row_number % 17 = ?", chance.randrange(17))

    def misread() -> None:
        change(
            "update raw.identifier_normalized set is_valid = not is_valid, normalized_value = 'x@shop.org' "
            "where raw_value = 'ANN@shop.org'"
        )

    def another_clock() -> None:
        support.set_clock(store, AS_OF - timedelta(days=20))
        more(20)

    def other_rules() -> None:
        change("update analytics.machine_rules set max_seconds = 1 where rule = 'instant'")
        change("delete from analytics.machine_signatures where field = 'ip'")

    days = [
        [lambda: more(3)], [withdraw, lambda: more(40)], [withdraw_part], [misread], [another_clock],
        [lambda: support.set_clock(store, AS_OF)], [other_rules], [lambda: change("delete from raw.email_events")],
    ]  # fmt: skip
    before = support.contents(store)
    assert before == support.contents(store, full_refresh)
    for steps in days:
        for step in steps:
            step()
        support.build(store)
        now = support.contents(store)
        assert now == support.contents(store, full_refresh)
        assert now != before  # each day meant something
        before = now
    assert not before


def test_a_build_leaves_alone_what_nothing_changed(store: Settings) -> None:
    """Rows of the late-arrival window, of changed days and of the messages on them are made anew, and no others."""

    def event(name: str, days: int, message: str, event: str = "open", hour: int = 12) -> Report:
        at = AS_OF - timedelta(days=days) + timedelta(hours=hour)
        return Report(name, event, "ann@shop.org", message, at, at)

    support.add(
        store,
        [
            event("newest", 1, "m1"), event("inside", 4, "m2"), event("outside", 5, "m3"), event("old", 30, "m4"),
            event("day_of_late", 40, "m5"), event("sent_before", 42, "m5", "sent"), event("beside", 41, "m6"),
        ],
        "l0",
    )  # fmt: skip
    support.first_build(store, "fct_email_events")
    with connect(store, purpose="test") as con:
        con.execute("update analytics.int_email__events set campaign_id = 'as it was'")
    support.add(store, [replace(event("late", 40, "m7"), ip="10.0.0.1")], "l1")
    support.build(store)
    kept = support.rows(store, "select email_event_id from analytics.int_email__events where campaign_id = 'as it was'")
    assert {name for (name,) in kept} == {"outside", "old", "beside"}

    # whom an address belongs to is not in what is kept: it shows at once, without a build
    read = "select distinct profile_id, linked_at from analytics.fct_email_events"
    assert support.rows(store, read) == [(None, None)]
    with connect(store, purpose="test") as con:
        con.execute(
            "insert into analytics.int_identity__identifier_profiles values ('email', 'ann@shop.org', 'P', ?, ?)",
            [AS_OF, AS_OF],
        )
    assert support.rows(store, read) == [("P", AS_OF)]

    # a build that fails half-way takes nothing away
    before = support.contents(store)
    with connect(store, purpose="test") as con:
        con.execute(
            "insert into analytics.machine_signatures values ('instant', 'ip', 'network', '10.0.0.0/all', null)"
        )
    support.fail(store)
    assert support.contents(store) == before

    # another zone moves the days of everything
    with connect(store, purpose="test") as con:
        con.execute("delete from analytics.machine_signatures where pattern = '10.0.0.0/all'")
        con.execute("update analytics.int_email__events set campaign_id = 'as it was'")
    support.build(store, business_time_zone="Pacific/Kiritimati")
    days = "select distinct campaign_id, occurred_on - occurred_at::date from analytics.int_email__events"
    assert support.rows(store, days) == [(None, 1)]

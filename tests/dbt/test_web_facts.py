"""Web events and the day rollup, build by build: whatever came, left or moved, every table is as if made anew.

Each dbt run takes in many devices at once. After it, every table equals what a full refresh writes, and the facts equal
those that an oracle works out from the raw rows.
"""

from __future__ import annotations

import random
import shutil
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd
import pytest
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.dbt.features_support import COLUMNS, dbt, names
from warehouse.connection import connect
from warehouse.settings import Settings

ZONE = ZoneInfo("Europe/Berlin")
START = datetime(2026, 3, 20)
"""Summer time begins in the midst of the days that follow."""
DAYS = 24
DEVICES = 25
MODELS = ("stg_web__events", "int_web__events", "fct_web_events", "identifier_daily", "profile_daily")
KEYS = {
    "stg_web__events": "load_id, row_number",
    "int_web__events": "load_id, row_number",
    "fct_web_events": "web_event_id",
    "identifier_daily": "identifier_type, identifier_value, activity_on",
    "profile_daily": "profile_id, activity_on",
}
RAW = (
    "message_id", "type", "event", "anonymous_id", "user_id", "timestamp", "received_at", "properties", "context",
    "_loaded_at", "_load_id", "_row_number",
)  # fmt: skip
UPSTREAM = ("clock", "int_identity__identifier_profiles", "fct_email_events", "fct_orders", "int_orders__lines")

few_examples = hypothesis_settings(
    max_examples=1,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=(HealthCheck.function_scoped_fixture, HealthCheck.too_slow),
)
"""An example is many dbt runs: hypothesis draws the seed, and shrinks nothing."""
seeds = st.integers(1, 2**32)

Row = dict[str, Any]


class World:
    """A warehouse whose raw rows come, go and move; what a build reads is written by `write`."""

    def __init__(self, store: Settings, chance: random.Random) -> None:
        self.store, self.chance = store, chance
        self.raw: list[Row] = []
        self.as_of = START + timedelta(days=18)
        self.known_at = self.as_of
        self.n_loads = self.n_messages = 0
        self.mails: list[Row] = []
        self.orders: list[Row] = []
        self.lines: list[Row] = []
        self.owners = {f"{kind}{n}": f"p{n % 11}" for kind in "ubm" for n in range(DEVICES)}

    def instant(self) -> datetime:
        """Anywhere in the days, or close to a local midnight."""
        at = START + timedelta(minutes=self.chance.randint(0, DAYS * 1440))
        if self.chance.random() < 0.6:
            local = datetime.combine(at.date(), datetime.min.time(), ZONE)
            at = local.astimezone(ZoneInfo("UTC")).replace(tzinfo=None) + timedelta(
                minutes=self.chance.randint(-70, 70)
            )
        return at

    def load(self, n: int, around: datetime | None = None) -> None:
        """A file of events in any order: new ones, runs over midnight, deliveries once more, some dated ahead. With
        `around`, a handful close to that instant: all other days should stay as they are."""
        self.n_loads += 1
        rows: list[Row] = []
        for _ in range(n):
            at = around + timedelta(minutes=self.chance.randint(-80, 80)) if around else self.instant()
            rows.append(self.event(at))
        for row in self.chance.sample(self.raw, min(len(self.raw), 1 if around else n // 5)):
            again = dict(row)
            again["timestamp"] = row["timestamp"] + timedelta(minutes=self.chance.choice([0, 0, -1500, -20, 5, 1500]))
            again["received_at"] = again["timestamp"] + timedelta(minutes=self.chance.choice([0, 1, 3000]))
            rows.append(again)
        if not around:
            # a machine that never rests: its session goes on over days
            device, begins = self.chance.randrange(DEVICES), self.instant()
            rows += [self.event(begins + timedelta(minutes=25 * i), device) for i in range(160)]
        self.chance.shuffle(rows)
        for number, row in enumerate(rows):
            row |= {"_load_id": f"load{self.n_loads}", "_row_number": number, "_loaded_at": self.as_of}
        self.raw += rows

    def event(self, at: datetime, device: int | None = None) -> Row:
        self.n_messages += 1
        number = self.chance.randrange(DEVICES) if device is None else device
        kind = self.chance.choices(["page", "track", "identify"], [6, 3, 1])[0]
        late = self.chance.choices([0, 1, 60, 4000], [6, 6, 2, 1])[0]
        return {
            "message_id": f"message{self.n_messages:05}",
            "type": kind,
            "event": self.chance.choice(["Product Viewed", "Product Added"]) if kind == "track" else None,
            "anonymous_id": self.chance.choice([f"b{number}", f"b{number}", f" b{number} ", None]),
            "user_id": self.chance.choice([f"u{number}", None, None]),
            "timestamp": at,
            "received_at": at + timedelta(minutes=late) if self.chance.random() < 0.95 else None,
            "properties": f'{{"email": "m{number}@x.test"}}' if kind == "identify" else '{"product_id": "p1"}',
            "context": None,
        }

    def withdraw(self) -> None:
        loads = sorted({row["_load_id"] for row in self.raw})
        gone = self.chance.choice(loads)
        self.raw = [row for row in self.raw if row["_load_id"] != gone]

    def sell_and_mail(self) -> None:
        """Mails and orders, of which some change: a return later, a mail that turns out to be a machine's."""
        for row in self.orders:
            if self.chance.random() < 0.1:
                row |= {"net_quantity": 0, "net_revenue": 0, "is_purchase": False}
        for row in self.mails:
            if self.chance.random() < 0.05:
                row["is_machine"] = not row["is_machine"]
        self.lines = [row for row in self.lines if self.chance.random() < 0.9]
        for _ in range(15):
            at, who = self.instant(), f"u{self.chance.randrange(DEVICES)}"
            whose = {"identifier_type": "user_id", "identifier_value": who, "known_at": at}
            self.n_messages += 1
            kind = self.chance.choice(["sent", "open", "click"])
            self.mails.append(
                {**whose, "email_event_id": f"e{self.n_messages}", "event_type": kind, "occurred_at": at,
                 "occurred_on": local(at), "is_machine": self.chance.random() < 0.3}
            )  # fmt: skip
            bought = {**whose, "ordered_at": at, "ordered_on": local(at), "order_id": f"o{self.n_messages}"}
            self.orders.append({**bought, "net_quantity": 2, "net_revenue": 7, "is_purchase": True})
            self.lines.append(
                {**bought, "order_line_id": f"l{self.n_messages}", "order_type": "sale",
                 "excluded_reason": self.chance.choice([None, "cancelled_order"])}
            )  # fmt: skip

    def write(self) -> None:
        """What stands upstream of the models."""
        links = [
            {"identifier_type": {"u": "user_id", "b": "anonymous_id", "m": "email"}[name[0]], "identifier_value": name,
             "profile_id": profile, "linked_at": START}
            for name, profile in self.owners.items()
        ]  # fmt: skip
        rows = {
            "clock": [{"as_of": self.as_of, "known_at": self.known_at}],
            "int_identity__identifier_profiles": links,
            "fct_email_events": self.mails,
            "fct_orders": self.orders,
            "int_orders__lines": self.lines,
        }
        with connect(self.store, purpose="test") as con:
            con.execute("create schema if not exists analytics; create schema if not exists raw")
            con.execute(
                """create or replace table raw.web_events (message_id text, type text, event text, anonymous_id text,
                   user_id text, "timestamp" timestamp, received_at timestamp, properties text, context text,
                   _loaded_at timestamp, _load_id text, _row_number bigint)"""
            )
            con.execute(
                """create or replace table raw.identifier_normalized (identifier_type text, raw_value text,
                   normalized_value text, identity_value text, is_valid boolean, reason text, is_role boolean,
                   is_disposable boolean)"""
            )
            insert(con, "raw.web_events", [[row[column] for column in RAW] for row in self.raw])
            rules = self.chance.randint(0, 1)
            addresses = [
                ["email", f"m{n}@x.test", f"m{n}", f"m{n}" if n % 5 else f"box{rules}", True, None, n % 7 == rules, 0]
                for n in range(DEVICES)
            ]
            insert(con, "raw.identifier_normalized", addresses)
            for table in UPSTREAM:
                con.execute(f"create or replace table analytics.{table} ({COLUMNS[table]})")
                wanted = names(table)
                insert(con, f"analytics.{table}", [[row.get(column) for column in wanted] for row in rows[table]])

    def deliveries(self) -> list[Row]:
        """Pages and tracked events that can be seen, as the documentation has it: no code is shared."""
        seen = []
        for row in self.raw:
            received = row["received_at"]
            at = row["timestamp"] if received is None else min(row["timestamp"], received)
            known = row["_loaded_at"] if received is None else received
            if row["type"] != "identify" and at < self.as_of and known <= self.known_at:
                seen.append({**row, "occurred_at": at, "known_at": known})
        return seen

    def expected(self, minutes: int = 30) -> dict[str, tuple[Any, ...]]:
        """message → (load, row, first message of its session, is start)."""
        first: dict[str, Row] = {}
        far = START + timedelta(days=10_000)
        for row in sorted(
            self.deliveries(),
            key=lambda r: (r["received_at"] or far, r["occurred_at"], r["_load_id"], r["_row_number"]),
        ):
            first.setdefault(row["message_id"], row)
        devices: dict[str, list[Row]] = defaultdict(list)
        for row in first.values():
            browser = (row["anonymous_id"] or "").strip()
            devices["b" + browser if browser else "u" + row["user_id"] if row["user_id"] else row["message_id"]].append(
                row
            )
        found = {}
        for events in devices.values():
            last, start = None, ""
            for row in sorted(events, key=lambda r: (r["occurred_at"], r["message_id"])):
                begins = last is None or row["occurred_at"] - last > timedelta(minutes=minutes)
                start = row["message_id"] if begins else start
                last = row["occurred_at"]
                found[row["message_id"]] = (row["_load_id"], row["_row_number"], start, begins)
        return found


def local(at: datetime) -> date:
    return at.replace(tzinfo=ZoneInfo("UTC")).astimezone(ZONE).date()


def insert(con: Any, table: str, rows: Iterable[list[Any]]) -> None:
    found = pd.DataFrame(list(rows)).astype(object)
    if len(found):
        con.register("found", found)
        con.execute(f"insert into {table} select * from found")
        con.unregister("found")


def run(store: Settings, *models: str, full: bool = False, minutes: int = 30) -> None:
    variables = {"business_time_zone": str(ZONE), "session_inactivity_minutes": minutes}
    if minutes == 30:
        del variables["session_inactivity_minutes"]
    dbt(store, "run", *(["--full-refresh"] if full else []), "--select", *models, variables=variables)


def tables(store: Settings) -> dict[str, list[tuple[Any, ...]]]:
    with connect(store, read_only=True) as con:
        return {
            name: con.execute(f"select * from analytics.{name} order by {key}").fetchall() for name, key in KEYS.items()
        }


def facts(store: Settings) -> dict[str, tuple[Any, ...]]:
    """message → (load, row, first message of its session, is start), as the models have it."""
    with connect(store, read_only=True) as con:
        rows = con.execute(
            """select web_event_id, load_id, row_number, min(web_event_id) filter (where is_session_start) over (
                   partition by session_id), is_session_start
               from analytics.int_web__events where delivery = 1"""
        ).fetchall()
    return {row[0]: row[1:] for row in rows}


def check(world: World, minutes: int = 30) -> None:
    """The facts are the oracle's; and every table is what a full refresh writes, after which the store is put back."""
    store = world.store
    expected = world.expected(minutes)
    assert len(expected) > 50
    assert facts(store) == expected
    built = tables(store)
    kept = store.warehouse_path.with_suffix(".kept")
    shutil.copyfile(store.warehouse_path, kept)
    run(store, *MODELS, full=True, minutes=minutes)
    anew = tables(store)
    assert {name for name in KEYS if built[name] != anew[name]} == set()
    kept.replace(store.warehouse_path)


@pytest.fixture
def new_store(one_place: Callable[[], Path]) -> Callable[[], Settings]:
    """An empty warehouse, the last one gone; always at the same path, so that dbt parses the project once."""
    return lambda: Settings(home=one_place(), target="prod", lock_timeout_seconds=30)


@given(seed=seeds)
@few_examples
def test_every_build_is_as_if_made_anew(new_store: Callable[[], Settings], seed: int) -> None:
    chance = random.Random(seed)
    world = World(new_store(), chance)
    for step in range(5):
        if not step:
            world.load(600)
            world.load(300)
        for _ in range(chance.randint(1, 3)):
            world.load(chance.choice([1, 4, 8]), around=world.instant())
        if step > 1 and chance.random() < 0.7:
            world.withdraw()
        world.sell_and_mail()
        world.as_of += timedelta(hours=chance.choice([0, 1, 30, 70]))
        world.known_at = world.as_of + timedelta(hours=chance.choice([0, 0, 30]))
        for name in chance.sample(sorted(world.owners), 5):
            world.owners[name] = f"p{chance.randrange(11)}"
        world.write()
        if step:
            # a build that ended half-way
            run(world.store, *MODELS[: chance.randint(1, 4)])
            if chance.random() < 0.5:
                world.load(3, around=world.instant())
                world.write()
        run(world.store, *MODELS)
        check(world)


def test_other_rules_make_everything_anew(new_store: Callable[[], Settings]) -> None:
    world = World(new_store(), random.Random(7))
    world.load(300)
    world.write()
    run(world.store, *MODELS)
    run(world.store, *MODELS, minutes=45)
    check(world, minutes=45)


def test_as_many_rows_of_a_load_may_be_others(new_store: Callable[[], Settings]) -> None:
    """One is hidden because the warehouse knew it later, another one comes because it has happened by now."""
    world = World(new_store(), random.Random(5))
    world.load(300)
    early, late = START + timedelta(days=5), START + timedelta(days=12, hours=10)
    world.raw = [row for row in world.raw if row["timestamp"] < late - timedelta(hours=16)]  # nothing else of that day
    world.load(2, around=early)
    first, other = [row for row in world.raw if row["_load_id"] == "load2"][:2]
    for row, at, received_at in ((first, late, late), (other, early, late + timedelta(days=3))):
        row |= {"type": "page", "event": None, "timestamp": at, "received_at": received_at}
    world.raw = [row for row in world.raw if row["_load_id"] != "load2" or row in (first, other)]
    world.as_of, world.known_at = late - timedelta(hours=14), late + timedelta(days=4)
    world.write()
    run(world.store, *MODELS)
    world.as_of = world.known_at = late + timedelta(hours=2)
    world.write()
    run(world.store, *MODELS)
    check(world)


def test_a_minute_after_midnight_is_not_lost(
    new_store: Callable[[], Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clocks were set back at 00:01: the first minute of the 7th, from 02:30 UTC, lies within the 6th. What comes
    late is of that minute, and its session began before."""
    monkeypatch.setattr(sys.modules[__name__], "ZONE", ZoneInfo("America/St_Johns"))
    monkeypatch.setattr(sys.modules[__name__], "START", datetime(2010, 10, 20))
    world = World(new_store(), random.Random(11))
    world.load(500)
    end = datetime(2010, 11, 6, 12)
    world.raw = [row for row in world.raw if row["timestamp"] < end and (row["received_at"] or end) <= end]

    def arrives(*instants: datetime) -> None:
        world.n_loads += 1
        for number, at in enumerate(instants):
            row = world.event(at, 1) | {"type": "page", "event": None, "anonymous_id": "b1", "received_at": at}
            world.raw.append(row | {"_load_id": f"load{world.n_loads}", "_row_number": number, "_loaded_at": at})

    arrives(datetime(2010, 11, 7, 2, 15), datetime(2010, 11, 9, 12))
    world.as_of = world.known_at = datetime(2010, 11, 9, 18)
    world.write()
    run(world.store, *MODELS)
    arrives(datetime(2010, 11, 7, 2, 30, 20))
    world.write()
    run(world.store, *MODELS)
    check(world)

"""Whatever comes late, twice or out of order, and wherever a pull ends: each event lies in the raw table once."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reverse_etl import pull as pulling
from reverse_etl.destination import Traffic
from reverse_etl.engagement import EngagementPage, Since, newest
from reverse_etl.errors import DestinationDown
from reverse_etl.webhooks.rows import EmailEvent
from warehouse.connection import connect
from warehouse.ids import new_id
from warehouse.settings import Settings

START = datetime(2026, 6, 1)
OVERLAP_HOURS = 24
STREAMS = ("ascending", "newest first")
HISTORIES = 20


class Killed(BaseException):
    """The process ends here."""


@dataclass(frozen=True)
class Happened:
    """An event, and when the vendor shows it."""

    key: str
    stream: str
    at: datetime
    shown_at: datetime


@dataclass
class Vendor:
    """Pages of `size`; each item may be told again on the next page; ends after `ends_after` pages, if any."""

    happened: list[Happened]
    now: datetime = START
    size: int = 2
    ends_after: int | None = None
    is_kill: bool = False
    key: str = field(default_factory=lambda: new_id("vendor"))
    kind: str = "hubspot"
    traffic: Traffic = field(default_factory=Traffic)

    def pull_engagement(self, since: Since, now: datetime) -> Iterator[EngagementPage]:
        n = 0
        for stream in STREAMS:
            after = since(stream)
            shown = [h for h in self.happened if h.stream == stream and h.shown_at <= now]
            wanted = [h for h in shown if after is None or h.at >= after]
            is_ascending = stream == "ascending"
            wanted.sort(key=lambda h: (h.at, h.key), reverse=not is_ascending)
            reached = after
            for at in range(0, max(1, len(wanted)), self.size):
                if n == self.ends_after:
                    raise Killed if self.is_kill else DestinationDown("gone")
                n += 1
                told = wanted[max(0, at - 1) : at + self.size]  # the last one of the page before, again
                rows = tuple(EmailEvent(h.key, "open", "a@shop.test", h.at, now) for h in told)
                page = EngagementPage(stream, rows)
                reached = newest(page, now, reached)
                is_last = at + self.size >= len(wanted)
                yield EngagementPage(stream, rows, reached=reached if is_ascending or is_last else None)


@dataclass
class Loaded:
    rows_loaded: int
    rows_quarantined: int = 0


@dataclass
class Loader:
    """Puts the files into the raw table; ends before or after the n-th time, if asked to."""

    ends_at: int | None = None
    ends_after: bool = False
    n: int = 0

    def __call__(self, settings: Settings, folder: Path, /) -> Loaded:
        self.n += 1
        if self.n == self.ends_at and not self.ends_after:
            raise Killed
        rows: list[Any] = []
        for path in sorted(folder.glob("email_events/*.jsonl")):
            rows += [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        with connect(settings, purpose="test") as con:
            con.executemany("insert into raw.email_events values (?)", [[row["event_id"]] for row in rows])
        if self.n == self.ends_at:
            raise Killed
        return Loaded(len(rows))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """One warehouse for all histories; each has a destination of its own."""
    made = Settings(home=tmp_path_factory.mktemp("engagement"), target="prod", lock_timeout_seconds=30)
    with connect(made, purpose="test") as con:
        con.execute("create schema raw")
        con.execute("create table raw.email_events (event_id text)")
        yield made


# dense enough that what a pull has not seen is often older than what it has, by more than half of the overlap
events = st.lists(
    st.tuples(st.sampled_from(STREAMS), st.integers(0, 96), st.sampled_from((0, 1, 14, 20, OVERLAP_HOURS - 1))),
    min_size=8,
    max_size=16,
)
runs = st.lists(
    st.tuples(
        st.integers(6, 40),  # hours until it starts
        st.sampled_from(["good", "down", "killed while reading", "killed before a load", "killed after a load"]),
        st.integers(1, 3),  # at which page or load
        st.sampled_from((1, 4, 50)),  # rows per load
    ),
    min_size=2,
    max_size=5,
)


@pytest.mark.usefixtures("rows_per_load_as_before")
@settings(max_examples=HISTORIES, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(happened=events, history=runs)
def test_each_event_lies_there_once(place: Settings, happened: list[Any], history: list[Any]) -> None:
    vendor = Vendor([])
    for n, (stream, at, late) in enumerate(happened):
        instant = START + timedelta(hours=at)
        vendor.happened.append(Happened(f"{vendor.key}/{n}", stream, instant, instant + timedelta(hours=late)))
    for wait, end, nth, rows_per_load in history:
        vendor.now += timedelta(hours=wait)
        pulling.ROWS_PER_LOAD = rows_per_load
        vendor.ends_after = nth - 1 if end in {"down", "killed while reading"} else None
        vendor.is_kill = end == "killed while reading"
        loader = Loader(nth if "load" in end else None, ends_after=end == "killed after a load")
        try:
            pulling.pull(place, "hubspot", load=loader, destination=vendor, now=lambda: vendor.now)  # pyright: ignore[reportArgumentType]
        except (Killed, DestinationDown):
            assert end != "good"
    vendor.now, vendor.ends_after = START + timedelta(days=30), None
    final = pulling.pull(place, "hubspot", load=Loader(), destination=vendor, now=lambda: vendor.now)  # pyright: ignore[reportArgumentType]
    with connect(place, purpose="test") as con:
        found = con.execute("select event_id from raw.email_events where starts_with(event_id, ?)", [vendor.key + "/"])
        there = Counter(key for (key,) in found.fetchall())
    assert there == Counter(h.key for h in vendor.happened)
    assert max(final.cursors.values()) <= vendor.now


@pytest.fixture(scope="module")
def rows_per_load_as_before() -> Iterator[None]:
    before = pulling.ROWS_PER_LOAD
    yield
    pulling.ROWS_PER_LOAD = before

"""Reverse ETL at the size of a large shop: plans, acknowledgements, and the vendors' limits on a virtual clock.

A plan is `mailwright plan`: from the activation table to a stored plan, for a destination that holds everybody already,
beside a plain DuckDB full join of `hash()`es of today's and yesterday's rows. Acknowledging is what a run writes around
its requests. How fast people can be sent is simulated: sending them would take a vendor's patience, and an account.
drt-core, another tool, does the same work beside us where MAILWRIGHT_BENCH_DRT names it (`_peer_drt.py`).

    python -m benchmarks.reverse_etl [people … (100_000 1_000_000 10_000_000: half an hour, and 12 GB of disk)]
"""

from __future__ import annotations

import functools
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from statistics import median
from typing import Any

import duckdb

from benchmarks import _peer_drt as peer_tool
from benchmarks import _sending_people as people
from benchmarks._reverse_etl_tables import COLUMNS, SYNC, AllThere, change, installation
from reverse_etl import ledger, runner, sending
from reverse_etl.declaration import read_sync
from reverse_etl.destination import CONFIRMED, BatchOutcome
from reverse_etl.destinations.mailchimp import Mailchimp
from reverse_etl.diff import Scope
from warehouse.connection import connect
from warehouse.settings import Settings

SIZES = (100_000, 1_000_000, 10_000_000)
ACKNOWLEDGED = 100_000
PAIRS = 3
PEER = """
    create or replace table analytics.peer_plan as
    select
        coalesce(d.subscriber_hash, y.subscriber_hash) as subscriber_hash,
        case when y.subscriber_hash is null then 'create' when d.subscriber_hash is null then 'remove' else 'update' end
            as operation,
        d.row_hash
    from (select subscriber_hash, hash({columns}) as row_hash from analytics.sync_esp__members) as d
    full join (select subscriber_hash, hash({columns}) as row_hash from analytics.yesterday) as y
        on d.subscriber_hash = y.subscriber_hash
    where d.row_hash is distinct from y.row_hash"""


class Full(AllThere, Mailchimp):
    """An audience that holds everybody."""


def apart(work: Callable[..., Any], *args: Any) -> Any:
    """What `work` finds in a process of its own, whose memory ends with it."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work, *args).result()


def peak() -> float:
    """GiB of this process, at most, so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def audience(n: int) -> Full:
    found = Full("key-us0", "bench")
    found.n_members = n
    return found


def timed(work: Callable[[], Any]) -> tuple[float, float, Any]:
    """(seconds, processor seconds, what it returned)"""
    began, cpu = time.monotonic(), time.process_time()
    result = work()
    return time.monotonic() - began, time.process_time() - cpu, result


def make_plan(settings: Settings, n: int, n_changed: int) -> tuple[float, float, float]:
    """(seconds, processor seconds, GiB); ends the benchmark where the plan is wrong."""
    seconds, cpu, plan = timed(lambda: runner.plan(settings, SYNC, destination=audience(n)))
    if (plan.updated, plan.unchanged, plan.guards) != (n_changed, n - n_changed, ()):
        sys.exit(f"of {n} people {n_changed} changed, and the plan says {plan.to_dict()}")
    return seconds, cpu, peak()


def peer(settings: Settings, n_changed: int) -> tuple[float, float]:
    with duckdb.connect(str(settings.warehouse_path)) as con:
        con.execute(f"set threads = {settings.threads}; set memory_limit = '{settings.memory_limit}'")
        con.execute("set enable_progress_bar = false")
        query = PEER.format(columns=", ".join(COLUMNS))
        seconds, cpu, _ = timed(lambda: con.execute(query))
        found = con.execute("select count(*) from analytics.peer_plan").fetchall()[0][0]
        con.execute("drop table analytics.peer_plan")
    if found != n_changed:
        sys.exit(f"{n_changed} people changed, and the plain join finds {found}")
    return seconds, cpu


def pairs(settings: Settings, n: int, n_changed: int) -> list[tuple[tuple[float, float], tuple[float, float, float]]]:
    """The plain join and the plan, in turn."""
    return [(peer(settings, n_changed), make_plan(settings, n, n_changed)) for _ in range(PAIRS)]


def acknowledge(settings: Settings, n: int, n_changed: int) -> dict[str, float]:
    """Seconds of what the runner writes around the requests of the newest plan, wave by wave: taking records (reading
    them, making their fields, marking them as sent), and acknowledging them (writing how they ended, with all that its
    connection takes)."""
    declaration, destination = read_sync(settings, SYNC), audience(n)
    with connect(settings) as con:
        plan_id = con.execute("select max(plan_id) from ledger.sync_plan_items").fetchall()[0][0]
        waves = ledger.waves(con, plan_id, sending.BATCHES_PER_WAVE, sending.people_per_wave(n))
    scope = Scope(plan_id, settings.schema, declaration, destination.key)
    took = {"take": 0.0, "rows": 0.0, "waves": float(len(waves))}

    def take(con: duckdb.DuckDBPyConnection, numbers: list[int]) -> list[ledger.Batch]:
        con.execute("begin")
        batches, _ = ledger.take_wave(con, scope, "sync_bench", numbers, destination)
        con.execute("commit")
        return batches

    results: list[tuple[ledger.Batch, BatchOutcome]] = []
    began, cpu = time.monotonic(), time.process_time()
    for numbers in [*(numbers for _, numbers in waves), []]:
        with connect(settings) as con:
            if results:
                con.execute("begin")
                ledger.record_outcomes(con, scope, "sync_bench", results)
                con.execute("commit")
            if numbers:
                seconds, _, batches = timed(functools.partial(take, con, numbers))
                took["take"] += seconds
                took["rows"] += sum(len(batch.records) for batch in batches)
                results = [(batch, BatchOutcome(CONFIRMED)) for batch in batches]
    took["acknowledge"] = time.monotonic() - began - took["take"]
    took["cpu"] = time.process_time() - cpu
    took["GiB"] = peak()
    with connect(settings) as con:
        done = con.execute(
            """select count(*) from ledger.sync_state as s
               inner join ledger.sync_plan_items as i on s.record_key = i.record_key
               where s.state = 'confirmed' and s.confirmed_hash = i.desired_hash and not s.is_doubtful"""
        ).fetchall()[0][0]
    if not done == took["rows"] == n_changed:
        sys.exit(f"{took['rows']:.0f} of {n_changed} rows were sent, {done} are confirmed")
    return took


def of_size(n: int, folder: str) -> tuple[list[str], list[str]]:
    """(lines about plans, lines about acknowledgements)"""
    print(f"{n:,} people …", file=sys.stderr)
    settings = apart(installation, folder, "mailchimp", n, audience(n).key)
    first = apart(make_plan, settings, n, 0)
    n_changed = apart(change, settings, 100)
    found = apart(pairs, settings, n, n_changed)
    print(first, found, file=sys.stderr)
    join, ours = median(p[0] for p, _ in found), median(o[0] for _, o in found)
    cpu = median(o[1] / p[1] for p, o in found)
    plans = [
        f"| {n:,} | {n_changed:,} | {join:.2f} | {ours:.2f} | {median(o[0] / p[0] for p, o in found):.1f} ({cpu:.1f}) "
        f"| {max(o[2] for _, o in found):.1f} | {first[0]:.1f} | {first[2]:.1f} |"
    ]
    n_changed = apart(change, settings, max(1, n // ACKNOWLEDGED))
    apart(make_plan, settings, n, n_changed)
    took = apart(acknowledge, settings, n, n_changed)
    print(took, file=sys.stderr)
    acknowledged = [
        f"| {n:,} | {took['waves']:.0f} | {took['take']:.2f} | {took['acknowledge']:.2f} | {took['cpu']:.2f} "
        f"| {took['GiB']:.1f} |"
    ]
    apart(make_plan, settings, n, 0)  # nothing is left to be sent
    return plans, acknowledged


def measure(sizes: Sequence[int]) -> list[str]:
    """Lines of Markdown."""
    plans: list[str] = []
    acknowledged: list[str] = []
    for n in sizes:
        with tempfile.TemporaryDirectory() as folder:
            some, others = of_size(n, folder)
        plans += some
        acknowledged += others
    return [
        f"Plans of {len(COLUMNS)} mapped columns, the addresses of everybody and no segments, 2 threads, 4 GB for",
        "DuckDB (the default). The ledger was written in bulk, as a first sync and a pull would have left it: two",
        "attempts, a state and a member for each person. Median of three pairs, in turn, of a plain full join of",
        "`hash()`es of today's and yesterday's rows (its plan written to a table) and the whole of `mailwright plan`.",
        "The first plan after a first sync computes everybody's MD5 and remembers a number for each row.",
        "",
        "| people | changed | join, s | plan, s | ratio, goal 3 (of processor time) | GiB, goal 8 "
        "| first plan, s | GiB |",
        "|---|---|---|---|---|---|---|---|",
        *plans,
        "",
        f"{ACKNOWLEDGED:,} updates, wave by wave, as a run does around its requests (which are not in it). *Taking*",
        "reads them, makes their fields and marks them as sent; *acknowledging* opens the warehouse, writes how they",
        "ended, and closes it with its checkpoint. A plan made afterwards has nothing to send.",
        "",
        "| people in the ledger | waves | taking, s | acknowledging, s, goal 3 | processor of both, s | GiB |",
        "|---|---|---|---|---|---|",
        *acknowledged,
    ]


def main() -> None:
    sizes = [int(text.replace("_", "")) for text in sys.argv[1:]] or list(SIZES)
    print("\n".join(measure(sizes)))
    print()
    print("\n".join(people.measure(min(max(sizes), people.PEOPLE))))
    print()
    print("\n".join(peer_tool.measure()))


if __name__ == "__main__":
    main()

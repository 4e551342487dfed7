"""Who is who, from string identifiers to stable profile ids, beside plain connected components of the same edges.

Ours are the dbt models from `int_identity__fingerprints` to `int_identity__resolved`: encoding, what changed,
quarantine, refused edges, strengths, components to a fixpoint, attached identifiers, names from the registry. The peer
encodes the same strings in DuckDB, calls scipy's `connected_components` and decodes: no limits, no rules, no ids that
last. Then a day's new edges come, and the same models take them in. Each time the two partitions have to be equal.

    python -m benchmarks.identity [millions of edges, 10]
"""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import duckdb

from warehouse.dbt import dbt_environment, dbt_executable
from warehouse.settings import PROJECT_DIR, Settings
from warehouse.state import ensure_state

CHAIN = 20_000
DAY = 5_000
"""New edges per million."""
MODELS = (
    "identifier_types", "identifier_parts", "identity_budgets", "blocked_identifiers", "int_identity__fingerprints",
    "int_identity__region",
    "int_identity__identifiers", "int_identity__quarantine", "int_identity__edges", "int_identity__components",
    "int_identity__attachments", "identity_registry", "int_identity__resolved",
)  # fmt: skip
TYPES = "['email', 'user_id', 'customer_id', 'contact_id', 'loyalty_card']"


def write_graph(con: duckdb.DuckDBPyConnection, millions: float) -> tuple[int, int]:
    """Observed edges and sightings of so many million edges and .9 identifiers per edge, in people of 2 to a dozen, and
    one chain of CHAIN identifiers; (edges, identifiers)."""
    nodes, people = int(millions * 891_000), int(millions * 200_000)
    con.execute(
        f"""create temp table nodes as
            select p, row_number() over (partition by p order by i) - 1 as k,
                {TYPES}[1 + cast(hash(i) % 5 as int)] as t,
                case when hash(i) % 5 = 0 then 'person' || i || '@shop.example'
                     else substr(md5(cast(i as text)), 1, 16) end as v
            from (select i, hash(i * 7 + 3) % {people} as p from range({nodes}) as r(i)) as drawn"""
    )
    con.execute("create temp table sizes as select p, count(*) as n from nodes group by p")
    extra = int(millions * 1_000_000) - (nodes - people) - CHAIN
    con.execute(
        f"""create temp table pairs as
            select p, k as a, k - 1 - cast(hash(p * 31 + k) % least(k, 3) as bigint) as b, hash(p, k) as h
            from nodes where k > 0
            union all
            select s.p, cast(hash(r.i, 1) % s.n as bigint), cast(hash(r.i, 2) % s.n as bigint), hash(r.i, 9)
            from range({9 * extra}) as r(i) inner join sizes as s on s.p = hash(r.i, 5) % {people} and s.n <= 6"""
    )
    con.execute(
        f"""create or replace table analytics.int_identity__observed_edges as
            with named as (
                select least(x.t || '\t' || x.v, y.t || '\t' || y.v) as l,
                    greatest(x.t || '\t' || x.v, y.t || '\t' || y.v) as r,
                    timestamp '2025-01-01' + to_seconds(cast(h % 30000000 as bigint)) as seen_at
                from pairs as e
                inner join nodes as x on e.p = x.p and e.a = x.k
                inner join nodes as y on e.p = y.p and e.b = y.k
                where e.a <> e.b
                union all
                select 'email\tchain' || printf('%06d', i), 'email\tchain' || printf('%06d', i + 1),
                    timestamp '2025-06-01' + to_seconds(cast(hash(i) % 3000000 as bigint))
                from range({CHAIN}) as c(i)
            )
            select cast(hash(split_part(l, '\t', 1), split_part(l, '\t', 2)) >> 1 as bigint) as left_key,
                cast(hash(split_part(r, '\t', 1), split_part(r, '\t', 2)) >> 1 as bigint) as right_key,
                split_part(l, '\t', 1) as left_type, split_part(l, '\t', 2) as left_value,
                split_part(r, '\t', 1) as right_type, split_part(r, '\t', 2) as right_value, 'web_event' as source,
                min(seen_at) as first_seen_at, max(seen_at) as last_seen_at, count(*) as n_seen
            from named group by l, r"""
    )
    for table in ("nodes", "sizes", "pairs"):
        con.execute(f"drop table {table}")
    return write_sightings(con)


def add_a_day(con: duckdb.DuckDBPyConnection, millions: float) -> tuple[int, int]:
    """A day later: new identifiers of people who are there, new people, and pairs of people who turn out to be one."""
    new, known = int(DAY * millions * 0.4), int(DAY * millions * 0.2)
    con.execute("update analytics.clock set as_of = as_of + interval 1 day, known_at = known_at + interval 1 day")
    con.execute(
        f"""create temp table there as
            select identifier_type || '\t' || identifier_value as node,
                row_number() over (order by hash(identifier_value)) as i
            from analytics.int_identity__sightings where identifier_value not like 'chain%'
            qualify i <= {new + 2 * known}"""
    )
    con.execute(
        f"""insert into analytics.int_identity__observed_edges
            with named as (
                select least(t.node, 'user_id\tnew' || t.i) as l, greatest(t.node, 'user_id\tnew' || t.i) as r
                from there as t where t.i <= {new}
                union all
                select 'contact_id\tnew' || i, 'email\tnew' || i || '@shop.example' from range({new}) as c(i)
                union all
                select least(x.node, y.node), greatest(x.node, y.node)
                from there as x inner join there as y on y.i = x.i + {known}
                where x.i > {new} and x.i <= {new + known}
            )
            select cast(hash(split_part(l, '\t', 1), split_part(l, '\t', 2)) >> 1 as bigint),
                cast(hash(split_part(r, '\t', 1), split_part(r, '\t', 2)) >> 1 as bigint),
                split_part(l, '\t', 1), split_part(l, '\t', 2), split_part(r, '\t', 1), split_part(r, '\t', 2),
                'shop_customer', timestamp '2026-06-01', timestamp '2026-06-01', 1
            from named"""
    )
    con.execute("drop table there")
    return write_sightings(con)


def write_sightings(con: duckdb.DuckDBPyConnection) -> tuple[int, int]:
    """What the edges say of each identifier; (edges, identifiers)."""
    con.execute(
        """create or replace table analytics.int_identity__sightings as
           select cast(hash(identifier_type, identifier_value) >> 1 as bigint) as node_key, identifier_type,
               identifier_value, 'web_event' as source, false as is_role, false as is_disposable,
               min(first_seen_at) as first_seen_at, max(last_seen_at) as last_seen_at, count(*) as n_seen
           from (
               select left_type as identifier_type, left_value as identifier_value, first_seen_at, last_seen_at
               from analytics.int_identity__observed_edges
               union all
               select right_type, right_value, first_seen_at, last_seen_at from analytics.int_identity__observed_edges
           ) as ends
           group by identifier_type, identifier_value"""
    )
    tables = ("int_identity__observed_edges", "int_identity__sightings")
    n_edges, n_nodes = (con.execute(f"select count(*) from analytics.{table}").fetchall()[0][0] for table in tables)
    return n_edges, n_nodes


def encode(con: duckdb.DuckDBPyConnection) -> float:
    """Seconds to make numbers of all strings, which the models that read the sources do: it belongs to the way from
    strings to profile ids."""
    began = time.monotonic()
    con.execute(
        """select bit_xor(hash(left_type, left_value)), bit_xor(hash(right_type, right_value))
           from analytics.int_identity__observed_edges"""
    ).fetchall()
    con.execute(
        "select bit_xor(hash(identifier_type, identifier_value)) from analytics.int_identity__sightings"
    ).fetchall()
    return time.monotonic() - began


PEER = """
import sys, time
import duckdb, numpy as np, pyarrow as pa
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
con = duckdb.connect(sys.argv[1])
con.execute("set threads = 2; set preserve_insertion_order = false; set enable_progress_bar = false")
began = time.monotonic()
edges = "analytics.int_identity__observed_edges"
con.execute(f'''create or replace table peer_nodes as select row_number() over () - 1 as node, t, v from (
    select left_type as t, left_value as v from {edges} union select right_type, right_value from {edges}) as ends''')
found = con.execute(f'''select x.node as a, y.node as b from {edges} as e
    inner join peer_nodes as x on e.left_type = x.t and e.left_value = x.v
    inner join peer_nodes as y on e.right_type = y.t and e.right_value = y.v''').fetchnumpy()
n = con.execute("select count(*) from peer_nodes").fetchall()[0][0]
graph = coo_matrix((np.ones(len(found["a"]), dtype=np.int8), (found["a"], found["b"])), shape=(n, n)).tocsr()
_, labels = connected_components(graph, directed=False)
con.register("labels", pa.table({"node": np.arange(n), "label": labels}))
con.execute("create or replace table peer as select t, v, label from peer_nodes inner join labels using (node)")
con.execute("drop table peer_nodes")
print(time.monotonic() - began)
"""


def run(command: list[str], environment: dict[str, str] | None = None) -> tuple[str, float]:
    """(what it said, its own peak in GiB); ends the benchmark where it fails."""
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(command, env=environment, stdout=said, text=True)
        _, status, usage = os.wait4(process.pid, 0)
        said.seek(0)
        text = said.read()
    if status:
        sys.exit(text[-3000:])
    return text, usage.ru_maxrss / 2**20


def run_peer(settings: Settings) -> tuple[float, float]:
    """(seconds, peak GiB)"""
    said, peak = run([sys.executable, "-c", PEER, str(settings.warehouse_path)])
    return float(said), peak


def resolve(settings: Settings) -> tuple[dict[str, float], float, float]:
    """(seconds of each model, seconds with dbt's start, peak GiB)"""
    project = str(PROJECT_DIR / "dbt_project")
    command = [
        dbt_executable(), "--no-use-colors", "build", "--exclude-resource-type", "test", "--exclude-resource-type",
        "unit_test", "--select", *MODELS, "--project-dir", project, "--profiles-dir", project, "--target", "prod",
        "--target-path", str(settings.home / "dbt"), "--log-path", str(settings.home / "dbt"),
        "--vars", json.dumps({"identity_max_component_size": 2 * CHAIN}),
    ]  # fmt: skip
    began = time.monotonic()
    _, peak = run(command, {**os.environ, **dbt_environment(settings)})
    wall = time.monotonic() - began
    results = json.loads((settings.home / "dbt" / "run_results.json").read_text(encoding="utf-8"))["results"]
    return {r["unique_id"].split(".")[-1]: r["execution_time"] for r in results}, wall, peak


def apart(work: Callable[..., Any], settings: Settings, *args: float) -> Any:
    """What `work` finds in a process of its own: a child counts its parent's memory for its own peak."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work, settings, *args).result()


def _open(settings: Settings) -> duckdb.DuckDBPyConnection:
    con = duckdb.connect(str(settings.warehouse_path))
    con.execute("set enable_progress_bar = false")  # stdout is for the results
    return con


def first_day(settings: Settings, millions: float) -> tuple[int, int, float]:
    """(edges, identifiers, seconds to encode them)"""
    with _open(settings) as con:
        ensure_state(con, settings)
        con.execute("create schema if not exists analytics")
        con.execute("create table analytics.clock as select timestamp '2026-06-01' as as_of, as_of as known_at")
        n_edges, n_nodes = write_graph(con, millions)
        con.execute("set threads = 2")
        return n_edges, n_nodes, encode(con)


def another_day(settings: Settings, millions: float) -> int:
    """How many edges there are then."""
    with _open(settings) as con:
        return add_a_day(con, millions)[0]


def size_of_region(settings: Settings) -> int:
    """Identifiers that were looked at."""
    with _open(settings) as con:
        return con.execute("select count(*) from analytics.int_identity__region").fetchall()[0][0]


def compare(settings: Settings) -> int:
    """How many people there are; ends the benchmark where the peer has others."""
    with _open(settings) as con:
        return _compare(con)


def _compare(con: duckdb.DuckDBPyConnection) -> int:
    differing, people = con.execute(
        """with both_sides as (
               select p.label, r.profile_id from peer as p
               inner join analytics.identity_registry as r
                   on p.t = r.identifier_type and p.v = r.identifier_value and r.assigned_until is null
           )
           select (select count(*) from (select label from both_sides group by label
                       having count(distinct profile_id) > 1) as a)
               + (select count(*) from (select profile_id from both_sides group by profile_id
                       having count(distinct label) > 1) as b)
               + (select count(*) from peer) - (select count(*) from both_sides),
               count(distinct profile_id) from both_sides"""
    ).fetchall()[0]
    if differing:
        refused = con.execute("select count(*) from analytics.int_identity__quarantine").fetchall()[0][0]
        sys.exit(f"{differing} components differ from the peer's; {refused} identifiers are in quarantine")
    return people


def slowest(by_model: dict[str, float]) -> str:
    return ", ".join(f"{name} {took:.1f}" for name, took in sorted(by_model.items(), key=lambda i: -i[1])[:6])


def main() -> None:
    millions = float(sys.argv[1]) if len(sys.argv) > 1 else 10.0
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(home=Path(folder), target="prod", memory_limit="6GB", threads=2)
        settings.home.mkdir(parents=True, exist_ok=True)
        n_edges, n_nodes, encoding = apart(first_day, settings, millions)
        peer_seconds, peer_peak = run_peer(settings)
        by_model, wall, peak = resolve(settings)
        people = apart(compare, settings)
        day_edges = apart(another_day, settings, millions) - n_edges
        day, day_wall, _ = resolve(settings)
        run_peer(settings)
        apart(compare, settings)
        region = apart(size_of_region, settings)
    seconds, day_seconds = sum(by_model.values()) + encoding, sum(day.values()) + encoding
    print(
        f"{n_edges:,} edges between {n_nodes:,} string identifiers of five types, {people:,} people, "
        f"a chain of {CHAIN:,}; 2 threads, 6 GB for DuckDB. Then {day_edges:,} new edges, around which "
        f"{region:,} identifiers were looked at again. Partition equal to the peer's, both times.\n\n"
        "| | seconds | peak memory, GiB |\n|---|---|---|\n"
        f"| models of the graph, from strings to profile ids | {seconds:.1f} ({wall:.1f} with dbt's start) "
        f"| {peak:.1f} |\n"
        f"| encode, scipy, decode: components alone | {peer_seconds:.1f} | {peer_peak:.1f} |\n"
        f"| ratio (goal: 3, and under 8 GiB) | {seconds / peer_seconds:.1f} | |\n"
        f"| the day's new edges | {day_seconds:.1f} ({day_wall:.1f} with dbt's start) | |\n"
        f"| of the full time (goal: 5 %) | {day_seconds / seconds:.0%} | |\n\n"
        f"Seconds by model: {slowest(by_model)}. On the day: {slowest(day)}. Numbers of all strings, {encoding:.1f} s, "
        "are counted in both; to read the sources (which a build does in full) is not."
    )


if __name__ == "__main__":
    main()

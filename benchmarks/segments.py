"""Events to features to segments, at the size of a large shop, beside the query that one would write by hand.

Raw web events (in two years, a load a day), read by the dbt models from staging to the day rollup: once in full, then
with one hour's new events, then with one day's. Beside each step stands a hand-written DuckDB query in the same file:
rows with their JSON taken apart, sessions by `lag` with the columns of the fact, and the rollup by profile and day; for
an increment, of the new load and the last three days alone. Then features and fifty segments, beside 25 window features
by hand over that rollup and fifty predicates on those; and the whole way twice more for one hour's new events: within a
day, and when the windows of days have moved.

    python -m benchmarks.segments [events … (10_000_000 100_000_000: half an hour, and 25 GB of disk)]
"""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from benchmarks._segment_files import OTHERS, PLAIN, files
from warehouse.dbt import dbt_environment, dbt_executable
from warehouse.settings import PROJECT_DIR, Settings
from warehouse.state import ensure_state

PER_VISIT = 8
"""Events of a device on a day that it comes on."""
VISITS_PER_PROFILE = 2.5
DAYS = 730
BEGIN = "timestamp '2024-01-01'"
FACTS = ("stg_web__events", "int_web__events", "fct_web_events", "identifier_daily", "profile_daily")


@dataclass(frozen=True)
class Run:
    """What one dbt run took."""

    by_model: dict[str, float]
    """Seconds of each model."""
    wall: float
    """With dbt's start."""
    cpu: float
    """Processor seconds, dbt's start with them."""
    peak: float
    """GiB."""

    @property
    def seconds(self) -> float:
        return sum(self.by_model.values())


def apart(work: Callable[..., Any], settings: Settings, *args: Any) -> Any:
    """What `work` finds in a process of its own, whose memory ends with it."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work, settings, *args).result()


def connect(settings: Settings) -> duckdb.DuckDBPyConnection:
    con = duckdb.connect(str(settings.warehouse_path))
    # stdout is for the results
    con.execute("set enable_progress_bar = false; set threads = 2; set memory_limit = '6GB'")
    con.execute("set preserve_insertion_order = false")
    return con


def visits(first: int, n_visits: int, profiles: int, day: str, seconds: int = 85_000) -> str:
    """query of raw.web_events: so many visits, each of one device, in the first seconds of a day; every third device is
    logged in."""
    return f"""
        select 'm' || printf('%016x', hash(visit, e)) as message_id,
            case when e % 2 = 0 then 'page' else 'track' end as type,
            case when e % 2 = 1 then ['Product Viewed', 'Product Added', 'Checkout Started'][1 + e % 3] end as event,
            'browser-' || device as anonymous_id,
            case when device % 3 = 0 then 'user-' || device end as user_id,
            began + to_seconds(cast(e * 150 + hash(visit, e, 1) % 100 as bigint)) as "timestamp",
            "timestamp" + to_seconds(2) as received_at,
            '{{"url": "https://shop.example/' || (visit % 997) || '", "product_id": "p' || (visit % 4001)
                || '", "category": "garden"}}' as properties,
            '{{"campaign": {{"name": "spring"}}}}' as context,
            loaded_at as _loaded_at, load_id as _load_id, visit * {PER_VISIT} + e as _row_number
        from (
            select visit, hash(visit, 2) % {profiles} as device, {day} as d,
                {BEGIN} + to_days(cast(d as integer)) + to_seconds(cast(hash(visit, 3) % {seconds} as bigint)) as began,
                {BEGIN} + to_days(cast(d as integer) + 1) as loaded_at, 'load_' || printf('%05d', d) as load_id
            from (select {first} + i as visit from range({n_visits}) as r(i))
        ) cross join (select e from range({PER_VISIT}) as s(e))"""


def write_events(settings: Settings, n_events: int) -> float:
    """Raw rows and what else stands upstream; seconds."""
    began = time.monotonic()
    n_visits = n_events // PER_VISIT
    profiles = max(1, int(n_visits / VISITS_PER_PROFILE))
    with connect(settings) as con:
        con.execute("create schema raw; create schema analytics")
        con.execute(f"create table raw.web_events as {visits(0, n_visits, profiles, f'visit * {DAYS} // {n_visits}')}")
        con.execute(
            """create table raw.identifier_normalized (identifier_type text, raw_value text, normalized_value text,
               identity_value text, is_valid boolean, reason text, is_role boolean, is_disposable boolean)"""
        )
        con.execute(
            f"""create table analytics.int_identity__identifier_profiles as
                select 'anonymous_id' as identifier_type, 'browser-' || i as identifier_value,
                    'profile-' || i as profile_id, {BEGIN} as linked_at, {BEGIN} as first_seen_at
                from range({profiles}) as r(i)
                union all
                select 'user_id', 'user-' || i, 'profile-' || i, {BEGIN}, {BEGIN}
                from range(0, {profiles}, 3) as r(i)"""
        )
        con.execute(
            """create table analytics.fct_email_events (email_event_id text, identifier_type text,
               identifier_value text, event_type text, is_machine boolean, occurred_at timestamp, occurred_on date,
               known_at timestamp)"""
        )
        con.execute(
            """create table analytics.fct_orders (order_id text, identifier_type text, identifier_value text,
               ordered_at timestamp, ordered_on date, known_at timestamp, net_quantity bigint,
               net_revenue numeric(18, 2), is_purchase boolean)"""
        )
        con.execute(
            """create table analytics.int_orders__lines (order_line_id text, order_type text,
               excluded_reason text, identifier_type text, identifier_value text, ordered_at timestamp, ordered_on date,
               known_at timestamp)"""
        )
        con.execute(f"create table analytics.clock as select {BEGIN} + to_days({DAYS + 1}) as as_of, as_of as known_at")
    return time.monotonic() - began


def write_more(settings: Settings, n_events: int, hours: int, moves_days: bool = True) -> int:
    """New visits of so many hours, in a load of their own, after all that is there; how many events."""
    n_visits = n_events // PER_VISIT
    more = n_visits * hours // (DAYS * 24)
    with connect(settings) as con:
        last, day = con.execute(
            f"""select max(_row_number) // {PER_VISIT} + 1,
                cast((select as_of from analytics.clock) as date) - date '2024-01-01' from raw.web_events"""
        ).fetchall()[0]
        query = visits(last, more, int(n_visits / VISITS_PER_PROFILE), str(day), 85_000 if moves_days else 2_000)
        con.execute(f"insert into raw.web_events {query}")
        on = "1 day" if moves_days else "1 hour"
        con.execute(f"update analytics.clock set as_of = as_of + interval {on}, known_at = known_at + interval {on}")
    return more * PER_VISIT


STAGED = """
    select message_id, trim(anonymous_id) as anonymous_id, trim(user_id) as user_id, type as event_type,
        case when type = 'page' then 'page' else event end as event_name,
        json_extract_string(context, '$.device.id') as device_id,
        json_extract_string(properties, '$.product_id') as product_id,
        json_extract_string(properties, '$.order_id') as order_id,
        json_extract_string(properties, '$.category') as category, json_extract_string(properties, '$.url') as page_url,
        json_extract_string(properties, '$.referrer') as referrer,
        json_extract_string(context, '$.campaign.name') as campaign_name,
        least("timestamp", received_at) as occurred_at, received_at, received_at as known_at, _loaded_at as loaded_at,
        _load_id as load_id, _row_number as row_number
    from raw.web_events {since}"""
SESSIONS = """
    select message_id, anonymous_id, user_id, event_name, occurred_at, cast(occurred_at as date) as occurred_on,
        received_at, known_at, product_id, category, order_id, page_url, campaign_name, load_id, row_number,
        occurred_at - lag(occurred_at) over (partition by anonymous_id order by occurred_at)
            > interval 30 minute as is_start
    from {staged} {since}"""
ROLLUP = """
    select i.profile_id, occurred_on as day, count(*) filter (where event_name = 'page') as n_page_views,
        count(*) filter (where event_name = 'Product Viewed') as n_product_views,
        count(*) filter (where event_name = 'Product Added') as n_cart_adds,
        count(*) filter (where event_name = 'Checkout Started') as n_checkouts,
        count(*) filter (where is_start is not false) as n_sessions, max(occurred_at) as last_session_at
    from hand_sessions as e inner join analytics.int_identity__identifier_profiles as i
        on i.identifier_type = 'anonymous_id' and i.identifier_value = e.anonymous_id
    group by 1, 2"""
STEPS = ("stg_web__events", "int_web__events", "identifier_daily")
"""What is compared with a query of those, in their order."""


def by_hand(settings: Settings, increment: bool = False) -> tuple[list[float], int]:
    """(seconds for rows taken apart, sessions and rollup by hand, rows of the rollup)"""
    load = "where _load_id = (select max(_load_id) from raw.web_events)" if increment else ""
    days = "where occurred_at >= (select max(occurred_at) from {t}) - interval 3 day" if increment else ""
    # an increment's rows would be staged already but for those of its load
    staged = "analytics.stg_web__events" if increment else "hand_staged"
    took = []
    with connect(settings) as con:
        con.execute("create temp table warm as select count(*) from raw.web_events")
        for name, query in (
            ("hand_staged", STAGED.format(since=load)),
            ("hand_sessions", SESSIONS.format(staged=staged, since=days.format(t=staged))),
            ("hand_rollup", ROLLUP),
        ):
            began = time.monotonic()
            con.execute(f"create {'temp' if increment else ''} table {name} as {query}")
            took.append(time.monotonic() - began)
        n_rows = con.execute("select count(*) from hand_rollup").fetchall()[0][0]
        con.execute("drop table hand_staged; drop table hand_sessions")
    return took, n_rows


def compare(settings: Settings) -> None:
    """Ends the benchmark where the rollup says something else than the same counted over raw rows."""
    with connect(settings) as con:
        ours, theirs = (
            con.execute(query).fetchall()[0]
            for query in (
                """select sum(n_page_views), sum(n_product_views), count(distinct activity_on)
                   from analytics.profile_daily""",
                """select count(*) filter (where type = 'page'), count(*) filter (where event = 'Product Viewed'),
                   count(distinct cast("timestamp" as date)) from raw.web_events where "timestamp" < (select as_of from
                   analytics.clock)""",
            )
        )
    if ours != theirs:
        sys.exit(f"the rollup counts {ours}, the raw rows say {theirs}")


def read_profile_days(settings: Settings) -> tuple[float, float]:
    """Seconds to add up all of profile_daily, and its last 90 days."""
    took = []
    with connect(settings) as con:
        for since in ("true", f"activity_on > date '2024-01-01' + {DAYS - 90}"):
            began = time.monotonic()
            con.execute(
                f"""create temp table found as select profile_id, sum(n_page_views) as views,
                    sum(n_sessions) as sessions, max(last_session_at) as last_at
                    from analytics.profile_daily where {since} group by profile_id"""
            )
            took.append(time.monotonic() - began)
            con.execute("drop table found")
    return took[0], took[1]


def dbt_run(settings: Settings, *models: str, project_dir: Path = PROJECT_DIR / "dbt_project") -> Run:
    """Run these models."""
    project = str(project_dir)
    names = " ".join(sorted(path.stem for path in (project_dir / "models" / "segments").glob("seg_*.sql")))
    command = [
        dbt_executable(), "--no-use-colors", "run", "--select", *models, "--project-dir", project,
        "--profiles-dir", project, "--target", "prod", "--target-path", str(settings.home / "dbt"),
        "--log-path", str(settings.home / "dbt"),
    ]  # fmt: skip
    environment = {**os.environ, **dbt_environment(settings), "MAILWRIGHT_SEGMENTS": names}
    began = time.monotonic()
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(command, env=environment, stdout=said, text=True)
        _, status, usage = os.wait4(process.pid, 0)
        said.seek(0)
        if status:
            sys.exit(said.read()[-3000:])
    results = json.loads((settings.home / "dbt" / "run_results.json").read_text(encoding="utf-8"))["results"]
    by_model = {r["unique_id"].split(".")[-1]: r["execution_time"] for r in results}
    return Run(by_model, time.monotonic() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 2**20)


def slowest(run: Run) -> str:
    return ", ".join(f"{name} {took:.1f}" for name, took in sorted(run.by_model.items(), key=lambda i: -i[1])[:3])


def line(name: str, run: Run, hand: float) -> str:
    return (
        f"| {name} | {run.seconds:.1f} ({run.wall:.1f}; {run.cpu:.1f}) | {hand:.2f} | {run.seconds / hand:.1f} "
        f"| {run.peak:.1f} | {slowest(run)} |"
    )


def measure_facts(settings: Settings, n_events: int) -> list[str]:
    """Lines of Markdown: facts and rollup in full, and of an hour and a day more."""
    writing = apart(write_events, settings, n_events)
    print(f"written in {writing:.0f} s", file=sys.stderr)
    full = dbt_run(settings, *FACTS)
    print(full, file=sys.stderr)
    hand, n_rows = apart(by_hand, settings)
    print(hand, file=sys.stderr)
    apart(compare, settings)
    rows = [line(f"all {n_events:,} events", full, sum(hand))]
    steps = [
        f"{name} {full.by_model[name]:.1f} s against {by:.1f} s: {full.by_model[name] / by:.2f}"
        for name, by in zip(STEPS, hand, strict=True)
    ]
    for name, hours in (("one hour more", 1), ("one day more", 24)):
        more = apart(write_more, settings, n_events, hours)
        run = dbt_run(settings, *FACTS)
        print(run, file=sys.stderr)
        hand, _ = apart(by_hand, settings, True)
        apart(compare, settings)
        rows.append(line(f"{name}: {more:,} events", run, sum(hand)))
    whole, recent = apart(read_profile_days, settings)
    return [
        f"{n_events:,} web events, {n_rows:,} profile-days, {DAYS} loads, 2 threads, 6 GB for DuckDB. By hand: JSON"
        " taken apart, sessions by `lag`, the rollup; of everything, or of the new load and the last three days. Ours"
        " deduplicates, and looks for late, withdrawn and repeated rows in all of history.\n",
        "| | seconds (with dbt's start; processor) | by hand | ratio | peak memory, GiB | most of it |\n"
        "|---|---|---|---|---|---|",
        *rows,
        f"\nIn full, step by step (goal 2): {'; '.join(steps)}.",
        f"\nTo add up profile_daily, a view, by profile takes {whole:.1f} s; its last 90 days, {recent:.1f} s.",
    ]


def project_of_fifty(folder: Path) -> Path:
    """A copy of the dbt project whose segments are those of the benchmark."""
    project = folder / "project"
    shutil.copytree(PROJECT_DIR / "dbt_project", project, ignore=shutil.ignore_patterns("target", "logs", "seg_*"))
    for name, text in files().items():
        (project / "models" / "segments" / f"{name}.sql").write_text(text, encoding="utf-8")
    return project


def create_what_is_read(settings: Settings, models: Iterable[str]) -> None:
    """Every table above these models that is not there, empty, by its contract; seeds, and the profiles."""
    manifest = json.loads((settings.home / "dbt" / "manifest.json").read_text(encoding="utf-8"))
    parents = {parent for name in models for parent in manifest["parent_map"][f"model.mailwright.{name}"]}
    with connect(settings) as con:
        ensure_state(con, settings)
        # those of nobody were written above with the columns that the rollup reads
        there = {"clock", *FACTS, "int_identity__identifier_profiles"}
        for parent in sorted(parents):
            kind, _, name = parent.split(".", 2)
            if kind not in ("model", "seed") or name in there or name in models or name.startswith("seg_"):
                continue
            node = manifest["nodes"][parent]
            types = {column["name"]: column["data_type"] for column in node["columns"].values()}
            types |= node["config"].get("column_types") or {}
            typed = ", ".join(f"{column} {of_type}" for column, of_type in types.items())
            con.execute(f"create or replace table analytics.{name} ({typed})")
            if kind == "seed":
                file = PROJECT_DIR / "dbt_project" / "seeds" / f"{name}.csv"
                con.execute(f"insert into analytics.{name} by name from '{file}'")
        con.execute(
            f"""insert into analytics.dim_profiles by name
                select distinct profile_id, {BEGIN} as first_seen_at from analytics.int_identity__identifier_profiles
                where profile_id not in (select profile_id from analytics.dim_profiles)"""
        )


FEATURES = (
    "select profile_id, max(last_session_at) as last_session_at"
    + "".join(
        f", sum(case when day > last_day - {days} then {measure} else 0 end) as {measure}_{days}"
        for days in (7, 30, 90, 365)
        for measure in ("n_page_views", "n_product_views", "n_cart_adds", "n_checkouts", "n_sessions", "1 * 1")
    ).replace("1 * 1_", "days_")
    + " from hand_rollup cross join (select max(day) as last_day from hand_rollup) as newest group by profile_id"
)
PREDICATES = " union all ".join(
    f"select profile_id, 's{number}' as segment_name from hand_features where {measure}_{days} >= {least}"
    for number, (measure, days, least) in enumerate(
        [
            (m, d, n)
            for m in ("n_page_views", "n_product_views", "n_cart_adds", "n_sessions")
            for d in (7, 30, 90, 365)
            for n in (1, 2, 5)
        ]
        + [("n_checkouts", 30, 1), ("n_checkouts", 90, 1)]
    )
)


def features_by_hand(settings: Settings) -> tuple[float, float]:
    """Seconds of 25 window features from the rollup, and of fifty predicates to long memberships."""
    took = []
    with connect(settings) as con:
        con.execute("create temp table warm as select sum(n_page_views) from hand_rollup")
        for name, query in (("hand_features", FEATURES), ("hand_members", PREDICATES)):
            began = time.monotonic()
            con.execute(f"create or replace table {name} as {query}")
            took.append(time.monotonic() - began)
        con.execute("drop table hand_rollup; drop table hand_features; drop table hand_members")
    return took[0], took[1]


def check_sizes(settings: Settings) -> int:
    """How many memberships; ends the benchmark where counts of page views, taken from the facts, say other segments."""
    with connect(settings) as con:
        for number, days, least in ((1, 7, 1), (3, 30, 2), (5, 90, 10)):
            ours, theirs = con.execute(
                f"""select (select count(*) from analytics.segment_memberships where segment_name = '{number:02d}'),
                    (select count(*) from (select profile_id from analytics.fct_web_events
                    where event_name = 'page' and occurred_on
                    > cast((select as_of from analytics.clock) - interval 1 microsecond as date) - {days}
                    group by profile_id having count(*) >= {least}))"""
            ).fetchall()[0]
            if ours != theirs:
                sys.exit(f"segment {number} has {ours} members, the events say {theirs}")
        return con.execute("select count(*) from analytics.segment_memberships").fetchall()[0][0]


PEOPLE = ("profile_features", "lifecycle_stages", "engagement_levels", "rfm_scores")
MEMBERS = ("segment_memberships", "segment_membership_history")


def measure_segments(settings: Settings, n_events: int, folder: Path) -> tuple[list[str], list[float]]:
    """(lines of Markdown: features, fifty segments, and an hour more from raw rows to the history; seconds of those)"""
    project = project_of_fifty(folder)
    # reads the graph: what has to be there is known after it
    dbt_run(settings, "fct_web_events", project_dir=project)
    apart(create_what_is_read, settings, (*PEOPLE, *MEMBERS))
    features_hand, predicates_hand = apart(features_by_hand, settings)
    people = dbt_run(settings, *PEOPLE, project_dir=project)
    print(people, file=sys.stderr)
    members = dbt_run(settings, *MEMBERS, project_dir=project)
    print(members, file=sys.stderr)
    n_members = apart(check_sizes, settings)
    hours, took = [], []
    for name, moves_days in (("a day's windows having moved", True), ("within a day", False)):
        more = apart(write_more, settings, n_events, 1, moves_days)
        run = dbt_run(settings, *FACTS, *PEOPLE, *MEMBERS, project_dir=project)
        print(run, file=sys.stderr)
        apart(check_sizes, settings)
        took.append(run.wall)
        hours.append(
            f"\nOne hour more ({more:,} events), from raw rows to memberships and history, {name}: {run.wall:.1f} s"
            f" with dbt's start (goal 20), {run.cpu:.1f} s of processor, {run.peak:.1f} GiB (goal 8): {slowest(run)}."
        )
    with connect(settings) as con:
        n_profiles = con.execute("select count(*) from analytics.dim_profiles").fetchall()[0][0]
    features = Run({"profile_features": people.by_model["profile_features"]}, people.wall, people.cpu, people.peak)
    lines = [
        f"\nFeatures of {n_profiles:,} profiles; fifty segments ({len(PLAIN)} of features and stages alone,"
        f" {len(OTHERS)} of hours, properties, chains, periods, ranks, history), {n_members:,} memberships. By hand:"
        " 25 window features from that rollup; fifty predicates on those to long memberships.\n",
        "| | seconds (with dbt's start; processor) | by hand | ratio (goal 2) | peak memory, GiB | most of it |\n"
        "|---|---|---|---|---|---|",
        line("features", features, features_hand),
        line("fifty segments and their history", members, predicates_hand),
        *hours,
    ]
    return lines, took


BUYERS = """
    create or replace table analytics.profile_features as
    select {columns}, 'profile-' || i as profile_id, as_of, cast(1 + power(hash(i) % 1000 / 1000.0, 4) * 40 as bigint)
        as orders_365d, cast(5 + hash(i, 1) % 90000 / 100.0 as numeric(18, 2)) as revenue_365d,
        cast(hash(i, 2) % 365 as integer) as recency_days
    from range({n}) as r(i) cross join analytics.clock"""
SCORES = """
    select profile_id, least(5, 1 + floor(5 * percent_rank() over (order by recency_days desc))) as r,
        least(5, 1 + floor(5 * percent_rank() over (order by orders_365d))) as f,
        least(5, 1 + floor(5 * percent_rank() over (order by revenue_365d))) as m from analytics.profile_features"""


def write_buyers(settings: Settings, n: int) -> None:
    """As many buyers in place of the features."""
    with connect(settings) as con:
        named = {"profile_id", "as_of", "orders_365d", "revenue_365d", "recency_days"}
        columns = con.execute(
            "select column_name, data_type from duckdb_columns() where table_name = 'profile_features'"
        )
        rest = [f"cast(null as {kind}) as {name}" for name, kind in columns.fetchall() if name not in named]
        con.execute(BUYERS.format(columns=", ".join(rest), n=n))


def scores_by_hand(settings: Settings) -> float:
    """Seconds of three scores by percent_rank; ends the benchmark where they are others than the model's."""
    with connect(settings) as con:
        con.execute("create temp table warm as select sum(recency_days) from analytics.profile_features")
        began = time.monotonic()
        con.execute(f"create or replace table hand_scores as {SCORES}")
        took = time.monotonic() - began
        n_other = con.execute(
            """select count(*) from hand_scores full join analytics.rfm_scores using (profile_id)
               where (r, f, m) is distinct from (recency_score, frequency_score, monetary_score)"""
        ).fetchall()[0][0]
        con.execute("drop table hand_scores")
    if n_other:
        sys.exit(f"{n_other} buyers have other scores by hand")
    return took


def measure_rfm(settings: Settings, n_events: int, folder: Path) -> list[str]:
    """Lines of Markdown: RFM scores beside three percent_rank by hand."""
    n = n_events * 36 // 1000
    apart(write_buyers, settings, n)
    run = dbt_run(settings, "rfm_scores", project_dir=folder / "project")
    hand = apart(scores_by_hand, settings)
    return [
        f"\nRFM of {n:,} buyers with cells and a weighted value: {run.seconds:.1f} s; three scores by percent_rank:"
        f" {hand:.1f} s; ratio {run.seconds / hand:.2f} (goal 1.5), {run.peak:.1f} GiB."
    ]


SIZES = (10_000_000, 100_000_000)


def measure(n_events: int) -> tuple[list[str], list[float]]:
    """(lines of Markdown, seconds of an hour more at this size)"""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(home=Path(folder), target="prod", memory_limit="6GB", threads=2)
        settings.home.mkdir(parents=True, exist_ok=True)
        lines = [f"\n### {n_events:,} events\n", *measure_facts(settings, n_events)]
        segments, hours = measure_segments(settings, n_events, Path(folder))
        return lines + segments + measure_rfm(settings, n_events, Path(folder)), hours


def main() -> None:
    sizes = [int(text.replace("_", "")) for text in sys.argv[1:]] or SIZES
    hours = {}
    for n_events in sizes:
        lines, hours[n_events] = measure(n_events)
        print("\n".join(lines))
    if len(sizes) > 1:
        least, most = min(sizes), max(sizes)
        grown = " and ".join(f"{b / a:.1f}" for a, b in zip(hours[least], hours[most], strict=True))
        print(f"\nFrom {least:,} to {most:,} events, {most / least:.0f} times, the two hours grew {grown} times.")


if __name__ == "__main__":
    main()

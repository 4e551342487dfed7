"""How long training and scoring take, on stated sizes of a made-up store.

    python -m benchmarks.ml_jobs [--profiles 20000 100000] [--products 4000]

Prints one row per job and step: seconds, CPU seconds, and the process's peak memory so far. Each profile has 8 views
and 2 purchases; churn reads 6 cut-offs of a third of the profiles. Purchases follow tastes, so that neighbours
exist, and some products are bought far more than others.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from ml_jobs.churn import job as churn
from ml_jobs.churn.config import FEATURES
from ml_jobs.recommendations import job as recommendations
from ml_jobs.report import JobReport
from warehouse.clock import Clock, set_clock
from warehouse.connection import connect
from warehouse.settings import Settings
from warehouse.state import ensure_state

AS_OF = datetime(2026, 1, 1)
VIEWS, PURCHASES, CUTOFFS = 8, 2, 6


def make_store(
    settings: Settings, n_profiles: int, n_products: int, views: int = VIEWS, purchases: int = PURCHASES
) -> None:
    """The relations that the jobs read, filled from hashes of row numbers: the same store on every run."""
    with connect(settings) as con:
        ensure_state(con, settings)
        set_clock(con, settings.schema, Clock(AS_OF, AS_OF))
        con.execute(f"set schema = '{settings.schema}'")

        def skewed(number: str, n: int) -> str:
            # the first hundredth of n gets a fifth
            return f"cast(floor(power((hash({number}) % 1000000) / 1e6, 3) * {n}) as bigint)"

        def interactions(per_profile: int, salt: int) -> str:
            # most interactions stay within one of 40 tastes
            per_taste = n_products // 40
            return f"""select 'u' || (n // {per_profile}) as profile_id, n,
                'p' || (case when hash(n + {salt}) % 10 < 8
                    then (hash(n // {per_profile}) % 40) * {per_taste} + {skewed(f"n * 7 + {salt}", per_taste)}
                    else {skewed(f"n * 13 + {salt}", n_products)} end) as product_id,
                timestamp '{AS_OF}' - to_seconds(1 + cast(hash(n * 3 + {salt}) % (540 * 86400) as integer)) as instant
                from range({n_profiles * per_profile}) as rows(n)"""

        con.execute(
            f"""create table dim_products as select 'p' || n as product_id, 'Product ' || n as product_name,
            'Taste ' || n // ({n_products} // 40) as category,
            10.0 as price, n % 20 > 0 as is_in_stock, true as is_product from range({n_products}) as rows(n)"""
        )
        con.execute(
            f"""create table fct_web_events as select profile_id, product_id, instant as occurred_at,
            'Product Viewed' as event_name from ({interactions(views, 1)})"""
        )
        con.execute(
            f"""create table fct_order_lines as select profile_id, 'o' || n as order_id, product_id,
            instant as ordered_at, 1 as quantity, 1 as net_quantity, cast(null as timestamp) as last_returned_at
            from ({interactions(purchases, 2)})"""
        )
        numbers = ", ".join(
            f'cast(hash(n * 31 + c * 17 + {i}) % 100 as double) as "{name}"' for i, name in enumerate(FEATURES)
        )
        con.execute(
            f"""create table churn_training_set as
            select *, hash(profile_id, as_of) % 100 < 20 + recency_days / 2 as has_churned from (
                select 'u' || n as profile_id, timestamp '{AS_OF}' - to_days(cast(90 + 30 * c as integer)) as as_of,
                timestamp '{AS_OF}' - to_days(cast(30 * c as integer)) as horizon_ends_at, {numbers}
                from range({n_profiles // 3}) as rows(n), range({CUTOFFS}) as cutoffs(c))"""
        )
        con.execute(
            f"""create table profile_features as select 'u' || n as profile_id, timestamp '{AS_OF}' as as_of,
            {numbers} from range({n_profiles // 3}) as rows(n), range(1) as cutoffs(c)"""
        )


def timed(label: str, step: Callable[[Settings], JobReport], settings: Settings) -> None:
    wall, cpu = time.perf_counter(), time.process_time()
    report = step(settings)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    done = report.n_scored or report.n_train
    print(f"| {label} | {done:,} {report.reason or ''} | {wall:.1f} | {cpu:.1f} | {peak:.1f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profiles", type=int, nargs="+", default=[20_000, 100_000])
    parser.add_argument("--products", type=int, default=4_000)
    arguments = parser.parse_args()
    for n_profiles in arguments.profiles:
        with tempfile.TemporaryDirectory() as folder:
            settings = Settings(home=Path(folder), target="prod")
            make_store(settings, n_profiles, arguments.products)
            print(
                f"\n{n_profiles:,} profiles, {arguments.products:,} products, {n_profiles * VIEWS:,} views, "
                f"{n_profiles * PURCHASES:,} purchases; churn: {n_profiles // 3 * CUTOFFS:,} training rows of "
                f"{len(FEATURES)} features, {n_profiles // 3:,} buyers.\n"
            )
            print("| step | rows | wall s | CPU s | peak GB |\n|---|---|---|---|---|")
            timed("recommendations: train", recommendations.train, settings)
            timed("recommendations: score", recommendations.score, settings)
            timed("churn: train", churn.train, settings)
            timed("churn: score", churn.score, settings)


if __name__ == "__main__":
    main()

"""Warehouses with mails that were sent, and people who answer at hours of their own."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pyarrow as pa

from tests.ml_jobs import stores
from warehouse.connection import connect
from warehouse.settings import Settings

SEND_OUTCOMES = """profile_id text, identifier_value text, message_id text, sent_at timestamp, local_hour integer,
    local_weekday integer, is_opened boolean, is_clicked boolean, settled_at timestamp"""


def new_mail_store(settings: Settings, as_of: datetime) -> None:
    """An empty store with `send_outcomes` and `dim_profiles`."""
    stores.new_store(settings, as_of)
    with connect(settings) as con:
        con.execute(f'create table "{settings.schema}".send_outcomes ({SEND_OUTCOMES})')
        con.execute(f'create table "{settings.schema}".dim_profiles (profile_id text, email text)')


def insert_people(settings: Settings, ids: list[str]) -> None:
    stores.insert_rows(settings, "dim_profiles", {"profile_id": ids, "email": [f"{one}@x.test" for one in ids]})


def insert_sends(settings: Settings, profiles: np.ndarray, at: np.ndarray, clicked: np.ndarray) -> None:
    """Mails sent at `at` (UTC, where all these people live), each settled three days later."""
    first = stores.query(settings, "select count(*) from {schema}.send_outcomes")[0][0]
    days = at.astype("datetime64[D]").astype(np.int64)
    stores.insert_rows(
        settings,
        "send_outcomes",
        {
            "profile_id": profiles.tolist(),
            "identifier_value": profiles.tolist(),
            "message_id": [f"m{first + i}" for i in range(len(profiles))],
            "sent_at": pa.array(at.astype("datetime64[us]")),
            "local_hour": pa.array((at.astype("datetime64[h]").astype(np.int64) % 24).astype(np.int32)),
            # 1970-01-01 was a Thursday
            "local_weekday": pa.array(((days + 3) % 7 + 1).astype(np.int32)),
            "is_opened": pa.array(clicked),
            "is_clicked": pa.array(clicked),
            "settled_at": pa.array((at + np.timedelta64(3, "D")).astype("datetime64[us]")),
        },
    )


def planted_preferences(
    settings: Settings, as_of: datetime, n_people: int = 1500, n_sends: int = 60, seed: int = 5, liking: float = 8.0
) -> np.ndarray:
    """Mails at random hours; everybody clicks `liking` times as often in three hours around an hour of their own, most
    of them around 19, and some people more often than others. The last tenth of the people got none. Hours of all
    (people,)."""
    rng = np.random.default_rng(seed)
    new_mail_store(settings, as_of)
    ids = np.asarray([f"u{i:05d}" for i in range(n_people)])
    insert_people(settings, ids.tolist())
    own_hour = np.where(rng.random(n_people) < 0.5, 19, rng.integers(0, 24, n_people))
    own_rate = 0.03 * rng.gamma(2, 0.5, n_people)
    person = np.repeat(np.arange(n_people - n_people // 10), n_sends)
    before = rng.integers(3 * 24 + 1, 180 * 24, len(person)).astype("timedelta64[h]")
    at = np.datetime64(as_of, "h") - before
    off = np.abs(at.astype(np.int64) % 24 - own_hour[person])
    chance = own_rate[person] * np.where(np.minimum(off, 24 - off) <= 1, liking, 1)
    insert_sends(settings, ids[person], at.astype("datetime64[s]"), rng.random(len(person)) < np.minimum(chance, 0.9))
    return own_hour


ENGAGEMENT_FEATURES = ("orders_30d", "sessions_30d")
"""The first tells who will answer, the second nothing."""
_LABELS = "delivered_before, opened_before, clicked_before, delivered_ahead, opened_ahead, clicked_ahead"


def planted_engagement(
    settings: Settings, as_of: datetime, n_people: int = 1500, months: int = 5, seed: int = 12, told: float = 1.0
) -> np.ndarray:
    """People with a liking of their own for mail, which `orders_30d` tells a part of (`told`: how loudly); about three
    mails a month, of which everybody opens, and clicks, some. The last tenth got none. True click rates (people,).

    Cut-offs are 30 days apart and look 30 days ahead; what is before one is everything since the beginning.
    """
    rng = np.random.default_rng(seed)
    new_mail_store(settings, as_of)
    ids = np.asarray([f"u{i:05d}" for i in range(n_people)])
    insert_people(settings, ids.tolist())
    order = rng.poisson(1.0, n_people)
    liking = rng.normal(0, 0.7, n_people) + told * (order - 1)
    opens, clicks = (1 / (1 + np.exp(-(base + liking))) for base in (-0.8, -2.5))
    with connect(settings) as con:
        con.execute(f"set schema = '\"{settings.schema}\"'")
        con.execute(
            "create table profile_features (profile_id text, as_of timestamp, orders_30d bigint, sessions_30d bigint)"
        )
        con.execute("create table profile_feature_snapshots as from profile_features")
        columns = ", ".join(f"{name} bigint" for name in _LABELS.split(", "))
        key = "profile_id text, as_of timestamp, horizon_ends_at timestamp"
        con.execute(f"create table engagement_training_set ({key}, {columns})")
    person = np.repeat(
        np.arange(n_people), rng.poisson(3 * (months + 1), n_people) * (np.arange(n_people) < 0.9 * n_people)
    )
    before = rng.integers(3 * 24 + 1, 30 * 24 * (months + 1), len(person)).astype("timedelta64[h]")
    luck = rng.random(len(person))
    at = (np.datetime64(as_of, "h") - before).astype("datetime64[s]")
    insert_sends(settings, ids[person], at, luck < clicks[person])
    with connect(settings) as con:
        con.execute(f"set schema = '\"{settings.schema}\"'")
        con.register("lucky", pa.table({"message_id": [f"m{i}" for i in np.flatnonzero(luck < opens[person])]}))
        con.execute("update send_outcomes set is_opened = true where message_id in (select message_id from lucky)")
    sessions = rng.poisson(2.0, n_people)
    for month in range(months + 1):
        cutoff = np.datetime64(as_of, "us") - np.timedelta64(30 * month, "D")
        stores.insert_rows(
            settings,
            "profile_feature_snapshots" if month else "profile_features",
            {
                "profile_id": ids.tolist(),
                "as_of": pa.array(np.full(n_people, cutoff)),
                "orders_30d": order,
                "sessions_30d": sessions,
            },
        )
    label_engagement(settings)
    return clicks


def label_engagement(settings: Settings) -> None:
    """Build `engagement_training_set` from the mails, as the model of that name does."""
    with connect(settings) as con:
        con.execute(f"set schema = '\"{settings.schema}\"'")
        con.execute("delete from engagement_training_set")
        con.execute(
            """insert into engagement_training_set by name
            with cutoffs as (
                select distinct as_of, as_of + to_days(30) as horizon_ends_at from profile_feature_snapshots
            ),
            flagged as (
                select *, settled_at < as_of as is_before, sent_at >= as_of as is_ahead
                from cutoffs inner join send_outcomes on settled_at < horizon_ends_at
            )
            select profile_id, as_of, horizon_ends_at,
                count(*) filter (is_before) as delivered_before,
                count(*) filter (is_before and is_opened) as opened_before,
                count(*) filter (is_before and is_clicked) as clicked_before,
                count(*) filter (is_ahead) as delivered_ahead,
                count(*) filter (is_ahead and is_opened) as opened_ahead,
                count(*) filter (is_ahead and is_clicked) as clicked_ahead
            from flagged group by all having count(*) filter (is_ahead) > 0"""
        )

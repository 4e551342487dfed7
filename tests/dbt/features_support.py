"""The relations that features, lifecycle and segments read, as small tables; and a dbt that builds on them."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb

from warehouse.dbt import dbt_environment, dbt_executable
from warehouse.settings import PROJECT_DIR, Settings

COLUMNS: Mapping[str, str] = {
    "clock": "as_of timestamp, known_at timestamp",
    "int_identity__identifier_profiles": (
        "identifier_type text, identifier_value text, profile_id text, linked_at timestamp, first_seen_at timestamp"
    ),
    "int_identity__identifiers": (
        "node_key bigint, identifier_type text, identifier_value text, tier text, stands_alone boolean, "
        "first_seen_at timestamp, available_at timestamp"
    ),
    "int_identity__edges": (
        "left_key bigint, right_key bigint, left_type text, left_value text, right_type text, right_value text, "
        "tier text, first_seen_at timestamp, available_at timestamp, is_active boolean"
    ),
    "int_identity__sightings": (
        "identifier_type text, identifier_value text, source text, first_seen_at timestamp, available_at timestamp"
    ),
    "stg_crm__contacts": (
        "contact_id text, email text, user_id text, phone text, mailbox text, is_email_role boolean, "
        "is_email_disposable boolean, created_at timestamp, updated_at timestamp, known_at timestamp"
    ),
    "stg_shop__customers": (
        "customer_id text, email text, user_id text, phone text, loyalty_card text, mailbox text, "
        "is_email_role boolean, is_email_disposable boolean, created_at timestamp, updated_at timestamp, "
        "known_at timestamp"
    ),
    "stg_newsletter__signups": (
        "email text, anonymous_id text, mailbox text, is_email_role boolean, is_email_disposable boolean, "
        "submitted_at timestamp, known_at timestamp"
    ),
    "stg_web__events": (
        "user_id text, anonymous_id text, email text, device_id text, mailbox text, is_email_role boolean, "
        "is_email_disposable boolean, occurred_at timestamp, known_at timestamp"
    ),
    "stg_email__events": (
        "email text, mailbox text, is_email_role boolean, is_email_disposable boolean, occurred_at timestamp, "
        "known_at timestamp"
    ),
    "stg_consent__events": (
        "email text, mailbox text, is_email_role boolean, is_email_disposable boolean, occurred_at timestamp, "
        "known_at timestamp"
    ),
    "int_identity__attachments": ("node_key bigint, identifier_type text, identifier_value text, is_shared boolean"),
    "identity_registry": (
        "identifier_type text, identifier_value text, registered_at timestamp, registered_first_seen_at timestamp, "
        "profile_id text, assigned_at timestamp, assigned_until timestamp"
    ),
    "identity_successions": "former_profile_id text, profile_id text",
    "dim_profiles": (
        "profile_id text, email text, user_id text, first_name text, last_name text, gender text, birth_year bigint, "
        "city text, country text, time_zone text, signed_up_at timestamp, first_seen_at timestamp, source text"
    ),
    "profile_interests": "profile_id text, interest text, stated_at timestamp",
    # refusals at other addresses: no rows here, their own tests are with consent and with the sync
    "profile_identifiers": (
        "profile_id text, identifier_type text, identifier_value text, linked_at timestamp, first_seen_at timestamp, "
        "last_seen_at timestamp, last_trusted_at timestamp"
    ),
    "fct_consent": (
        "consent_event_id text, profile_id text, identifier_type text, identifier_value text, channel text, "
        "purpose text, state text, scope text, source text, wording_version text, occurred_at timestamp, "
        "received_at timestamp, is_evidence boolean"
    ),
    "int_consent__address_states": (
        "profile_id text, email text, channel text, purpose text, state text, reason text, decided_at timestamp, "
        "is_bounced boolean, bounced_at timestamp"
    ),
    "dim_products": (
        "product_id text, product_name text, category text, price numeric(18,2), currency text, product_url text, "
        "image_url text, stock_quantity bigint, is_in_stock boolean, is_product boolean, updated_at timestamp"
    ),
    "stg_shop__orders": (
        "order_id text, customer_id text, user_id text, loyalty_card text, original_order_id text, email text, "
        "mailbox text, is_email_role boolean, is_email_disposable boolean, "
        "channel text, order_type text, country text, currency text, is_test boolean, is_cancelled boolean, "
        "ordered_at timestamp, cancelled_at timestamp, known_at timestamp, loaded_at timestamp, load_id text, "
        "row_number bigint"
    ),
    "stg_shop__order_lines": (
        "order_id text, line_number bigint, product_id text, description text, quantity bigint, "
        "unit_price numeric(18,4), created_at timestamp, known_at timestamp, loaded_at timestamp, load_id text, "
        "row_number bigint"
    ),
    "int_products__classified": "product_id text, is_product boolean, non_product_reason text",
    "fct_orders": (
        "order_id text, profile_id text, identifier_type text, identifier_value text, channel text, country text, "
        "currency text, ordered_at timestamp, ordered_on date, known_at timestamp, linked_at timestamp, "
        "n_lines bigint, quantity bigint, net_quantity bigint, "
        "gross_revenue numeric(18,2), returned_revenue numeric(18,2), net_revenue numeric(18,2), is_purchase boolean"
    ),
    "fct_order_lines": (
        "order_line_id text, order_id text, profile_id text, identifier_type text, identifier_value text, "
        "product_id text, ordered_at timestamp, ordered_on date, quantity bigint, returned_quantity bigint, "
        "net_quantity bigint, unit_price numeric(18,4), currency text, gross_revenue numeric(18,2), "
        "returned_revenue numeric(18,2), net_revenue numeric(18,2), last_returned_at timestamp"
    ),
    "int_orders__lines": (
        "order_line_id text, order_id text, order_type text, identifier_type text, identifier_value text, "
        "product_id text, quantity bigint, unit_price numeric(18,4), currency text, ordered_at timestamp, "
        "ordered_on date, known_at timestamp, excluded_reason text"
    ),
    "int_orders__cancelled_sales": (
        "order_line_id text, order_id text, identifier_type text, identifier_value text, product_id text, "
        "ordered_at timestamp, ordered_on date, cancelled_at timestamp, quantity bigint, unit_price numeric(18,4), "
        "currency text, gross_revenue numeric(18,2)"
    ),
    "int_orders__return_matches": (
        "return_line_id text, order_line_id text, returned_at timestamp, quantity bigint, matched_by text"
    ),
    "fct_web_events": (
        "web_event_id text, profile_id text, identifier_type text, identifier_value text, session_id text, "
        "is_session_start boolean, event_name text, occurred_at timestamp, occurred_on date, received_at timestamp, "
        "known_at timestamp, product_id text, category text, order_id text, page_url text, campaign_name text"
    ),
    "int_web__events": (
        "web_event_id text, delivery bigint, identifier_type text, identifier_value text, session_id text, "
        "is_session_start boolean, event_name text, occurred_at timestamp, occurred_on date, known_at timestamp, "
        "fingerprint bigint"
    ),
    "fct_email_events": (
        "email_event_id text, profile_id text, identifier_type text, identifier_value text, event_type text, "
        "message_id text, campaign_id text, link_url text, occurred_at timestamp, occurred_on date, "
        "known_at timestamp, linked_at timestamp, is_machine boolean, machine_reason text"
    ),
    "dim_consent": (
        "profile_id text, channel text, purpose text, state text, reason text, decided_at timestamp, "
        "is_mailable boolean"
    ),
    "ml.recommendation_candidates": (
        "profile_id text, placement text, product_id text, rank bigint, score double precision, reason text, "
        "model_version text, trained_at timestamp, as_of timestamp"
    ),
    "ml.recommendation_rules": (
        "rule_name text, kind text, position bigint, n_items bigint, placement text, from_on date, until_on date, "
        "factor double precision, reason text, within_days bigint, price_below double precision, "
        "price_above double precision"
    ),
    "ml.recommendation_rule_items": "rule_name text, role text, position bigint, product_id text, category text",
    "ml.churn_predictions": (
        "profile_id text, churn_probability double precision, churn_band text, reason_1 text, reason_2 text, "
        "reason_3 text, model_version text, trained_at timestamp, as_of timestamp"
    ),
    "ml.metrics": (
        "model_version text, metric text, segment text, value double precision, low double precision, "
        "high double precision, n bigint"
    ),
    "ml.prediction_log": (
        "job text, model_version text, as_of_on date, as_of timestamp, profile_id text, horizon_days integer, "
        "subject text, rank bigint, value double precision"
    ),
    "ml.lifetime_value_predictions": (
        "profile_id text, horizon_days integer, p_purchase double precision, expected_purchases double precision, "
        "purchases_low double precision, purchases_high double precision, expected_value double precision, "
        "value_low double precision, value_high double precision, value_method text, next_purchase_on date, "
        "model_version text, trained_at timestamp, as_of timestamp"
    ),
    "ml.send_time_predictions": (
        "profile_id text, best_hour integer, best_weekday integer, send_hour integer, is_randomized boolean, "
        "p_click double precision, p_click_population double precision, n_sends bigint, n_clicks bigint, "
        "model_version text, trained_at timestamp, as_of timestamp"
    ),
    "ml.engagement_predictions": (
        "profile_id text, p_open double precision, p_click double precision, model_version text, "
        "trained_at timestamp, as_of timestamp"
    ),
}
"""Columns of what stands upstream, by relation (schema of the target, unless named)."""

OWN_MODELS: Sequence[str] = (
    "rfm_cells",
    "exchange_rates",
    "features",
    "training",
    "lifecycle",
    "segments",
    "affinity",
    "propensity",
    "recommendations",
    "feedback",
    "activation",
)


@dataclass(frozen=True)
class Built:
    """One build, what went in, and today's features by the oracle."""

    settings: Settings
    rows: Mapping[str, list[dict[str, Any]]]
    today: list[dict[str, Any]]
    target: Path
    """dbt's target folder."""


def names(relation: str) -> list[str]:
    """Column names of an upstream relation."""
    depth, start, found = 0, 0, []
    columns = COLUMNS[relation]
    for position, character in enumerate(columns + ","):
        depth += {"(": 1, ")": -1}.get(character, 0)
        if character == "," and depth == 0:
            found.append(columns[start:position].split()[0])
            start = position + 1
    return found


def stored_web_events(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The facts that stand under rows of fct_web_events; a session starts with its first event."""
    found, sessions = [], set()
    for row in sorted(rows, key=lambda row: (row["occurred_at"], row["web_event_id"])):
        session = row.get("session_id")
        starts = session is not None and session not in sessions
        sessions.add(session)
        number = zlib.crc32(repr(sorted(row.items(), key=str)).encode())
        found.append({"known_at": row["occurred_at"]} | dict(row))
        found[-1] |= {"delivery": 1, "is_session_start": starts, "fingerprint": number}
    return found


def write(settings: Settings, rows: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Create every upstream relation, with the rows given; what a row leaves out is null."""
    rows = {"int_web__events": stored_web_events(rows.get("fct_web_events", [])), **rows}
    settings.home.mkdir(parents=True, exist_ok=True)
    with duckdb.connect(str(settings.warehouse_path)) as con:
        con.execute(f'create schema if not exists "{settings.schema}"')
        con.execute(f'create schema if not exists "{settings.ml_schema}"')
        for relation, columns in COLUMNS.items():
            schema, name = (
                (settings.ml_schema, relation[3:]) if relation.startswith("ml.") else (settings.schema, relation)
            )
            con.execute(f'create or replace table "{schema}"."{name}" ({columns})')
            wanted = names(relation)
            values = [[row.get(column) for column in wanted] for row in rows.get(relation, [])]
            if values:
                marks = ", ".join("?" for _ in wanted)
                con.executemany(f'insert into "{schema}"."{name}" values ({marks})', values)


def target_of(settings: Settings, variables: Mapping[str, Any] | None = None) -> Path:
    """dbt's target folder: one for each set of variables, since dbt parses the project again when they change."""
    own = f"_{hashlib.sha256(json.dumps(variables).encode()).hexdigest()[:8]}" if variables else ""
    return settings.dbt_target_dir.with_name(settings.dbt_target_dir.name + own)


def dbt(
    settings: Settings,
    *args: str,
    variables: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
    project: Path = PROJECT_DIR / "dbt_project",
    fails: bool = False,
) -> str:
    """Run dbt on the project; its output. The test fails, with it, if dbt does (or, with `fails`, does not)."""
    target = target_of(settings, variables)
    command = [
        dbt_executable(), "--no-use-colors", *args,
        "--project-dir", str(project), "--profiles-dir", str(project),
        "--target", settings.target,
        "--target-path", str(target), "--log-path", str(target),
    ]  # fmt: skip
    if variables:
        command += ["--vars", json.dumps(variables)]
    result = subprocess.run(
        command,
        env={**os.environ, **dbt_environment(settings), **(environment or {})},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert (result.returncode != 0) == fails, result.stdout + result.stderr
    return result.stdout


def build(settings: Settings, *args: str, variables: Mapping[str, Any] | None = None) -> None:
    """Build the models downstream of `COLUMNS`, without their tests: one invocation, one parse."""
    untested = ("--exclude-resource-type", "test", "--exclude-resource-type", "unit_test")
    dbt(settings, "build", *untested, "--select", *(args or OWN_MODELS), variables=variables)


def read(settings: Settings, relation: str, order_by: str) -> list[dict[str, Any]]:
    """Rows of a built relation, as dicts."""
    with duckdb.connect(str(settings.warehouse_path), read_only=True) as con:
        cursor = con.execute(f'select * from "{settings.schema}"."{relation}" order by {order_by}')
        columns = [column[0] for column in cursor.description or []]
        return [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]


def instant(text: str) -> datetime:
    """`2025-03-01` or `2025-03-01T12:00` as a naive UTC instant."""
    return datetime.fromisoformat(text)


def new_settings(folder: Path) -> Settings:
    """An installation of its own in a folder."""
    return Settings(home=folder / "home", target="prod", lock_timeout_seconds=30)

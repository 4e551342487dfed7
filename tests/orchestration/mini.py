"""A dbt project of ten small models with the borders of the real one (sources, activation models, keys of jobs).

A build of it takes seconds, so that runs can be killed, started twice and stopped at a check in reasonable time. Its
macros, sources and profiles are the real project's files.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import yaml

from warehouse.settings import PROJECT_DIR

REAL = PROJECT_DIR / "dbt_project"
AS_OF = "2026-07-01"

MODELS = {
    "staging/stg_shop__orders": "select order_id, ordered_at from {{ source('raw', 'shop_orders') }} as orders "
    "cross join {{ source('control', 'clock') }} as clock where ordered_at < clock.as_of",
    "orders/fct_order_lines": "select order_id from {{ ref('stg_shop__orders') }}",
    "web/fct_web_events": "select message_id from {{ source('raw', 'web_events') }}",
    "products/dim_products": "select product_id from {{ source('raw', 'shop_products') }}",
    "features/profile_features": "select contact_id as profile_id from {{ source('raw', 'crm_contacts') }}",
    "training/churn_training_set": "select profile_id from {{ ref('profile_features') }}",
    "consent/dim_consent": "select distinct contact_id as profile_id, cast('email' as text) as channel, "
    "cast('newsletter' as text) as purpose, cast('granted' as text) as state, true as is_mailable "
    "from {{ source('raw', 'crm_contacts') }} "
    "where exists (select 1 from {{ source('raw', 'identifier_normalized') }})",
    "recommendations/churn_scores": "select profile_id from {{ source('ml', 'churn_predictions') }}",
    "recommendations/recommendations": "select profile_id from {{ source('ml', 'recommendation_candidates') }}",
}
"""Path → SQL. Everything in `recommendations` and `activation` comes after the predictions."""

MEMBERS = {
    "profile_id": "contacts.contact_id",
    "email": "contacts.email",
    "subscriber_hash": "md5(contacts.email)",
    "consent_verdict": "cast('subscribe' as text)",
    "consent_reason": "cast('test' as text)",
    "first_name": "contacts.first_name",
    "customer_stage": "cast('prospect' as text)",
    "journey_stage": "cast('awareness' as text)",
    "engagement_level": "cast('never' as text)",
    "as_of": "clock.as_of",
}


def _columns(model: str) -> list[tuple[str, str]]:
    """Columns and types of an activation model, from the real project's contract."""
    path = REAL / "models" / "activation" / f"{model}.yml"
    content: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    (node,) = [node for node in content["models"] if node["name"] == model]
    return [(column["name"], column["data_type"]) for column in node["columns"]]


def _pick(name: str, kind: str) -> str:
    if name in MEMBERS:
        return f"{MEMBERS[name]} as {name}"
    return f"cast(null as {kind.replace('string', 'text')}) as {name}"


def _members() -> str:
    picks = ", ".join(_pick(name, kind) for name, kind in _columns("sync_esp__members"))
    return (
        f"select {picks} from (select contact_id, min(first_name) as first_name, "
        "lower('p' || contact_id || '@shop.example') as email from {{ source('raw', 'crm_contacts') }} "
        "group by contact_id) as contacts cross join {{ source('control', 'clock') }} as clock "
        "where contacts.contact_id in (select profile_id from {{ ref('dim_consent') }}) "
        "and (select count(*) from {{ ref('churn_scores') }}) >= 0 "
        "and (select count(*) from {{ ref('recommendations') }}) >= 0"
    )


def _segment_members() -> str:
    picks = {
        "profile_id": "profile_id",
        "email": "email",
        "subscriber_hash": "subscriber_hash",
        "segment_name": "cast('everybody' as text)",
        "entered_at": "as_of",
        "consent_verdict": "consent_verdict",
        "as_of": "as_of",
    }
    names = [name for name, _ in _columns("sync_esp__segment_members")]
    columns = ", ".join(f"{picks[name]} as {name}" for name in names)
    return f"select {columns} from {{{{ ref('sync_esp__members') }}}}"


def _events() -> str:
    return (
        "select md5(profile_id) as event_id, profile_id, email, subscriber_hash, consent_verdict, "
        "cast('entered_segment' as text) as event_name, entered_at - interval 1 microsecond as occurred_at, "
        "segment_name, as_of "
        "from {{ ref('sync_esp__segment_members') }}"
    )


def _addresses() -> str:
    return (
        "select profile_id, email, subscriber_hash, false as is_refused, "
        "cast(null as timestamp) as suppressions_weighed_to from {{ ref('sync_esp__members') }}"
    )


def write_mini_project(folder: Path) -> Path:
    """Write the project into `folder`."""
    shutil.copytree(REAL / "macros", folder / "macros")
    shutil.copy(REAL / "profiles.yml", folder / "profiles.yml")
    real = yaml.safe_load((REAL / "dbt_project.yml").read_text(encoding="utf-8"))
    after_ml = {"+tags": ["after_ml"]}
    project = {key: real[key] for key in ("name", "version", "config-version", "profile", "flags", "vars")}
    project["models"] = {
        real["name"]: {"+materialized": "table", "+group": "all", "recommendations": after_ml, "activation": after_ml}
    }
    (folder / "dbt_project.yml").write_text(yaml.safe_dump(project), encoding="utf-8")
    models = {
        **MODELS,
        "activation/sync_esp__members": _members(),
        "activation/sync_esp__addresses": _addresses(),
        "activation/sync_esp__segment_members": _segment_members(),
        "activation/sync_esp__events": _events(),
    }
    for name, sql in models.items():
        path = folder / "models" / f"{name}.sql"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(sql + "\n", encoding="utf-8")
    shutil.copy(REAL / "models" / "staging" / "sources.yml", folder / "models" / "staging" / "sources.yml")
    group = {"name": "all", "owner": {"name": "Tests", "email": "tests@mailwright.invalid"}}
    key_tests = [{"name": "order_id", "data_tests": ["not_null"]}]
    (folder / "models" / "mini.yml").write_text(
        yaml.safe_dump({"groups": [group], "models": [{"name": "fct_order_lines", "columns": key_tests}]}),
        encoding="utf-8",
    )
    return folder

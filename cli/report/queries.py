"""All SQL of the report, by name. It reads marts and operational tables, and selects no personal column.

`{schema}` is the schema of the marts, `{ml}` that of predictions. Every query has a total order.
"""

from __future__ import annotations

QUERIES: dict[str, str] = {
    # -- one row -----------------------------------------------------------------------------------
    "clock": "select as_of, known_at from {schema}.clock",
    "totals": """
        select
            count(*) as profiles,
            count(*) filter (where signed_up_at is not null) as signed_up,
            count(*) filter (where email is not null) as with_email
        from {schema}.dim_profiles""",
    "order_totals": """
        select
            count(*) filter (where is_purchase) as orders,
            count(distinct profile_id) filter (where is_purchase) as buyers,
            coalesce(sum(net_revenue), 0) as net_revenue,
            min(ordered_on) as first_on,
            max(ordered_on) as last_on,
            min(currency) as currency
        from {schema}.fct_orders""",
    "web_totals": "select count(*) as events, count(distinct session_id) as sessions from {schema}.fct_web_events",
    "email_totals": """
        select
            count(*) as events,
            count(*) filter (where event_type = 'delivered') as delivered,
            count(*) filter (where event_type = 'open' and not is_machine) as human_opens,
            count(*) filter (where event_type = 'open' and is_machine) as machine_opens,
            count(*) filter (where event_type = 'click' and not is_machine) as human_clicks,
            count(*) filter (where event_type = 'click' and is_machine) as machine_clicks
        from {schema}.fct_email_events""",
    "build": """
        select build_id, schema_name, as_of, status, n_models, n_tests, n_failed, finished_at
        from ops.builds where schema_name = '{schema}' order by started_at desc, build_id desc limit 1""",
    # -- where it comes from -----------------------------------------------------------------------
    "sources": """
        select
            table_name,
            provenance,
            count(*) as files,
            cast(sum(rows_loaded) as bigint) as rows_loaded,
            cast(sum(rows_quarantined) as bigint) as rows_quarantined
        from ops.loads group by table_name, provenance order by table_name, provenance""",
    "reconciliation": """
        select step_number, step, rule, rows_removed, revenue_removed, rows_left, revenue_left
        from {schema}.order_reconciliation order by step_number""",
    # -- who they are ------------------------------------------------------------------------------
    "customer_stages": """
        select customer_stage as name, count(*) as profiles
        from {schema}.lifecycle_stages group by customer_stage order by profiles desc, name""",
    "journey_stages": """
        select journey_stage as name, count(*) as profiles
        from {schema}.lifecycle_stages group by journey_stage order by profiles desc, name""",
    "engagement": """
        select engagement_level as name, count(*) as profiles
        from {schema}.engagement_levels group by engagement_level order by profiles desc, name""",
    "stage_days": """
        select as_of_on, stage, share
        from {schema}.lifecycle_sizes where vocabulary = 'customer_stage' order by as_of_on, stage""",
    "stage_matrix": """
        select from_stage, to_stage, n_transitions, n_from
        from {schema}.lifecycle_matrix where vocabulary = 'customer_stage' order by from_stage, to_stage""",
    "rfm_cells": """
        select
            rfm_cell as name,
            count(*) as profiles,
            cast(sum(monetary) as numeric(18, 2)) as revenue,
            avg(recency_days) as mean_recency_days
        from {schema}.rfm_scores group by rfm_cell order by profiles desc, name""",
    "rfm_grid": """
        select recency_score, frequency_score, count(*) as profiles
        from {schema}.rfm_scores group by recency_score, frequency_score order by recency_score, frequency_score""",
    "rfm_frequency": """
        select frequency_score as score, count(*) as profiles
        from {schema}.rfm_scores group by frequency_score order by frequency_score""",
    "segment_overlap": """
        select
            one.segment_name as one,
            other.segment_name as other,
            count(*) as common,
            count(*) / any_value(sizes.members) as share
        from {schema}.segment_memberships as one
        inner join {schema}.segment_memberships as other on one.profile_id = other.profile_id
        inner join (
            select segment_name, count(*) as members from {schema}.segment_memberships group by segment_name
        ) as sizes on one.segment_name = sizes.segment_name
        group by one.segment_name, other.segment_name order by one, other""",
    "segment_days": """
        select changed_on, segment_name, max_by(n_members, changed_at) as members
        from {schema}.segment_sizes group by changed_on, segment_name order by changed_on, segment_name""",
    "segments": """
        select
            segments.name,
            count(memberships.profile_id) as profiles,
            count(members.profile_id) filter (where members.consent_verdict = 'subscribe') as mailable
        from (
            -- from the catalogue, so that a segment without anybody is shown too
            select substr(table_name, 5) as name from information_schema.tables
            where table_schema = '{schema}' and substr(table_name, 1, 4) = 'seg_'
        ) as segments
        left join {schema}.segment_memberships as memberships on segments.name = memberships.segment_name
        left join {schema}.sync_esp__members as members on memberships.profile_id = members.profile_id
        group by segments.name order by profiles desc, segments.name""",
    # -- what they do ------------------------------------------------------------------------------
    "weekly": """
        select
            cast(date_trunc('week', activity_on) as date) as week_on,
            cast(sum(n_sessions) as bigint) as sessions,
            cast(sum(n_orders) as bigint) as orders,
            cast(sum(n_human_opens) as bigint) as human_opens,
            cast(sum(n_machine_opens) as bigint) as machine_opens,
            cast(sum(n_human_clicks) as bigint) as human_clicks
        from {schema}.profile_daily
        where
            -- whole weeks alone: half a week looks like a fall
            date_trunc('week', activity_on) >= (select min(activity_on) from {schema}.profile_daily)
            and date_trunc('week', activity_on) + interval '7 days' <= (select as_of from {schema}.clock)
        group by 1 order by 1""",
    "monthly_revenue": """
        select
            cast(date_trunc('month', ordered_on) as date) as month_on,
            cast(sum(net_revenue) as numeric(18, 2)) as net_revenue,
            count(*) filter (where is_purchase) as orders
        from {schema}.fct_orders group by 1 order by 1""",
    "top_products": """
        select
            products.product_name as name,
            cast(sum(lines.net_revenue) as numeric(18, 2)) as net_revenue,
            cast(sum(lines.net_quantity) as bigint) as quantity,
            count(distinct lines.profile_id) as buyers
        from {schema}.fct_order_lines as lines
        inner join {schema}.dim_products as products on lines.product_id = products.product_id
        group by products.product_id, products.product_name
        order by sum(lines.net_revenue) desc, products.product_id limit 10""",
    # -- predictions -------------------------------------------------------------------------------
    "rungs": """
        select rung as name, count(distinct profile_id) as profiles, count(*) as items
        from {schema}.recommendations where placement = 'email' group by rung
        order by position(rung in 'rule personal category source popular')""",
    "best_rungs": """
        select rung as name, count(*) as profiles from {schema}.recommendations
        where placement = 'email' and rank = 1 group by rung
        order by position(rung in 'rule personal category source popular')""",
    "recommended": """
        select count(distinct profile_id) as profiles, max(expires_at) as expires_at
        from {schema}.recommendations where placement = 'email'""",
    "churn_bands": """
        select churn_band as name, count(*) as profiles, avg(churn_probability) as mean_probability
        from {schema}.churn_scores group by churn_band
        order by case churn_band when 'low' then 1 when 'medium' then 2 else 3 end""",
    "models": """
        select model_version, job, as_of, trained_at, metrics, n_train, n_test, is_live, decision from {ml}.model_runs
        where as_of <= (select as_of from {schema}.clock)
        qualify row_number() over (
            partition by job
            -- what scores; where nothing does, the newest that was refused
            order by coalesce(is_live, artefact_sha256 is not null) desc, as_of desc, trained_at desc, model_version
        ) = 1
        order by job""",
    "calibration": """
        select calibration.bin, calibration.n, calibration.mean_predicted, calibration.observed_rate
        from {ml}.calibration
        where calibration.model_version = (
            select model_version from {ml}.model_runs
            where job = 'churn' and coalesce(is_live, artefact_sha256 is not null)
                and as_of <= (select as_of from {schema}.clock)
            order by as_of desc, trained_at desc, model_version limit 1
        )
        order by calibration.bin""",
    # -- may they be written to, and was everything checked ----------------------------------------
    "consent": """
        select purpose, state, count(*) as profiles
        from {schema}.dim_consent group by purpose, state order by purpose, state""",
    "verdicts": """
        select consent_verdict as verdict, consent_reason as reason, count(*) as profiles
        from {schema}.sync_esp__members
        group by consent_verdict, consent_reason order by profiles desc, verdict, reason""",
    "checks": """
        select
            runs.subject_kind,
            runs.table_name,
            cast(sum(runs.n_expectations) as bigint) as expectations,
            cast(sum(runs.n_failed) as bigint) as failed,
            bool_and(runs.success) as success
        from (
            select * from ops.check_runs
            qualify row_number() over (
                partition by subject_kind, subject_id, table_name, suite
                order by checked_at desc, check_run_id desc
            ) = 1
        ) as runs
        where
            (runs.subject_kind = 'load' and runs.subject_id in (select load_id from ops.loads))
            or runs.subject_id = (
                select build_id from ops.builds where schema_name = '{schema}'
                order by started_at desc, build_id desc limit 1
            )
        group by runs.subject_kind, runs.table_name order by runs.subject_kind desc, runs.table_name""",
    "quarantine": """
        select table_name, reason, count(*) as rows from raw.quarantine
        group by table_name, reason order by rows desc, table_name, reason""",
}

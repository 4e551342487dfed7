{#-
    Facts that are made incrementally by event day. Each stored row carries a fingerprint of what it was made of, so the fact itself
    says which of its days are as its source has them: rows that came late, twice, out of order or through a load of the past, rows
    withdrawn, rows that the clock no longer shows, and rules that changed all show as a day whose sums differ.
-#}

{#- integer: changes with the text of a model and with the given settings. Part of every row's fingerprint. -#}
{%- macro fact_logic_fingerprint(model_name, settings=[]) -%}
    {#- a unit test knows no graph -#}
    {%- if not execute or graph.nodes is not defined -%}{{ return(0) }}{%- endif -%}
    {%- set node = graph.nodes['model.mailwright.' ~ model_name] -%}
    {{ return(local_md5([facts_macros_version(), node.checksum.checksum, settings] | join('|'))[:12] | int(0, 16)) }}
{%- endmacro -%}

{#-
    select of (occurred_on): the local days that a build computes again. `current_rows` and `stored_rows` are relations or queries in
    parentheses with occurred_on and fingerprint (bigint): what the source has now, and what the fact has. Those are the days whose
    sums differ, on either side, and the newest stored day with the var late_arrival_days days before it.
-#}
{%- macro rebuilt_days(current_rows, stored_rows) -%}
    select coalesce(current_days.occurred_on, stored_days.occurred_on) as occurred_on
    from (
        select occurred_on, cast(sum(fingerprint) as numeric(38, 0)) as fingerprint from {{ current_rows }} as c group by occurred_on
    ) as current_days
    full outer join (
        select occurred_on, cast(sum(fingerprint) as numeric(38, 0)) as fingerprint from {{ stored_rows }} as s group by occurred_on
    ) as stored_days on current_days.occurred_on = stored_days.occurred_on
    where
        current_days.fingerprint is distinct from stored_days.fingerprint
        or stored_days.occurred_on >= {{ add_days('(select max(occurred_on) from ' ~ stored_rows ~ ' as n)', -1 * var('late_arrival_days')) }}
{%- endmacro -%}

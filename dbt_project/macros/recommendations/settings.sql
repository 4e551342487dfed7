{#- relation: what gives the personal rung its candidates: our own model's, or those of the model that var recommendation_model names. -#}
{%- macro recommendation_candidates() -%}
    {%- if var('recommendation_model') -%}
        {{ ref(var('recommendation_model')) }}
    {%- else -%}
        {{ source('ml', 'recommendation_candidates') }}
    {%- endif -%}
{%- endmacro -%}

{#- double: share of var recommendation_holdout, checked: 0, or from one in ten thousand to below 1. -#}
{%- macro holdout_share() -%}
    {%- set holdout = var('recommendation_holdout') -%}
    {%- set share = holdout['share'] -%}
    {%- if share is not number or not (share == 0 or 0.0001 <= share < 1) -%}
        {{ exceptions.raise_compiler_error("vars.recommendation_holdout.share is '" ~ share ~ "': 0, or a number from 0.0001 to below 1") }}
    {%- endif -%}
    {%- if 'draw' not in holdout -%}
        {{ exceptions.raise_compiler_error("vars.recommendation_holdout.draw is missing: a number, another for another draw") }}
    {%- endif -%}
    {{ return(share) }}
{%- endmacro -%}

{#- boolean: a profile is drawn to be held out, if it may be. A greater share draws the same profiles, and more. -#}
{%- macro is_drawn(profile_id) -%}
    {{- hash_bucket('recommendation_holdout|' ~ var('recommendation_holdout')['draw'], profile_id) }} < {{ (holdout_share() * 10000) | round(6) -}}
{%- endmacro -%}

{#- mapping: var recommendation_placements by name, checked: n from 1, leave_out among what own products are known to be. -#}
{%- macro recommendation_placements() -%}
    {%- set placements, wrong = var('recommendation_placements'), [] -%}
    {%- if 'email' not in placements -%}{%- do wrong.append("email is missing: it serves everybody") -%}{%- endif -%}
    {%- for name, placement in placements.items() -%}
        {%- if placement['n'] is not integer or placement['n'] < 1 -%}
            {%- do wrong.append(name ~ ".n is '" ~ placement['n'] ~ "': a whole number from 1") -%}
        {%- endif -%}
        {%- for what in placement.get('leave_out', []) if what not in ['in_cart', 'bought'] -%}
            {%- do wrong.append(name ~ ".leave_out has '" ~ what ~ "': in_cart or bought") -%}
        {%- endfor -%}
    {%- endfor -%}
    {%- if wrong -%}{{ exceptions.raise_compiler_error("vars.recommendation_placements: " ~ wrong | join('; ')) }}{%- endif -%}
    {{ return(placements) }}
{%- endmacro -%}

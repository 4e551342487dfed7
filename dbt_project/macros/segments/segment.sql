{#-
  A segment: the profiles that satisfy every condition of `all_of`, one of `any_of` where given, and none of `none_of`
  (docs/segments.md). With capacity, the first so many of them by the column `by`.

      {{ segment(
          all_of=[did('Product Viewed', within='48 hours')],
          none_of=[did('Product Added', within='48 hours')],
      ) }}

  In its own model it is a query: one row per member, profile_id and as_of. Where many segments are computed together, it says what it
  is, so that they share what they read (members.sql).
-#}
{% macro segment(all_of=[], any_of=[], none_of=[], capacity=none, by=none, smallest_first=false) -%}
    {%- set definition = {
        'name': model.name[4:], 'all_of': all_of, 'any_of': any_of, 'none_of': none_of + earlier_in_lists(model.name[4:]),
        'capacity': capacity, 'by': by, 'smallest_first': smallest_first,
    } -%}
    {%- if not (model.name or '').startswith('seg_') -%}
        {{- return('<<segment>>' ~ tojson(definition) ~ '<</segment>>') -}}
    {%- endif -%}
    {#- dbt learns the parents when it parses, before it knows the columns that the rest is checked against -#}
    {%- set read = ['profile_features'] + models_read(conditions_of(definition)) + ([person_relation_of(by)] if by else []) -%}
    {%- if not execute -%}
        {%- for relation in read -%}{%- do ref(relation) -%}{%- endfor -%}
        {%- do source('control', 'clock') -%}
        {%- do source('segments', 'static_members') if 'int_identity__identifier_profiles' in read -%}
        {{- return('select profile_id, as_of from ' ~ ref('profile_features')) -}}
    {%- endif -%}
    {{- return(members_query([definition], alone=true)) -}}
{%- endmacro %}


{#- A segment of the people whom somebody put on its list (`mailwright segment import`, `freeze`). -#}
{% macro static_segment() -%}
    {{- return(segment(all_of=[{'op': 'is_static'}])) -}}
{%- endmacro %}


{#- Priority lists (var): who is in an earlier segment of a list is not in a later one. -#}
{% macro earlier_in_lists(name) -%}
    {%- set found = [] -%}
    {%- for segments in var('priority_lists').values() if name in segments -%}
        {%- for earlier in segments[:segments.index(name)] -%}{%- do found.append(in_segment(earlier)) -%}{%- endfor -%}
    {%- endfor -%}
    {{- return(found) -}}
{%- endmacro %}


{#- What a segment model of the graph says it is; none for a plain select. -#}
{% macro segment_definition(name) -%}
    {%- set node = graph.nodes.get('model.' ~ project_name ~ '.seg_' ~ name) -%}
    {%- if node is none -%}{{- return(none) -}}{%- endif -%}
    {#- a plain select may read models that this one does not, so its text is left alone -#}
    {%- set text = modules.re.sub('--[^\n]*', '', node.raw_code) -%}
    {%- if not modules.re.search('(^|[^a-z_])(static_)?segment\\(', text) -%}{{- return(none) -}}{%- endif -%}
    {%- set said = modules.re.fullmatch('(?s)\\s*<<segment>>(.*)<</segment>>\\s*', modules.re.sub('--[^\n]*', '', render(node.raw_code))) -%}
    {%- if not said or '<<segment>>' in said.group(1) -%}
        {{- exceptions.raise_compiler_error(
            node.original_file_path ~ ": segment(…) is not all of the file. Write it alone, or without it as a select of profile_id."
        ) -}}
    {%- endif -%}
    {%- set definition = fromjson(said.group(1)) -%}
    {%- do definition.update({'name': name, 'none_of': definition.none_of + earlier_in_lists(name)}) -%}
    {{- return(definition) -}}
{%- endmacro %}
{#-
  Names of all segment models (without folder), from which segment_memberships is built. dbt must know a model's parents
  when it parses, before it knows which models there are; so the list comes from the environment (`mailwright` and its
  Dagster assets set MAILWRIGHT_SEGMENTS from the files in models/segments) and, in a bare dbt shell, from this default.
  In either case the list is compared with the graph, and a segment that is missing stops the run.
-#}
{% macro segment_models() -%}
    {%- set listed = env_var('MAILWRIGHT_SEGMENTS', 'seg_abandoned_cart_24h seg_at_risk seg_frequent_buyers_30d seg_high_order_value seg_interested_in_topic seg_lapsed seg_new_york_repeat_category seg_no_session_7d seg_qualified_leads seg_recent_buyers_opening seg_viewed_not_carted_48h seg_vip_engaged').split() -%}
    {%- if execute -%}
        {%- set found = [] -%}
        {%- for node in graph.nodes.values() if node.resource_type == 'model' and node.path.startswith('segments/seg_') -%}
            {%- do found.append(node.name) -%}
        {%- endfor -%}
        {%- if found | sort | list != listed | sort | list -%}
            {{ exceptions.raise_compiler_error(
                "The segments in models/segments are " ~ found | sort | join(' ') ~ ", but segment_memberships was told of "
                ~ listed | sort | join(' ') ~ ". Run through `mailwright build`, or: export MAILWRIGHT_SEGMENTS='"
                ~ found | sort | join(' ') ~ "'"
            ) }}
        {%- endif -%}
    {%- endif -%}
    {{- return(listed | sort | list) -}}
{%- endmacro %}


{#- The text of a plain select, as its file is now. -#}
{% macro plain_query(name) -%}
    {{- return(render(graph.nodes['model.' ~ project_name ~ '.seg_' ~ name].raw_code)) -}}
{%- endmacro %}


{#- boolean: it, and all that it names, is of the vocabulary, which alone can be asked for its past. -#}
{% macro has_past(name) -%}
    {%- set names, open = [], [name] -%}
    {%- for _ in range(1000) if open -%}
        {%- set one = open.pop() -%}
        {%- if one not in names -%}
            {%- do names.append(one) -%}
            {%- set definition = segment_definition(one) -%}
            {%- if definition is none -%}{{- return(false) -}}{%- endif -%}
            {%- do open.extend(segments_named(conditions_of(definition))) -%}
        {%- endif -%}
    {%- endfor -%}
    {{- return(true) -}}
{%- endmacro %}


{#- Definitions of segments and of those that they name, however far; plain selects have none. -#}
{% macro definitions_with(names) -%}
    {%- set found, open = {}, names | list -%}
    {%- for _ in range(1000) if open -%}
        {%- set name = open.pop() -%}
        {%- if name not in found -%}
            {%- set definition = segment_definition(name) -%}
            {%- do found.update({name: definition}) -%}
            {%- do open.extend(segments_named(conditions_of(definition)) if definition else []) -%}
        {%- endif -%}
    {%- endfor -%}
    {{- return(found.values() | select | list) -}}
{%- endmacro %}

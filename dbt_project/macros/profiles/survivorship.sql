{#- dict: the attributes of a profile, and the sources that can say something of each. -#}
{%- macro profile_attributes() -%}
    {{ return({
        'first_name': ['crm_contact', 'shop_customer', 'newsletter_signup'],
        'last_name': ['crm_contact', 'shop_customer'],
        'gender': ['crm_contact'],
        'birth_year': ['crm_contact'],
        'city': ['crm_contact', 'shop_customer'],
        'country': ['crm_contact', 'shop_customer'],
        'time_zone': ['crm_contact'],
        'email': [
            'crm_contact', 'shop_customer', 'newsletter_signup', 'web_event', 'shop_order', 'email_event', 'consent_event'],
        'user_id': ['crm_contact', 'shop_customer', 'web_event', 'shop_order'],
    }) }}
{%- endmacro -%}

{#- list: the attributes that are identifiers; the others are what people stated. -#}
{%- macro identifier_attributes() -%}{{ return(['email', 'user_id']) }}{%- endmacro -%}

{#-
    dict: var `survivorship`, checked. Per attribute {rule, tiers}; tiers is a list of lists of sources, those trusted most first,
    and empty unless the rule is most_trusted.
-#}
{%- macro survivorship_rules() -%}
    {%- set attributes = profile_attributes() -%}
    {%- set declared = var('survivorship') -%}
    {%- if declared is not mapping -%}
        {{ survivorship_error("one entry per attribute is expected, as in `city: {rule: most_recent}`") }}
    {%- endif -%}
    {%- for attribute in declared if attribute not in attributes -%}
        {{ survivorship_error("unknown attribute '" ~ attribute ~ "'; the attributes are " ~ attributes | join(', ')) }}
    {%- endfor -%}
    {%- set checked = {} -%}
    {%- for attribute, known in attributes.items() -%}
        {%- if attribute not in declared -%}
            {{ survivorship_error("no entry for '" ~ attribute ~ "'; every attribute has one") }}
        {%- endif -%}
        {%- do checked.update({attribute: survivorship_rule(attribute, known, declared[attribute])}) -%}
    {%- endfor -%}
    {{ return(checked) }}
{%- endmacro -%}

{#- dict: {rule, tiers} of one entry, checked. -#}
{%- macro survivorship_rule(attribute, known, entry) -%}
    {%- set rules = ['most_recent', 'most_trusted', 'most_frequent'] -%}
    {%- if entry is not mapping -%}
        {{ survivorship_error(attribute ~ ": expected {rule: …}, found '" ~ entry ~ "'") }}
    {%- endif -%}
    {%- for key in entry if key not in ['rule', 'sources'] -%}
        {{ survivorship_error(attribute ~ ": unknown key '" ~ key ~ "'; the keys are rule and sources") }}
    {%- endfor -%}
    {%- set rule = entry.get('rule') -%}
    {%- if rule not in rules -%}
        {{ survivorship_error(attribute ~ ": unknown rule '" ~ rule ~ "'; the rules are " ~ rules | join(', ')) }}
    {%- endif -%}
    {%- if rule != 'most_trusted' and 'sources' in entry -%}
        {{ survivorship_error(attribute ~ ": " ~ rule ~ " takes no sources") }}
    {%- endif -%}
    {%- set sources = entry.get('sources') or [] -%}
    {%- if rule == 'most_trusted' and (sources is string or sources is mapping or sources is not sequence or not sources) -%}
        {{ survivorship_error(attribute ~ ": most_trusted needs a list of sources, those trusted most first") }}
    {%- endif -%}
    {%- set tiers = [] -%}
    {%- set seen = [] -%}
    {%- for tier in sources -%}
        {%- if not tier or tier is mapping or tier is not sequence -%}
            {{ survivorship_error(attribute ~ ": expected a source or a list of sources, found '" ~ tier ~ "'") }}
        {%- endif -%}
        {%- do tiers.append([tier] if tier is string else tier) -%}
        {%- for source in tiers[-1] -%}
            {%- if source not in known -%}
                {{ survivorship_error(attribute ~ ": unknown source '" ~ source ~ "'; it can come from " ~ known | join(', ')) }}
            {%- endif -%}
            {%- if source in seen -%}
                {{ survivorship_error(attribute ~ ": source '" ~ source ~ "' is listed twice") }}
            {%- endif -%}
            {%- do seen.append(source) -%}
        {%- endfor -%}
    {%- endfor -%}
    {{ return({'rule': rule, 'tiers': tiers}) }}
{%- endmacro -%}

{%- macro survivorship_error(message) -%}
    {{ exceptions.raise_compiler_error("dbt_project.yml, vars, survivorship: " ~ message ~ ".") }}
{%- endmacro -%}

{#- integer: the place of a source in the declared order of trust; 1 is best, a source that is not listed comes last. -#}
{%- macro trust_rank(attribute, source, rules) -%}
    {%- set places = [] -%}
    {%- for name, rule in rules.items() -%}{%- for tier in rule.tiers -%}
        {%- do places.append({'attribute': name, 'sources': tier, 'place': loop.index}) -%}
    {%- endfor -%}{%- endfor -%}
    {%- if places -%}
    case
        {%- for place in places %}
        when
            {{ attribute }} = '{{ place.attribute }}'
            and {{ one_of(source, place.sources) }}
            then {{ place.place }}
        {%- endfor %}
        else {{ places | map(attribute='place') | max + 1 }}
    end
    {%- else -%}
    1
    {%- endif -%}
{%- endmacro -%}

{#- numeric: how often the value of a row was said in all, where the rule of its attribute asks; otherwise 0. -#}
{%- macro frequency(relation, rules) -%}
    {%- set counted = [] -%}
    {%- for name, rule in rules.items() if rule.rule == 'most_frequent' -%}{%- do counted.append(name) -%}{%- endfor -%}
    {%- if counted -%}
    case
        when {{ one_of(relation ~ '.attribute', counted) }}
            then sum({{ relation }}.n_times) over (
                partition by {{ relation }}.profile_id, {{ relation }}.attribute, {{ relation }}.value
            )
        else 0
    end
    {%- else -%}
    0
    {%- endif -%}
{%- endmacro -%}

{#- boolean: the text is one of a few. -#}
{%- macro one_of(column, values) -%}{{ column }} in ('{{ values | join("', '") }}'){%- endmacro -%}

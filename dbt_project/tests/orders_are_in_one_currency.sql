-- Money is added up over orders (features, RFM, lifecycle): euros and yen must not be. Nothing downstream of these lines
-- is built while orders that count are in more than one currency, or in another than var shop_currency.
with lines as (
    select * from {{ ref('int_orders__lines') }}
),

currencies as (
    select
        currency,
        count(*) as n_lines
    from lines
    where (excluded_reason is null or excluded_reason = 'cancelled_order') and currency is not null
    group by currency
)

select * from currencies
where
    {%- if var('shop_currency') %}
    currency <> '{{ var('shop_currency') }}'
    {%- else %}
    (select count(*) from currencies) > 1
    {%- endif %}

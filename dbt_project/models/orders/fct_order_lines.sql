with lines as (
    select * from {{ ref('int_orders__lines') }}
),

matches as (
    select * from {{ ref('int_orders__return_matches') }}
),

identifier_profiles as (
    select * from {{ ref('int_identity__identifier_profiles') }}
),

returned as (
    select
        matches.order_line_id,
        sum(matches.quantity) as quantity,
        max(matches.returned_at) as last_returned_at
    from matches
    group by matches.order_line_id
),

netted as (
    select
        lines.*,
        cast(coalesce(returned.quantity, 0) as bigint) as returned_quantity,
        cast(lines.quantity - coalesce(returned.quantity, 0) as bigint) as net_quantity,
        returned.last_returned_at
    from lines
    left join returned on lines.order_line_id = returned.order_line_id
    where lines.excluded_reason is null and lines.order_type = 'sale'
),

final as (
    select
        netted.order_line_id,
        netted.order_id,
        netted.line_number,
        identifier_profiles.profile_id,
        netted.identifier_type,
        netted.identifier_value,
        netted.product_id,
        netted.ordered_at,
        netted.ordered_on,
        netted.known_at,
        identifier_profiles.linked_at,
        netted.quantity,
        netted.returned_quantity,
        netted.net_quantity,
        netted.unit_price,
        netted.currency,
        cast(netted.quantity * netted.unit_price as numeric(18, 2)) as gross_revenue,
        cast(
            cast(netted.quantity * netted.unit_price as numeric(18, 2))
            - cast(netted.net_quantity * netted.unit_price as numeric(18, 2))
            as numeric(18, 2)
        ) as returned_revenue,
        cast(netted.net_quantity * netted.unit_price as numeric(18, 2)) as net_revenue,
        netted.last_returned_at
    from netted
    left join identifier_profiles
        on
            netted.identifier_type = identifier_profiles.identifier_type
            and netted.identifier_value = identifier_profiles.identifier_value
)

select * from final

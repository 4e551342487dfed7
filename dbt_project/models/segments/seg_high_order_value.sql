{{ segment(
    all_of=[prop('average_order_value', '>', var('high_order_value'))],
) }}

{{ segment(
    all_of=[has_features('average_order_value > ' ~ var('high_order_value'))],
) }}

{{ segment(
    all_of=[has_features('orders_30d >= 3')],
) }}

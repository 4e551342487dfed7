{{ segment(
    all_of=[has_features('orders_7d > 0'), human_opened(last_days=3)],
) }}

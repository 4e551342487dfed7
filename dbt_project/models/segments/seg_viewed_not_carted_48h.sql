{{ segment(
    all_of=[did_event('Product Viewed', last_hours=48)],
    none_of=[did_event('Product Added', last_hours=48)],
) }}

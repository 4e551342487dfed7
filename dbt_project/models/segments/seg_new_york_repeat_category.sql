{{ segment(
    all_of=[
        lives_in('New York'),
        in_stage("customer_stage = 'repeat_buyer'"),
        did_event('Product Viewed', last_days=90, where="lower(events.category) = '" ~ var('segment_category') ~ "'"),
    ],
) }}

{{ segment(
    all_of=[
        prop('city', 'is', 'New York'),
        prop('customer_stage', '=', 'repeat_buyer'),
        did('Product Viewed', within='90 days', where=[prop('category', 'is', var('segment_category'))]),
    ],
) }}

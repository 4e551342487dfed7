{{ segment(
    all_of=[left_behind('Product Added', after_hours=24, until_hours=var('abandoned_cart_until_hours'))],
) }}

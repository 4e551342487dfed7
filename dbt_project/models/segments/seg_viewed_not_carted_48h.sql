{{ segment(
    all_of=[did('Product Viewed', within='48 hours'), did_not('Product Added', within='48 hours')],
) }}

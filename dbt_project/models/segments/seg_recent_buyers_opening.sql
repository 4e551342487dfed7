{{ segment(
    all_of=[did('Order Placed', within='7 days'), did('Email Opened', within='3 days')],
) }}

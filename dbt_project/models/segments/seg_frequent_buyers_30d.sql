{{ segment(
    all_of=[did('Order Placed', within='30 days', at_least=3)],
) }}

{{ segment(
    all_of=[prop('customer_stage', '=', 'lapsed_customer')],
) }}

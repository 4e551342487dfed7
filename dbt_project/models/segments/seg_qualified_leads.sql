{{ segment(
    all_of=[prop('customer_stage', '=', 'prospect'), did('Demo Requested')],
) }}

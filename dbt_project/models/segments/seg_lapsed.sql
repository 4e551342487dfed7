{{ segment(
    all_of=[in_stage("customer_stage = 'lapsed_customer'")],
) }}

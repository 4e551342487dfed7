{{ segment(
    all_of=[in_stage("customer_stage = 'prospect'"), did_event('Demo Requested')],
) }}

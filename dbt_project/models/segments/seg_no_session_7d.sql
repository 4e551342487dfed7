{{ segment(
    all_of=[has_features('last_session_at is not null')],
    none_of=[has_features(local_date('last_session_at') ~ ' > ' ~ add_days('as_of_on', -7))],
) }}

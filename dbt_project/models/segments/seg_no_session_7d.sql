{{ segment(
    all_of=[prop('last_session_at', 'older than', '7 days')],
) }}

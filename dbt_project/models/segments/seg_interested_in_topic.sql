{{ segment(
    all_of=[interested_in(var('segment_topic'))],
) }}

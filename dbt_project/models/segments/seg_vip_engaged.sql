{{ segment(
    all_of=[prop('engagement_score', '>=', var('vip_min_engagement_score'))],
) }}

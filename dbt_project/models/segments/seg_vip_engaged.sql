{{ segment(
    all_of=[has_features('engagement_score >= ' ~ var('vip_min_engagement_score'))],
) }}

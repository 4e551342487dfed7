{{ engagement_levels(ref('profile_features')) }}

{{ rfm_scores(ref('profile_features')) }}

{{ profile_features(ref('int_training__cutoffs')) }}

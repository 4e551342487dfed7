{{ lifecycle_stages(ref('profile_features')) }}

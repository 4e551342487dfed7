{{ profile_features(source('control', 'clock')) }}

"""What was predicted is kept, so that outcomes can be held against it, and each day against the model's first."""

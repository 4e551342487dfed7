"""Lifetime value: how often, when and for how much each buyer will buy again, by BG/NBD and Gamma-Gamma."""

"""Churn of buyers: the calibrated probability of no purchase within the horizon after a cut-off."""

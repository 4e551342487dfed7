"""Bring files into `raw.*`, and normalize the identifiers found there."""

"""Twins: local servers that behave like a vendor's API, so that syncs can be tried and tested without an account.

A twin is simulated. What it does is taken from the vendor's specification, the vendor's pages or recorded traffic;
what has no such source is marked `[unv]` in its code.
"""

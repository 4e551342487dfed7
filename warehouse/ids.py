"""Identifiers of operational records (loads, builds, runs): sortable by time, unique across processes."""

from __future__ import annotations

import secrets
import time


def new_id(kind: str) -> str:
    """`<kind>_<12 hex of milliseconds><8 random hex>`: sorts by creation, needs no registry."""
    return f"{kind}_{time.time_ns() // 1_000_000:012x}{secrets.token_hex(4)}"

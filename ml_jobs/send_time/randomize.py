"""Who gets a random hour this month, and which: by a hash, so that it is the same however often it is asked."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING

from ml_jobs.send_time.config import SendTimeConfig
from ml_jobs.send_time.features import HOURS

if TYPE_CHECKING:
    import numpy as np


def random_hours(profile_ids: Iterable[str], as_of: datetime, config: SendTimeConfig) -> tuple[np.ndarray, np.ndarray]:
    """(whether the hour of each person is random in the calendar month (UTC) of `as_of`, the hour that is drawn for
    all)."""
    import numpy as np

    salt = f"{config.seed}|{as_of:%Y-%m}|"
    digests = b"".join(hashlib.blake2b((salt + one).encode(), digest_size=16).digest() for one in profile_ids)
    drawn = np.frombuffer(digests, dtype="<u8").reshape(-1, 2)
    share = drawn[:, 0] / 2.0**64
    return share < config.randomized_share, (drawn[:, 1] % HOURS).astype(np.int64)

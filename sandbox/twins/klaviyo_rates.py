"""The vendor's rate limits, as the Klaviyo twin keeps them: fixed windows per account and operation, and headers.

[vdoc] "Rate limits, status codes, and errors": a fixed window of a second (burst) and one of a minute (steady); answers
carry RateLimit-Limit, -Remaining and -Reset of the steady one, a 429 carries Retry-After. Numbers: [spec],
x-klaviyo-ratelimit.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

SMALL, LARGE, EVENTS = (10, 150), (75, 750), (350, 3500)
VENDOR_RATES: Mapping[str, tuple[int, int]] = {
    r"POST /api/profile-bulk-import-jobs": SMALL,
    r"GET /api/profile-bulk-import-jobs/[^/]+": SMALL,
    r"GET /api/profile-bulk-import-jobs/[^/]+/profiles": SMALL,
    r"GET /api/profile-bulk-import-jobs/[^/]+/import-errors": SMALL,
    r"POST /api/event-bulk-create-jobs": SMALL,
    r"POST /api/events": EVENTS,
    r"POST /api/lists": SMALL,
    r"(POST|DELETE) /api/lists/[^/]+/relationships/profiles": SMALL,
    r"GET /api/metrics": SMALL,
    r"GET /api/events": (350, 3500),
    r".*": LARGE,
}
"""Operation (a regular expression) → requests in a second, and in a minute."""
MAX_LISTS_A_DAY = 150  # [spec] POST /lists: daily 150/d


@dataclass
class Rates:
    """Counts requests; `clock` in seconds."""

    rates: Mapping[str, tuple[int, int]]
    clock: Callable[[], float]
    _seen: dict[tuple[str, int, int], int] = field(default_factory=dict)

    def take(self, method: str, path: str) -> tuple[dict[str, str], int | None]:
        """(headers of the answer, seconds to wait if there is no room)."""
        operation = f"{method} {path}"
        name, (burst, steady) = next((n, r) for n, r in self.rates.items() if re.fullmatch(n, operation))
        now = self.clock()
        windows = [(method + name, 1, int(now)), (method + name, 60, int(now // 60))]
        for (_, seconds, number), most in zip(windows, (burst, steady), strict=True):
            if self._seen.get((method + name, seconds, number), 0) >= most:
                return {}, max(1, math.ceil((number + 1) * seconds - now))
        for window in windows:
            self._seen[window] = self._seen.get(window, 0) + 1
        left = steady - self._seen[windows[1]]
        reset = math.ceil((windows[1][2] + 1) * 60 - now)
        return {"RateLimit-Limit": str(steady), "RateLimit-Remaining": str(left), "RateLimit-Reset": str(reset)}, None

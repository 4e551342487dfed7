"""Named points at which a test may kill the process, to prove that the next run converges.

A failpoint does nothing unless MAILWRIGHT_FAILPOINT names it; then the process ends itself with SIGKILL, so no
`finally`, no rollback code and no buffer flush runs: what a power cut leaves behind.
`NAME:3` kills at the third passage.
"""

from __future__ import annotations

import os
import signal
from collections import Counter

_passed: Counter[str] = Counter()


def failpoint(name: str) -> None:
    """Kill this process here if MAILWRIGHT_FAILPOINT names this point."""
    wanted = os.environ.get("MAILWRIGHT_FAILPOINT")
    if not wanted:
        return
    wanted_name, _, nth = wanted.partition(":")
    if wanted_name != name:
        return
    _passed[name] += 1
    if _passed[name] >= int(nth or 1):
        os.kill(os.getpid(), signal.SIGKILL)

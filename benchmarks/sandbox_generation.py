"""How fast the sandbox makes its store at the demo's default size. Limit: a million web events in 20 s on 2 cores."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from sandbox.config import SandboxConfig
from sandbox.generate import generate

LIMIT_SECONDS = 20


def main() -> int:
    """Generate once into a temporary folder; print one line of Markdown."""
    config = SandboxConfig()
    with tempfile.TemporaryDirectory() as folder:
        began = time.process_time()
        report = generate(Path(folder), config)
        cpu = time.process_time() - began
        size = sum(path.stat().st_size for path in Path(folder).rglob("*.parquet"))
    events = report.rows["web_events"]
    rows = sum(report.rows.values())
    print(
        f"{config.n_contacts:,} contacts, {config.months} months, seed {config.seed}: {events:,} web events "
        f"({rows:,} rows in all, {size / 1e6:.0f} MB of Parquet) in {report.seconds:.1f} s "
        f"({cpu:.1f} s of processor time): {events / report.seconds:,.0f} events/s (limit: {LIMIT_SECONDS} s)."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())

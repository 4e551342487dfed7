"""`make bench`: runs each measurement in a process of its own and writes benchmarks/RESULTS.md.

A measurement is a module of this package that prints lines of Markdown; it states sizes, seed and the peer or limit
that a figure is held against. RESULTS.md is written here alone, never by hand.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
PACKAGES = ("duckdb", "dbt-core", "dagster", "pandas", "numpy", "scikit-learn", "great-expectations")


def machine() -> str:
    """One paragraph: processor count, memory, Python and package versions."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
    return (
        f"{os.cpu_count()} cores ({platform.machine()}), {memory:.0f} GiB, {platform.system()}, "
        f"Python {platform.python_version()}; {versions}."
    )


def main() -> int:
    """Run the measurements named on the command line, or all."""
    names = sorted(path.stem for path in FOLDER.glob("*.py") if not path.stem.startswith("_"))
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("only", nargs="*", choices=[*names, []], help="run just these, and write their sections alone")
    only = parser.parse_args().only
    results = FOLDER / "RESULTS.md"
    sections = {part.split("\n", 1)[0]: part for part in results.read_text(encoding="utf-8").split("\n## ")[1:]}
    for name in only or names:
        print(f"{name} …", file=sys.stderr)
        command = [sys.executable, "-m", f"benchmarks.{name}"]
        done = subprocess.run(command, cwd=FOLDER.parent, stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            return done.returncode
        print(done.stdout)
        sections[name] = f"{name}\n\n{done.stdout.strip()}\n"
    head = "# Results\n\nWritten by `make bench`; compare ratios, not seconds: machines differ.\n\n"
    written = [f"## {sections[name]}" for name in names if name in sections]
    results.write_text(head + machine() + "\n\n" + "\n".join(written), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

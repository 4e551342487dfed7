"""One fit by `lifetimes`, run by its own Python with it: prints seconds and parameters as JSON.

    python _peer_lifetimes.py histories.npz

It needs older packages than ours, so it lives apart: MAILWRIGHT_BENCH_LIFETIMES names the Python of an environment made
by `python -m venv peer && peer/bin/pip install lifetimes==0.11.3 'numpy<1.24' 'pandas<2' 'scipy<1.11' 'autograd<1.6'`.
"""

from __future__ import annotations

import json
import resource
import sys
import time

import lifetimes  # pyright: ignore[reportMissingImports]  # in its own environment
import numpy as np


def main() -> None:
    stored = np.load(sys.argv[1])
    frequency, recency, age = (stored[name] for name in ("frequency", "recency", "age"))
    weights = stored.get("count")
    wall, cpu = time.perf_counter(), time.process_time()
    fitter = lifetimes.BetaGeoFitter().fit(frequency, recency, age, weights=weights)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    found = {name: float(value) for name, value in fitter.params_.items()}
    print(json.dumps({"cpu": cpu, "wall": wall, "peak": peak, "version": lifetimes.__version__} | found))


if __name__ == "__main__":
    main()

"""Alternating least squares by `implicit`, run by its own Python with it: writes the factors beside the histories.

    python _peer_implicit.py histories.npz factors.npz

MAILWRIGHT_BENCH_IMPLICIT names the Python of an environment made by `python -m venv peer && peer/bin/pip install
implicit==0.7.3`.
"""

from __future__ import annotations

import sys

import implicit  # pyright: ignore[reportMissingImports]  # in its own environment
import numpy as np
import scipy.sparse as sp


def main() -> None:
    model = implicit.als.AlternatingLeastSquares(factors=128, iterations=15, random_state=20240229)
    model.fit(sp.load_npz(sys.argv[1]).tocsr(), show_progress=False)
    np.savez(sys.argv[2], people=model.user_factors, items=model.item_factors)


if __name__ == "__main__":
    main()

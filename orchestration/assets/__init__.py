"""The assets, one module per kind: each reads, calls one function of another package, and tells what it did."""

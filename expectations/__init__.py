"""Great Expectations at the two borders: what comes in (each load), and what would leave (each build)."""

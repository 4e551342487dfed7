"""One module per vendor; they know HTTP and that vendor, neither SQL nor the ledger."""

"""Reverse ETL: plan, send, confirm. The ledger in the warehouse says what is known to be at each destination."""

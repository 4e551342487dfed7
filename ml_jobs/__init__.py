"""Models that read the warehouse and write predictions back: one package per job, shared io and registry."""

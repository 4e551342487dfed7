"""Dagster over the other packages: thin assets, checks, jobs, schedules, sensors and what they run on."""

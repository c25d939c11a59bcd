"""Health, readiness and the record of scheduled work."""

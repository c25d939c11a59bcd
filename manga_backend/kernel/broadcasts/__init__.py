"""One message to an audience."""

"""Rights over operations."""

READ_RUNS = "operations:run:read"

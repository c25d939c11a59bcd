"""Rights over statistics."""

READ_STATS = "statistics:stats:read"

"""Rights over operations."""

READ_RUNS = "operations:run:read"
READ_SETTINGS = "operations:setting:read"
CHANGE_SETTINGS = "operations:setting:change"

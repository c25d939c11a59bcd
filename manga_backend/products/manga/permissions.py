"""Rights of readers."""

READ_STATUS = "manga:status:read"
READ_MANGA = "manga:files:read"

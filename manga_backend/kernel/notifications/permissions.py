"""Rights over notifications."""

READ_INBOX = "notifications:inbox:read"
CLEAR_INBOX = "notifications:inbox:clear"
REGISTER_DEVICE = "notifications:device:register"
READ_OUTBOX = "notifications:outbox:read"
RETRY = "notifications:outbox:retry"

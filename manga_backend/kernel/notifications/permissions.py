"""Rights over notifications."""

READ_INBOX = "notifications:inbox:read"

"""The outbox and its delivery, and the in-app inbox."""

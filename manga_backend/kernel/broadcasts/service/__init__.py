"""Writing broadcasts, sending them, and feeding the outbox."""

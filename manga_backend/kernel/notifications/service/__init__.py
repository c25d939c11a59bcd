"""Commands of notifications: writing the outbox, its delivery, bulk messages, the inbox."""

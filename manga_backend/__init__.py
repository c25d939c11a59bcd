"""The backend of small teams who sell paid services through Telegram."""

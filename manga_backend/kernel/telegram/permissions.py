"""Rights over the bot: `package:resource:action`."""

READ_SYSTEM = "telegram:system:read"

"""The bot: its client, the update loop, registries of commands and buttons."""

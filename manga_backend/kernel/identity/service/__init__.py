"""Commands of identity: accounts, sessions, tokens, Telegram links."""

"""Users, sessions, tokens, roles and permissions."""

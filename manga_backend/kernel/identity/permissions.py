"""Rights over accounts: `package:resource:action`."""

USE_OWN_ACCOUNT = "identity:account:use"
READ_USERS = "identity:user:read"
BAN_USERS = "identity:user:ban"
END_SESSIONS = "identity:session:end"
CHANGE_ROLES = "identity:role:change"

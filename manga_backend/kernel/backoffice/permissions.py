"""Rights over the back office itself."""

ENTER_PANEL = "backoffice:panel:enter"
READ_AUDIT = "backoffice:audit:read"

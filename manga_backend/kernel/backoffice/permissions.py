"""Rights over the back office itself."""

ENTER_PANEL = "backoffice:panel:enter"
EXPORT_LISTS = "backoffice:list:export"
READ_AUDIT = "backoffice:audit:read"

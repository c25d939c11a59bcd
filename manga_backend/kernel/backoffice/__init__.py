"""The Flask-Admin shell, guarded and audited, and the audit log."""

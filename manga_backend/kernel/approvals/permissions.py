"""Rights at the desk."""

READ_DESK = "approvals:desk:read"
DECIDE = "approvals:approval:decide"

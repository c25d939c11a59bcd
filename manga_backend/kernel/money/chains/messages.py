"""What admins read about our addresses."""

from __future__ import annotations

ADDRESS_CHANGED = "messages/address_changed.html"

"""Rights over our addresses."""

READ_ADDRESSES = "chains:address:read"
CHANGE_ADDRESSES = "chains:address:change"

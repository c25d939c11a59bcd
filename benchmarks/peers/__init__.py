"""The same routes as others would build them, on the same rows."""

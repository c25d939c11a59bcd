"""Two Manga: a subscription to read manga."""

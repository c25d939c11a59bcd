"""Codes that give something, and their redemptions."""

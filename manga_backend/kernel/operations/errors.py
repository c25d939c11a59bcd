"""Why a backup could not be made or used."""

from __future__ import annotations


class BackupFailed(Exception):
    """In words for whoever runs the server; no password in it."""

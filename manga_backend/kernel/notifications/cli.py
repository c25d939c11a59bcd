"""`flask notifications …`"""

from __future__ import annotations

import click
from flask.cli import AppGroup

from manga_backend.kernel.notifications import runner

notifications = AppGroup("notifications", help="The outbox.")


@notifications.command("drain")
def drain() -> None:
    """Send all messages that are due now."""
    click.echo(f"{runner.drain()} messages tried")

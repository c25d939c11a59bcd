"""`flask telegram …`"""

from __future__ import annotations

import signal
import threading

import click
from flask import current_app
from flask.cli import AppGroup, with_appcontext

from manga_backend.kit.leader import Leadership
from manga_backend.kit.settings import CoreSettings, settings

telegram = AppGroup("telegram", help="The bot.")


@telegram.command("poll")
@with_appcontext
def poll() -> None:
    """Stand for leader in this process: poll Telegram and see to schedules until Ctrl-C."""
    app = current_app._get_current_object()  # type: ignore[attr-defined]
    leadership = Leadership(app, settings(CoreSettings))
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    leadership.start()
    click.echo("Waiting to lead or leading; Ctrl-C stops.")
    stopped.wait()
    leadership.stop()

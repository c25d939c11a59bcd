"""`flask worker` and `flask live`"""

from __future__ import annotations

import os
import signal
import sys

import click
from flask import current_app
from flask.cli import with_appcontext

from manga_backend.kernel.operations.runner import work
from manga_backend.kit.leader import Stop
from manga_backend.kit.settings import ROOT, CoreSettings, settings


@click.command("worker")
@with_appcontext
def worker() -> None:
    """Run jobs from Redis, and sweep for what no wake-up told of; any number may run."""
    if not settings(CoreSettings).redis_url:
        raise click.ClickException(
            "REDIS_URL is not set: the web processes do this work themselves"
        )
    stop = Stop()

    def end(*_: object) -> None:
        stop.set()
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    work(current_app._get_current_object(), stop)  # type: ignore[attr-defined]


@click.command("live")
def live() -> None:
    """Stream events to those who listen, at LIVE_BIND; one for each machine is enough."""
    arguments = ["-m", "gunicorn", "-c", str(ROOT / "gunicorn.live.conf.py"), "wsgi:app"]
    os.chdir(ROOT)
    os.execv(sys.executable, [sys.executable, *arguments])  # noqa: S606

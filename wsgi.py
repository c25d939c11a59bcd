"""The WSGI entry point: `gunicorn -c gunicorn.conf.py wsgi:app`, `flask --app wsgi …`.

Run as a program (`python wsgi.py`, `pm2 start wsgi.py --interpreter python3`) it becomes Gunicorn.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from manga_backend.app import create_app
from manga_backend.kit.settings import SettingsError

GUNICORN_APP_LOAD_ERROR = 4
"""Tells Gunicorn's arbiter to stop instead of starting workers for ever."""

if __name__ == "__main__":
    folder = Path(__file__).resolve().parent
    os.chdir(folder)
    os.execv(  # noqa: S606
        sys.executable,
        [sys.executable, "-m", "gunicorn", "-c", str(folder / "gunicorn.conf.py"), "wsgi:app"],
    )


def _speaks_for_all() -> bool:
    """Gunicorn's workers find out at once what is wrong: one of them says it (gunicorn.conf.py)."""
    speaker = os.environ.get("MANGA_SPEAKER")
    try:
        return speaker is None or bool(os.read(int(speaker), 1))
    except OSError:  # another one has taken it
        return False


try:
    app = create_app()
except SettingsError as error:
    if _speaks_for_all():
        print(error, file=sys.stderr)  # noqa: T201
    sys.exit(GUNICORN_APP_LOAD_ERROR)

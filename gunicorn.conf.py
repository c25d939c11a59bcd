"""Gunicorn: settings from the environment and `.env`; each worker stands for leader."""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).resolve().parent
if str(_FOLDER) not in sys.path:
    sys.path.insert(0, str(_FOLDER))

from manga_backend.kit.metrics_folder import (  # noqa: E402
    count_together,
    forget_dead,
)
from manga_backend.kit.settings import Env, environment, load_core  # noqa: E402

_values = environment()
_core = load_core(Env(_values), _values)
_metrics = count_together(_core.instance_path)
# Only the workers may hold the app's modules, or a reload (SIGHUP) would go on with the old code.
for _name in [name for name in sys.modules if name.partition(".")[0] == "manga_backend"]:
    del sys.modules[_name]

chdir = str(_FOLDER)
bind = _core.bind
workers = _core.workers
threads = _core.threads
worker_class = "sync" if threads == 1 else "gthread"
preload_app = False
timeout = 60
graceful_timeout = 20
keepalive = 5
loglevel = _core.log_level
forwarded_allow_ips = ""  # proxies are TRUSTED_PROXIES' business alone (kit/app.py)
accesslog = None
errorlog = "-"
control_socket_disable = True
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108


def on_starting(server: Any) -> None:
    """Which worker says what is wrong with the settings: whoever takes the one byte (wsgi.py)."""
    speaker, given = os.pipe()
    os.write(given, b"!")
    os.set_blocking(speaker, False)
    os.environ["MANGA_SPEAKER"] = str(speaker)
    forget_dead(_metrics)
    if _core.app_env == "production" and _core.database_url.startswith("sqlite"):
        server.log.warning("SQLite in production: fine for one machine; PostgreSQL is meant")


def post_worker_init(worker: Any) -> None:
    """In each worker: stand for leader in a thread, after the app was loaded."""
    from manga_backend.kit.leader import Leadership
    from manga_backend.kit.settings import CoreSettings

    app = worker.wsgi
    app.extensions["sign_of_life"] = worker.notify  # for answers that take longer than `timeout`
    worker.leadership = Leadership(app, app.extensions["settings"][CoreSettings])
    worker.leadership.start()
    gc.collect()
    gc.set_threshold(20_000, 20, 50)  # a request makes thousands of objects that die with it
    gc.freeze()  # what start-up made stays: no collection need look through it again


def worker_exit(_server: Any, worker: Any) -> None:
    """Step down, so that another worker leads at once."""
    if hasattr(worker, "leadership"):
        worker.leadership.stop()

"""Gunicorn for `flask --app wsgi live`: one process that keeps a thousand connections open."""

from __future__ import annotations

import resource
import sys
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).resolve().parent
if str(_FOLDER) not in sys.path:
    sys.path.insert(0, str(_FOLDER))

from manga_backend.kit.metrics_folder import count_together  # noqa: E402
from manga_backend.kit.settings import Env, environment, load_core  # noqa: E402

_SPARE_FILES = 200
_values = environment()
_core = load_core(Env(_values), _values)
count_together(_core.instance_path)
for _name in [name for name in sys.modules if name.partition(".")[0] == "manga_backend"]:
    del sys.modules[_name]

chdir = str(_FOLDER)
bind = _core.live_bind
workers = 1
worker_class = "gevent"
worker_connections = _core.live_connections + _SPARE_FILES
timeout = 60
graceful_timeout = 2  # whoever listens comes again, with the number of its last event
keepalive = 5
loglevel = _core.log_level
forwarded_allow_ips = ""
accesslog = None
errorlog = "-"
control_socket_disable = True
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108

_soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
_wanted = worker_connections + _SPARE_FILES
if _soft != resource.RLIM_INFINITY and _soft < _wanted:
    _most = _wanted if _hard == resource.RLIM_INFINITY else min(_wanted, _hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (_most, _hard))


def post_worker_init(worker: Any) -> None:
    """In the worker, after the app was loaded: it leads nothing, it only streams."""
    from manga_backend.kit.live import serve_live
    from manga_backend.kit.settings import CoreSettings

    core = worker.wsgi.extensions["settings"][CoreSettings]
    serve_live(worker.wsgi, core.live_connections)

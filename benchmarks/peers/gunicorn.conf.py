"""Gunicorn as the peers run it: what ours has of it, without what our application plugs in."""

from pathlib import Path

workers = 2
worker_class = "sync"
timeout = 60
keepalive = 5
loglevel = "warning"
accesslog = None
control_socket_disable = True
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None

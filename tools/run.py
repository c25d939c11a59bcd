"""`make run`: migrate, make the first superuser, start the Telegram stand-in and the server."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.request import urlopen

ROOT = Path(__file__).resolve().parents[1]
STAND_IN_TOKEN = "1000:stand-in"
STAND_IN_ADMINS = {700001: "Admin One", 700002: "Admin Two"}
STAND_IN_CHANNEL = -1000700003
READY_SECONDS = 60
STOP_SECONDS = 25


class Refused(Exception):
    """The start can't go on; the message says why."""


class Children:
    """The processes that this one started; all end with it."""

    def __init__(self) -> None:
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, command: list[str], environment: dict[str, str]) -> None:
        """In a process group of its own, so that Ctrl-C reaches only us and we stop it in order."""
        self._processes[name] = subprocess.Popen(
            command, cwd=ROOT, env=environment, start_new_session=True
        )

    def ended(self) -> str | None:
        """The name of a process that is gone."""
        for name, process in self._processes.items():
            if process.poll() is not None:
                return name
        return None

    def stop(self) -> None:
        """Ask all to stop, the server first; make sure after a while."""
        for process in reversed(self._processes.values()):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def main() -> int:
    """Serve until Ctrl-C."""
    # Imported here: a broken setting must be told in our words, not as a traceback of an import.
    from manga_backend.app import read_settings
    from manga_backend.kit.settings import CoreSettings, SettingsError, environment

    values = environment()
    children = Children()
    for stop in (signal.SIGTERM, signal.SIGINT):  # the latter is ignored in who starts us with &
        signal.signal(stop, _interrupt)
    try:
        core: CoreSettings = read_settings(values)[CoreSettings]
        _check_free(core.bind)
        stand_in = None
        if core.development and not values.get("TELEGRAM_BOT_TOKEN", "").strip():
            stand_in = _start_stand_in(children, core.instance_path, core.bind)
        sign_in = _prepare()
        children.start(
            "server",
            [sys.executable, "-m", "gunicorn", "-c", "gunicorn.conf.py", "wsgi:app"],
            dict(os.environ),
        )
        _wait_until_ready(children, core.bind)
        _tell(core.bind, stand_in, sign_in)
        while (gone := children.ended()) is None:
            time.sleep(0.5)
        raise Refused(f"the {gone} stopped by itself; see its last lines above")
    except KeyboardInterrupt:
        print("\nStopping …", flush=True)
        return 0
    except (Refused, SettingsError) as error:
        print(error, file=sys.stderr, flush=True)
        return 1
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        children.stop()


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _address(bind: str) -> tuple[str, int] | None:
    host, _, port = bind.rpartition(":")
    return (host.strip("[]"), int(port)) if not bind.startswith("unix:") else None


def _is_free(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def _check_free(bind: str) -> None:
    address = _address(bind)
    if address is not None and not _is_free(*address):
        raise Refused(f"{bind} is taken by another program; choose another with BIND=host:port")


def _start_stand_in(children: Children, instance: Path, bind: str) -> str:
    """Without a token: a Bot API on loopback with a chat page, told to the app by environment."""
    address = _address(bind)
    first = (address[1] if address else 8000) + 1
    port = next(p for p in range(first, first + 50) if _is_free("127.0.0.1", p))
    url = f"http://127.0.0.1:{port}"
    names = [f"--name={chat}={name}" for chat, name in STAND_IN_ADMINS.items()]
    children.start(
        "Telegram stand-in",
        [
            *(sys.executable, "-m", "tests.standins.telegram", "--port", str(port)),
            *("--token", STAND_IN_TOKEN, "--open-chats"),
            *("--state", str(instance / "telegram-stand-in.json")),
            *names,
            f"--channel={STAND_IN_CHANNEL}=Log",
        ],
        dict(os.environ),
    )
    os.environ["TELEGRAM_BOT_TOKEN"] = STAND_IN_TOKEN
    os.environ["TELEGRAM_API_URL"] = url
    if not os.environ.get("TELEGRAM_ADMIN_IDS"):
        os.environ["TELEGRAM_ADMIN_IDS"] = ",".join(map(str, STAND_IN_ADMINS))
    if not os.environ.get("TELEGRAM_LOG_CHANNEL_ID"):
        os.environ["TELEGRAM_LOG_CHANNEL_ID"] = str(STAND_IN_CHANNEL)
    return url


def _prepare() -> str:
    """Migrate and make the first superuser; returns how to sign in."""
    from flask_migrate import upgrade

    from manga_backend.app import create_app
    from manga_backend.kernel.identity.queries import has_superuser
    from manga_backend.kernel.identity.service.accounts import register
    from manga_backend.kernel.identity.types import Role
    from manga_backend.kit.db import reading, transaction

    app = create_app()
    with app.app_context():
        upgrade()
        with reading(), transaction():
            known = has_superuser()
        if known:
            return "as before (forgotten? .venv/bin/flask --app wsgi user set-password admin)"
        password = secrets.token_urlsafe(12)
        with transaction():
            register("admin", password, None, role=Role.SUPERUSER)
    return f"admin / {password}   (shown this once)"


def _wait_until_ready(children: Children, bind: str) -> None:
    address = _address(bind)
    deadline = time.monotonic() + READY_SECONDS
    while address is not None:
        if (gone := children.ended()) is not None:
            raise Refused(f"the {gone} did not start; see its last lines above")
        try:
            with urlopen(f"{_url(bind)}/health", timeout=2):
                return
        except OSError:
            if time.monotonic() > deadline:
                raise Refused(f"no answer at {bind} within {READY_SECONDS} s") from None
            time.sleep(0.1)


def _url(bind: str) -> str:
    host, port = _address(bind) or ("", 0)
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)
    return f"http://{shown}:{port}" if port else bind


def _tell(bind: str, stand_in: str | None, sign_in: str) -> None:
    url = _url(bind)
    lines = [
        "",
        f"  API docs      {url}/docs",
        f"  Admin panel   {url}/admin/",
        f"  Sign in       {sign_in}",
        f"  Telegram      {stand_in}/   (stand-in: press the admins' buttons there)"
        if stand_in
        else "  Telegram      the real bot of TELEGRAM_BOT_TOKEN",
        "  Tour          README.md, “Five minutes”. Ctrl-C stops.",
        "",
    ]
    print("\n".join(lines), flush=True)


if __name__ == "__main__":
    sys.exit(main())

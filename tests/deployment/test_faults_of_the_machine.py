"""What a machine does to a server: a full disk, a Redis with another password, an expired TLS.

Each is one clear line and a red detail, and is over when the fault is.
"""

from __future__ import annotations

import shutil
import socket
import sqlite3
import ssl
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
import trustme

from tests.deployment.processes import Web, Worker, eventually
from tests.deployment.test_workers import sign_up, submit
from tests.standins.telegram import BotApiStandIn
from tests.support import ADMIN_IDS, PASSWORD
from tools.services import RedisServer


class SmallDisk(Web):
    """With its instance folder on a disk of a few megabytes, which only it and we see."""

    def __init__(self, settings: dict[str, str], log: Path) -> None:
        super().__init__(settings, log)
        folder = settings["INSTANCE_PATH"]
        mount = f'mount -t tmpfs -o size=12m small "{folder}" && cp -a "{folder}.full/." "{folder}"'
        inside = f'{mount} && exec "$@"'
        self.command = ["unshare", "-rm", "sh", "-c", inside, "sh", *self.command]

    @property
    def folder(self) -> Path:
        """The disk, as this process sees it."""
        assert self.process is not None
        return Path(f"/proc/{self.process.pid}/root{self.settings['INSTANCE_PATH']}")


def may_mount() -> bool:
    if not shutil.which("unshare"):
        return False
    tried = ["unshare", "-rm", "mount", "-t", "tmpfs", "small", "/mnt"]
    return subprocess.run(tried, capture_output=True, check=False).returncode == 0


def fill(file: Path) -> None:
    """Until nothing more fits."""
    with file.open("wb", buffering=0) as opened, suppress(OSError):
        while opened.write(b"x" * 4096):
            continue


@pytest.mark.skipif(not may_mount(), reason="needs user namespaces (unshare -rm)")
def test_a_full_disk(tmp_path: Path, sqlite_settings: dict[str, str], start: Any) -> None:
    folder = tmp_path / "disk"
    full = tmp_path / "disk.full"
    full.mkdir()
    folder.mkdir()
    for file in Path(sqlite_settings["INSTANCE_PATH"]).glob("manga.sqlite3*"):
        shutil.copy(file, full)
    values = {**sqlite_settings, "INSTANCE_PATH": str(folder), "WEB_CONCURRENCY": "2"}
    web = start(SmallDisk, values)
    token = sign_up(web, 801501)
    assert "MB free" in web.checks()["disk"]["detail"]
    assert web.checks()["disk"]["ok"] is False  # less than we want, though not full

    filler = web.folder / "filler"
    fill(filler)

    def register(telegram_id: int) -> int:
        body = {"username": f"u{telegram_id}", "password": PASSWORD, "telegram_id": telegram_id}
        answer = web.call("POST", "/auth/register", json=body)
        if answer.status_code != 201:
            assert answer.json()["code"] == "dependency_away"
        return answer.status_code

    statuses = [register(801600 + number) for number in range(40)]
    assert set(statuses) <= {201, 503}
    assert statuses[-10:] == [503] * 10
    assert web.call("GET", "/api/user/status", token).status_code == 200
    assert "0 MB free" in web.checks()["disk"]["detail"]
    assert 1 <= len(web.logged("the database's disk is full")) <= len(web.workers())
    # Requests are one part of a process; what else it does may say once that it waits.
    told = Counter((line["process"], line["logger"]) for line in web.logged("disk is full"))
    assert set(told.values()) == {1}

    filler.unlink()
    eventually(lambda: register(801700) == 201)
    # Whoever was told "made" is there, and nobody else.
    after = tmp_path / "after"
    after.mkdir()
    for file in web.folder.glob("manga.sqlite3*"):
        shutil.copy(file, after)
    with closing(sqlite3.connect(after / "manga.sqlite3")) as connection:
        (count,) = connection.execute("SELECT count(*) FROM users").fetchone()
    assert count == sum(status == 201 for status in statuses) + 2


def test_a_redis_whose_password_changes(
    settings: dict[str, str], telegram: BotApiStandIn, start: Any
) -> None:
    with RedisServer() as server:
        values = {**settings, "REDIS_URL": server.url(), "WEB_CONCURRENCY": "2"}
        web, worker = start(Web, values), start(Worker, values)
        token = sign_up(web, 801801)
        assert web.checks()["redis"]["ok"] is True
        with redis.Redis(port=server.port) as admin:
            admin.config_set("requirepass", "another one")
            admin.client_kill_filter(skipme=True, _type="normal")
            eventually(lambda: not web.checks()["redis"]["ok"])
            assert "password" in web.checks()["redis"]["detail"]
            during = submit(web, token)
            telegram.wait_for_message(ADMIN_IDS[0], contains=during, timeout=30)
            lines = web.logged("Redis is away")
            assert 1 <= len(lines) <= len(web.workers())
            assert all("password" in line["message"] for line in lines)
            admin.auth("another one")
            admin.config_set("requirepass", "")
        eventually(lambda: web.checks()["redis"]["ok"], within=30)
        after = submit(web, token)
        telegram.wait_for_message(ADMIN_IDS[0], contains=after, timeout=30)
        assert worker.process.poll() is None


class TlsBefore:
    """TLS in front of a plain server; `certificate` may change while it runs."""

    def __init__(self, target: str, authority: trustme.CA) -> None:
        host, _, port = target.removeprefix("http://").partition(":")
        self._target = (host, int(port))
        self._authority = authority
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://127.0.0.1:{self._socket.getsockname()[1]}"
        self._context = self._made(None)
        threading.Thread(target=self._accept, daemon=True).start()

    def _made(self, not_after: datetime | None) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._authority.issue_cert("127.0.0.1", not_after=not_after).configure_cert(context)
        return context

    def expire(self) -> None:
        self._context = self._made(datetime.now(UTC) - timedelta(days=1))

    def renew(self) -> None:
        self._context = self._made(None)

    def _accept(self) -> None:
        while True:
            try:
                raw, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(raw,), daemon=True).start()

    def _serve(self, raw: socket.socket) -> None:
        try:
            with (
                self._context.wrap_socket(raw, server_side=True) as inner,
                socket.create_connection(self._target) as outer,
            ):
                back = threading.Thread(target=pump, args=(outer, inner), daemon=True)
                back.start()
                pump(inner, outer)
        except OSError:
            return

    def close(self) -> None:
        self._socket.close()


def pump(source: socket.socket, to: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            to.sendall(data)
    except OSError:
        pass
    finally:
        for each in (source, to):
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue


@contextmanager
def tls_before(target: str, authority: trustme.CA) -> Iterator[TlsBefore]:
    found = TlsBefore(target, authority)
    try:
        yield found
    finally:
        found.close()


def test_an_expired_certificate_of_telegram(
    settings: dict[str, str], telegram: BotApiStandIn, start: Any, tmp_path: Path
) -> None:
    authority = trustme.CA()
    trusted = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(trusted))
    with tls_before(telegram.url, authority) as tls:
        tls.expire()
        values = {
            **settings,
            "TELEGRAM_API_URL": tls.url,
            "TELEGRAM_CA_FILE": str(trusted),
            "WEB_CONCURRENCY": "2",
        }
        web = start(Web, values)
        token = sign_up(web, 801901)
        tx_hash = submit(web, token)
        eventually(lambda: "expired" in web.checks()["telegram"]["detail"])
        assert web.checks()["telegram"]["ok"] is False
        time.sleep(3)
        assert len(web.logged("(expired)")) <= 2  # who reads updates, and who delivers
        assert web.call("GET", "/api/user/status", token).status_code == 200
        tls.renew()
        telegram.wait_for_message(ADMIN_IDS[0], contains=tx_hash, timeout=60)
        eventually(lambda: web.checks()["telegram"]["ok"], within=60)

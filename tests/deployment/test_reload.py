"""PM2, Gunicorn, Nginx with TLS: new code, and workers that die, while people pay."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import requests

from manga_backend.kit.metrics_folder import FOLDER
from manga_backend.kit.settings import ROOT
from tests.deployment.load import load
from tests.deployment.nginx import NGINX, Nginx
from tests.deployment.processes import Web, eventually
from tests.deployment.test_workers import sign_up
from tests.support import new_hash
from tools.pm2 import Pm2
from tools.services import free_port

NAME = "manga-backend"


@pytest.fixture
def threads() -> int:
    """Of each worker; a test may say otherwise."""
    return 1


@pytest.fixture
def pm2(settings: dict[str, str], tmp_path: Path, threads: int) -> Iterator[Pm2]:
    """As `ecosystem.config.js` says, with this test's settings."""
    port = free_port()
    values = {
        **settings,
        "PRODUCTS": "manga",
        "WEB_CONCURRENCY": "2",
        "GUNICORN_THREADS": str(threads),
        "BIND": f"127.0.0.1:{port}",
        "TRUSTED_PROXIES": "1",
        FOLDER: str(tmp_path / "metrics"),
    }
    with Pm2(tmp_path / "pm2", values) as found:
        found.run("start", str(ROOT / "ecosystem.config.js"))
        url = f"http://127.0.0.1:{port}"
        eventually(lambda: answers(url), within=30)
        yield found


def answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/health", timeout=2).ok
    except requests.RequestException:
        return False


def workers(pm2: Pm2) -> set[int]:
    """The process ids of Gunicorn's workers."""
    master = pm2.pid(NAME)
    return {int(pid) for pid in Path(f"/proc/{master}/task/{master}/children").read_text().split()}


def reload(pm2: Pm2) -> None:
    """As `deploy/update` does it: until all workers are new and one of them answers."""
    before, master = workers(pm2), pm2.pid(NAME)
    pm2.run("sendSignal", "SIGHUP", NAME)
    eventually(lambda: len(workers(pm2)) == 2 and not workers(pm2) & before, within=40)
    eventually(lambda: answers(f"http://{pm2.environment['BIND']}"), within=40)
    assert pm2.pid(NAME) == master


def kill_a_worker(pm2: Pm2) -> None:
    before = workers(pm2)
    os.kill(min(before), signal.SIGKILL)
    eventually(lambda: len(workers(pm2)) == 2 and workers(pm2) != before, within=40)


def count_twice(settings: dict[str, str], hashes: list[str]) -> tuple[int, int]:
    """How many of these are kept, and in how many rows."""
    with psycopg2.connect(settings["DATABASE_URL"].replace("+psycopg2", "")) as connection:
        cursor = connection.cursor()
        cursor.execute(
            "SELECT count(DISTINCT tx_hash), count(*) FROM payments WHERE tx_hash = ANY(%s)",
            (hashes,),
        )
        distinct, rows = cursor.fetchone() or (0, 0)
        return int(distinct), int(rows)


def go_live_while_people_pay(
    pm2: Pm2,
    settings: dict[str, str],
    tmp_path: Path,
    start_site: Any,
    *,
    reloads: int,
    kills: int,
    readers: int,
) -> str:
    site = start_site(pm2.environment["BIND"])
    with load(site.url, site.session, readers, 810_000_000) as found:
        eventually(lambda: found.answered > 20, within=30)
        for _ in range(reloads):
            reload(pm2)
        quiet = len(found.failed)
        assert found.failed == []
        for _ in range(kills):
            kill_a_worker(pm2)
            time.sleep(0.3)
        answered = found.answered
        eventually(lambda: found.answered > answered + 20, within=30)
    # Whatever a killed worker had in its hands is lost, and nothing else.
    in_hand = int(pm2.environment["GUNICORN_THREADS"])
    assert len(found.failed) <= kills * in_hand, found.failed
    assert found.acknowledged
    kept = count_twice(settings, found.acknowledged)
    assert kept == (len(found.acknowledged), len(found.acknowledged))
    lost = len(found.failed) - quiet
    return (
        f"{in_hand} threads: {found.answered} requests through TLS, {reloads} reloads:"
        f" {quiet} failed; {kills} workers killed: {lost} failed;"
        f" {len(found.acknowledged)} payments acknowledged, each kept once;"
        f" the slowest answer took {found.slowest_seconds:.1f} s"
    )


@pytest.fixture
def start_site(tmp_path: Path) -> Iterator[Any]:
    """Nginx before an address."""
    if NGINX is None:
        pytest.skip("Nginx is not installed")
    started = []

    def begin(api: str) -> Nginx:
        site = Nginx(tmp_path / "nginx", api, f"127.0.0.1:{free_port()}")
        started.append(site)
        site.start()
        return site

    yield begin
    for site in started:
        site.stop()


def test_a_reload_and_a_kill(
    pm2: Pm2, settings: dict[str, str], tmp_path: Path, start_site: Any
) -> None:
    go_live_while_people_pay(pm2, settings, tmp_path, start_site, reloads=2, kills=1, readers=4)


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize("threads", [1, 4])
def test_twenty_reloads_and_five_kills(
    pm2: Pm2, settings: dict[str, str], tmp_path: Path, start_site: Any, capsys: Any
) -> None:
    words = go_live_while_people_pay(
        pm2, settings, tmp_path, start_site, reloads=20, kills=5, readers=8
    )
    with capsys.disabled():
        print(f"\n{words}")  # noqa: T201


def update(pm2: Pm2, root: Path = ROOT, **changes: str) -> subprocess.CompletedProcess[str]:
    """`deploy/update`, for what runs under this PM2."""
    environment = {
        **pm2.environment,
        "PM2": str(pm2.program),
        "MANGA_PYTHON": sys.executable,
        "MANGA_READY_SECONDS": "30",
        **changes,
    }
    return subprocess.run(
        [str(root / "deploy" / "update"), "--no-install"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )


def test_update_goes_live_or_says_why_not(
    pm2: Pm2, settings: dict[str, str], tmp_path: Path, postgres: Any
) -> None:
    programs = {"BACKUP_POSTGRES_BIN": str(postgres.installation.folder)}
    before, master = workers(pm2), pm2.pid(NAME)
    broken = update(pm2, TIMEZONE="Nowhere/At_All", **programs)
    assert broken.returncode == 1
    assert "NOT LIVE: it does not start" in broken.stderr
    assert (workers(pm2), pm2.pid(NAME)) == (before, master)
    # A reload would read it, and end the server.
    tree = tmp_path / "tree"
    tree.mkdir()
    for part in ROOT.iterdir():
        (tree / part.name).symlink_to(part)
    (tree / "gunicorn.conf.py").unlink()
    (tree / "gunicorn.conf.py").write_text("no = = Python")
    broken = update(pm2, tree, **programs)
    assert broken.returncode == 1
    assert "NOT LIVE: it does not start" in broken.stderr
    assert (workers(pm2), pm2.pid(NAME)) == (before, master)
    done = update(pm2, **programs)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "LIVE" in done.stdout
    assert not workers(pm2) & before  # it says LIVE of the new code alone
    assert pm2.pid(NAME) == master
    assert list((tmp_path / "backups").glob("manga-*.dump"))


@pytest.mark.parametrize("threads", ["1", "4"])
def test_what_is_in_hand_is_finished_at_sigterm(
    settings: dict[str, str], start: Any, threads: str
) -> None:
    web = start(Web, {**settings, "WEB_CONCURRENCY": "1", "GUNICORN_THREADS": threads})
    token = sign_up(web, 801201)
    answered: list[int] = []

    def pay() -> None:
        answer = web.call("POST", "/payment/submit", token, {"tx_hash": new_hash()})
        answered.append(answer.status_code)

    holding = psycopg2.connect(settings["DATABASE_URL"].replace("+psycopg2", ""))
    holding.cursor().execute("LOCK TABLE payments IN EXCLUSIVE MODE")
    thread = threading.Thread(target=pay)
    thread.start()
    waiting = holding.cursor()

    def is_in_hand() -> bool:
        waiting.execute(  # an INSERT's; what expires payments waits there too, for another
            "SELECT count(*) FROM pg_locks WHERE NOT granted"
            " AND relation = 'payments'::regclass AND mode = 'RowExclusiveLock'"
        )
        return bool(waiting.fetchone() != (0,))

    eventually(is_in_hand)
    web.process.send_signal(signal.SIGTERM)
    time.sleep(1)
    assert answered == []
    assert web.process.poll() is None
    holding.rollback()
    holding.close()
    thread.join(15)
    assert answered == [202]
    assert web.process.wait(20) == 0

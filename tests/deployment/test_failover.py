"""The primary database's machine dies under load: a standby takes over, nothing told is lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import psycopg2
import pytest
import requests
from flask_migrate import upgrade

from manga_backend.app import create_app
from manga_backend.kernel.identity.service.accounts import register
from manga_backend.kernel.identity.types import Role
from manga_backend.kit.db import transaction
from tests.deployment.processes import Web, eventually
from tests.standins.telegram import BotApiStandIn
from tests.support import PASSWORD, new_hash
from tests.variants import dispose
from tools.patroni import Etcd, PatroniNode, missing_programs

pytestmark = [
    pytest.mark.soak,
    pytest.mark.timeout(600),
    pytest.mark.skipif(bool(missing_programs()), reason=f"not installed: {missing_programs()}"),
]
WRITERS = 4
LONGEST_WITHOUT_WRITES_SECONDS = 30.0


@pytest.fixture
def cluster() -> Iterator[list[PatroniNode]]:
    """A primary and a synchronous standby."""
    with Etcd() as etcd, PatroniNode("node1", etcd) as one:
        eventually(lambda: one.is_primary, within=60)
        with PatroniNode("node2", etcd) as two:
            eventually(lambda: two.is_synchronous_standby, within=60)
            yield [one, two]


@dataclass
class Told:
    """What clients were told is done, and when."""

    hashes: list[str] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    refused: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


def pay(web: Web, told: Told, stop: threading.Event, first_id: int) -> None:
    """A new reader for every three hashes; what is not acknowledged is no promise."""
    telegram_id = first_id

    def call(path: str, body: dict[str, Any], token: str = "") -> Any:
        try:
            answer = web.call("POST", path, token or None, body)
        except requests.RequestException:
            answer = None
        if answer is None or answer.status_code >= 500:
            with told.lock:
                told.refused += 1
            time.sleep(0.2)
            return None
        return answer

    while not stop.is_set():
        telegram_id += 1
        name = {"username": f"u{telegram_id}", "password": PASSWORD}
        if call("/auth/register", {**name, "telegram_id": telegram_id}) is None:
            continue
        signed_in = call("/auth/login", name)
        for _ in range(3 if signed_in is not None and signed_in.ok else 0):
            tx_hash = new_hash()
            answer = call("/payment/submit", {"tx_hash": tx_hash}, signed_in.json()["access_token"])
            if answer is not None and answer.status_code == 202:
                with told.lock:
                    told.hashes.append(tx_hash)
                    told.times.append(time.monotonic())
            time.sleep(0.05)


def test_a_standby_takes_over_and_nothing_acknowledged_is_lost(
    cluster: list[PatroniNode],
    settings: dict[str, str],
    telegram: BotApiStandIn,
    start: Any,
    capsys: Any,
) -> None:
    primary, standby = cluster
    primary.execute("CREATE ROLE app LOGIN SUPERUSER")
    primary.execute("CREATE DATABASE manga OWNER app")
    hosts = ",".join(f"127.0.0.1:{node.postgres_port}" for node in cluster)
    values = {
        **settings,
        "DATABASE_URL": f"postgresql://app@{hosts}/manga?target_session_attrs=read-write",
        "WEB_CONCURRENCY": "3",
    }
    app = create_app(values)
    with app.app_context():
        upgrade()
        with transaction():
            register("boss", PASSWORD, None, role=Role.ADMIN)
    dispose(app)
    web = start(Web, values)
    leader = web.leader()
    told, stop = Told(), threading.Event()
    threads = [
        threading.Thread(target=pay, args=(web, told, stop, 820_000_000 + number * 1_000_000))
        for number in range(WRITERS)
    ]
    for thread in threads:
        thread.start()
    eventually(lambda: len(told.hashes) > 30, within=60)

    primary.kill_machine()
    died = time.monotonic()
    eventually(lambda: any(at > died + 1 for at in told.times), within=60)
    back = min(at for at in told.times if at > died + 1)
    before = len(told.hashes)
    eventually(lambda: len(told.hashes) > before + 30, within=60)
    assert standby.is_primary
    stop.set()
    for thread in threads:
        thread.join(30)
    without = back - max(at for at in told.times if at < back)
    assert without < LONGEST_WITHOUT_WRITES_SECONDS

    with psycopg2.connect(
        f"postgresql://app@127.0.0.1:{standby.postgres_port}/manga"
    ) as connection:
        cursor = connection.cursor()
        cursor.execute(
            "SELECT count(DISTINCT tx_hash), count(*) FROM payments WHERE tx_hash = ANY(%s)",
            (told.hashes,),
        )
        assert cursor.fetchone() == (len(told.hashes), len(told.hashes))
    done = create_app(values).test_cli_runner().invoke(args=["ledger", "check"])
    assert done.exit_code == 0, done.output
    eventually(lambda: web.call("GET", "/health/ready").status_code == 200)
    assert web.process.poll() is None
    # Who led has one long poll open when its lock is lost; the next one's ends it.
    assert telegram.concurrent_polls_seen <= 1
    assert web.leader() > 0

    primary.start()  # the machine is repaired
    eventually(lambda: primary.is_synchronous_standby, within=90)
    with capsys.disabled():
        print(  # noqa: T201
            f"\n{without:.1f} s without a write after the primary's machine died;"
            f" {len(told.hashes)} payments acknowledged, each kept once; {told.refused} refused"
            f" meanwhile; led by {leader}, then {web.leader()}; the old primary follows again"
        )

"""The bank test: many threads move money at random while processes are killed; the book adds up.

Each worker is a process of its own with threads, as a deployment has them. Some are ended with
kill -9 in the middle, and others start. At the end the whole book is proved.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select

from manga_backend.app import create_app
from manga_backend.kernel.backoffice.types import CLI
from manga_backend.kernel.money.ledger import queries, service
from manga_backend.kernel.money.ledger.errors import (
    NotEnoughMoney,
    TransferKeyReused,
    TransferNotPending,
)
from manga_backend.kernel.money.ledger.models import Account, Transfer
from manga_backend.kernel.money.ledger.types import AccountKind, Move, TransferKind, TransferState
from manga_backend.kit.app import App
from manga_backend.kit.db import in_transaction, one_snapshot, transaction
from manga_backend.kit.settings import ROOT
from tests.deployment.processes import eventually
from tests.kernel.factories import make_user

CURRENCY = "USDT"
USERS = 12
THREADS = 8
"""In each of the processes."""
PROCESSES = 4
FILLED = 1_000_000


class Teller(threading.Thread):
    """One thread of a worker: moves money at random until told to stop, each key twice now and
    then, and writes down what was acknowledged."""

    def __init__(self, app: App, users: list[int], name: str, journal: Path) -> None:
        super().__init__(daemon=True)
        self._app, self._users, self._name_, self._journal = app, users, name, journal
        self._random = random.Random(name)
        self.stop = threading.Event()

    def run(self) -> None:
        with self._journal.open("a", buffering=1) as journal, self._app.app_context():
            number = 0
            while not self.stop.is_set():
                number += 1
                key = f"{self._name_}:{number}"
                act = self._random.choice((self._pay, self._refund, self._give, self._payout))
                try:
                    act(key)
                    if self._random.random() < 0.2:
                        act(key)  # the same request again
                except (NotEnoughMoney, TransferNotPending, TransferKeyReused):
                    continue
                journal.write(f"{key}\n")

    def _amount(self, key: str) -> int:
        return random.Random(key).randint(1, FILLED // 3)

    def _user(self, key: str) -> int:
        return random.Random(f"user {key}").choice(self._users)

    def _move(self, kind: TransferKind, debit: int, credit: int, key: str) -> Move:
        return Move(
            kind=kind,
            debit_account_id=debit,
            credit_account_id=credit,
            amount=self._amount(key),
            currency=CURRENCY,
            key=key,
            subject="bank",
        )

    def _ours(self, key: str) -> int:
        return service.own_account(AccountKind.REVENUE, "bank", CURRENCY, key)

    def _pay(self, key: str) -> None:
        def work() -> None:
            wallet = service.wallet_account(self._user(key), CURRENCY)
            service.transfer([self._move(TransferKind.SALE, wallet, self._ours(key), key)])

        in_transaction(work)

    def _refund(self, key: str) -> None:
        def work() -> None:
            wallet = service.wallet_account(self._user(key), CURRENCY)
            service.transfer([self._move(TransferKind.REFUND, self._ours(key), wallet, key)])

        in_transaction(work)

    def _give(self, key: str) -> None:
        """From one wallet to another, and a part of it back, in one call."""

        def work() -> None:
            giver, taker = random.Random(f"pair {key}").sample(self._users, 2)
            one, two = (service.wallet_account(user, CURRENCY) for user in (giver, taker))
            there = self._move(TransferKind.CORRECTION, one, two, key)
            back = self._move(TransferKind.CORRECTION, two, one, f"{key}:back")
            service.transfer([there, back])

        in_transaction(work)

    def _payout(self, key: str) -> None:
        """Reserved in one transaction, settled in another: a kill between leaves it reserved."""

        def reserve() -> None:
            wallet = service.wallet_account(self._user(key), CURRENCY)
            out = service.own_account(AccountKind.RECEIVED, "bank", CURRENCY, key)
            service.reserve([self._move(TransferKind.PAYOUT, wallet, out, key)])

        in_transaction(reserve)
        settle = self._random.choice((service.post, service.void))
        in_transaction(lambda: settle(key))


def work(settings_file: str) -> None:
    """What a worker process does: tellers until SIGTERM."""
    given = json.loads(Path(settings_file).read_text())
    app = create_app({**given["settings"], "GUNICORN_THREADS": str(THREADS)})
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    name = f"{os.getpid()}-{time.time_ns()}"
    journals = Path(given["journals"])
    tellers = [
        Teller(app, given["users"], f"{name}-{n}", journals / f"{name}-{n}") for n in range(THREADS)
    ]
    for teller in tellers:
        teller.start()
    stopped.wait(600)
    for teller in tellers:
        teller.stop.set()
    for teller in tellers:
        teller.join(30)


class Bank:
    """The workers, and who kills them."""

    def __init__(self, settings: dict[str, str], users: list[int], folder: Path) -> None:
        self.journals = folder / "journals"
        self.journals.mkdir()
        self._file = folder / "bank.json"
        given = {"settings": settings, "users": users, "journals": str(self.journals)}
        self._file.write_text(json.dumps(given))
        self._workers: list[subprocess.Popen[bytes]] = []
        self.killed = 0

    def hire(self) -> None:
        command = [sys.executable, "-m", "tests.deployment.test_bank", str(self._file)]
        self._workers.append(subprocess.Popen(command, cwd=ROOT))

    def run(self, seconds: float, kill_every: float) -> None:
        for _ in range(PROCESSES):
            self.hire()
        eventually(lambda: any(self.acknowledged()), within=60)  # before that there is no work
        ends_at = time.monotonic() + seconds
        while (left := ends_at - time.monotonic()) > 0:
            time.sleep(min(kill_every, left))
            victim = self._workers.pop(0)
            victim.kill()
            victim.wait(10)
            self.killed += 1
            self.hire()
        self.close()

    def close(self) -> None:
        for worker in self._workers:
            worker.terminate()
        for worker in self._workers:
            # One that was hired a moment ago may not listen to the signal yet.
            assert worker.wait(60) in (0, -signal.SIGTERM)
        self._workers = []

    def acknowledged(self) -> Iterator[str]:
        for journal in self.journals.iterdir():
            # The last line of one who was killed may be half written.
            yield from journal.read_text().rpartition("\n")[0].splitlines()


def prove(settings: dict[str, str], folder: Path, seconds: float, kill_every: float) -> None:
    app = create_app(settings)
    users = [make_user(app) for _ in range(USERS)]
    with app.app_context():
        for user in users:
            with transaction():
                key = f"fill:{user}"
                service.correct(user, FILLED, CURRENCY, key=key, note="bank", actor=CLI)
    bank = Bank(settings, users, folder)
    try:
        bank.run(seconds, kill_every)
    finally:
        bank.close()
    acknowledged = list(bank.acknowledged())
    with app.app_context(), transaction() as current:
        one_snapshot()
        proof = queries.prove()
        keys = set(current.scalars(select(Transfer.key)))
        states = dict(
            current.execute(select(Transfer.state, func.count()).group_by(Transfer.state)).all()
        )
        lowest = current.scalar(
            select(
                func.min(Account.credits_posted - Account.debits_posted - Account.debits_pending)
            ).where(Account.kind == AccountKind.WALLET)
        )
    sys.stdout.write(
        f"\n{len(acknowledged)} acknowledged, {bank.killed} killed, {len(keys)} booked: {states}\n"
    )
    assert proof.findings == []
    assert lowest is not None
    assert lowest >= 0
    assert len(acknowledged) == len(set(acknowledged))
    assert set(acknowledged) <= keys  # what was acknowledged is there
    assert len(keys) > 100
    assert states.get(TransferState.PENDING, 0) <= bank.killed * THREADS


def test_for_a_few_seconds(settings: dict[str, str], tmp_path: Path) -> None:
    """A slice: two kills."""
    prove(settings, tmp_path, seconds=7, kill_every=3.4)


@pytest.mark.soak
@pytest.mark.timeout(300)
def test_32_threads_for_a_minute(settings: dict[str, str], tmp_path: Path) -> None:
    prove(settings, tmp_path, seconds=60, kill_every=4)


if __name__ == "__main__":
    work(sys.argv[1])

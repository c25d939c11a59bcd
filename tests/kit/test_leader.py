"""One leader: whoever holds the lock runs the duties."""

from __future__ import annotations

import fcntl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import text

from manga_backend.app import read_settings
from manga_backend.kit import leader
from manga_backend.kit.app import App
from manga_backend.kit.db import db
from manga_backend.kit.leader import FileLock, Leadership, add_duty
from manga_backend.kit.settings import CoreSettings
from tests.conftest import Deployment
from tests.variants import logged

TAKEOVER_SECONDS = 10


class Candidate:
    """One process of a deployment: an app with one duty, and its stand for leader."""

    def __init__(self, core: CoreSettings) -> None:
        self.app = Flask("candidate")
        self.on_duty = False
        self.runs = 0
        add_duty(self.app, "watch", self._watch)
        self.leadership = Leadership(self.app, core)

    def _watch(self, _app: Flask, stop: threading.Event) -> None:
        self.runs += 1
        self.on_duty = True
        stop.wait()
        self.on_duty = False

    @property
    def leads(self) -> bool:
        return self.leadership.leading and self.on_duty


def until(ready: Callable[[], bool], seconds: float = TAKEOVER_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


@pytest.fixture(params=["sqlite", "postgresql"])
def core(request: pytest.FixtureRequest, tmp_path: Path) -> CoreSettings:
    values = {"INSTANCE_PATH": str(tmp_path)}
    if request.param == "postgresql":
        on_postgres: Deployment = request.getfixturevalue("on_postgres")
        values["DATABASE_URL"] = on_postgres.settings["DATABASE_URL"]
    found: CoreSettings = read_settings(values)[CoreSettings]
    return found


@pytest.fixture
def stand(core: CoreSettings) -> Iterator[Callable[[], Candidate]]:
    """Makes candidates and stops them at the end."""
    candidates: list[Candidate] = []

    def make() -> Candidate:
        candidate = Candidate(core)
        candidates.append(candidate)
        candidate.leadership.start()
        return candidate

    yield make
    for candidate in candidates:
        candidate.leadership.stop()


class TestLeadership:
    def test_exactly_one_leads(
        self, stand: Callable[[], Candidate], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(leader, "TRY_SECONDS", 0.1)
        candidates = [stand() for _ in range(4)]
        until(lambda: any(c.leads for c in candidates))
        time.sleep(0.5)
        assert sum(c.leads for c in candidates) == 1
        assert sum(c.runs for c in candidates) == 1

    def test_other_takes_over_when_the_leader_stops(self, stand: Callable[[], Candidate]) -> None:
        first = stand()
        until(lambda: first.leads)
        second = stand()
        first.leadership.stop()
        assert not first.on_duty
        assert not first.leadership.leading
        until(lambda: second.leads)
        assert not first.leads

    def test_stop_before_leading_is_fine(
        self, stand: Callable[[], Candidate], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(leader, "TRY_SECONDS", 0.1)
        first = stand()
        until(lambda: first.leads)
        second = stand()
        second.leadership.stop()
        assert second.runs == 0
        assert first.leads


class TestLostLock:
    @pytest.fixture(autouse=True)
    def hurry(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(leader, "TRY_SECONDS", 0.1)

    @pytest.mark.parametrize("core", ["postgresql"], indirect=True)
    def test_leader_whose_connection_is_cut_steps_down_and_stands_again(
        self, stand: Callable[[], Candidate], pg_app: App
    ) -> None:
        candidate = stand()
        until(lambda: candidate.leads)
        with logged("manga_backend.kit.leader") as lines:
            with pg_app.app_context(), db.engine.begin() as connection:
                ended = connection.execute(
                    text(
                        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                        "WHERE application_name = 'manga_backend leader'"
                    )
                ).scalar()
            assert ended
            until(lambda: candidate.runs == 2 and candidate.leads)
        assert "the leader lock is lost, stepping down" in lines

    def test_lock_of_a_killed_process_is_free_at_once(self, tmp_path: Path) -> None:
        values = {"INSTANCE_PATH": str(tmp_path)}
        lock = FileLock(read_settings(values)[CoreSettings])
        holder = hold_lock(tmp_path / "leader.lock")
        try:
            assert not lock.acquire()
        finally:
            holder.kill()
            holder.communicate()
        assert lock.acquire()
        lock.release()


def hold_lock(file: Path) -> subprocess.Popen[str]:
    script = (
        "import fcntl, signal, sys\n"
        "file = open(sys.argv[1], 'a')\n"
        f"fcntl.flock(file, {fcntl.LOCK_EX})\n"
        "print('held', flush=True)\n"
        "signal.pause()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(file)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline().strip() == "held"
    return process


class TestDuties:
    @pytest.fixture(autouse=True)
    def hurry(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(leader, "TRY_SECONDS", 0.05)
        monkeypatch.setattr(leader, "RESTART_SECONDS", 0.05)

    @pytest.fixture
    def lead(self, tmp_path: Path) -> Iterator[Callable[[Flask], Leadership]]:
        values = {"INSTANCE_PATH": str(tmp_path)}
        core = read_settings(values)[CoreSettings]
        started: list[Leadership] = []

        def start(app: Flask) -> Leadership:
            leadership = Leadership(app, core)
            started.append(leadership)
            leadership.start()
            return leadership

        yield start
        for leadership in started:
            leadership.stop()

    def test_one_that_raises_is_started_again_and_logged(
        self, lead: Callable[[Flask], Leadership]
    ) -> None:
        app, runs = Flask("duties"), []

        def breaks(_app: Flask, stop: threading.Event) -> None:
            runs.append("x")
            if len(runs) < 3:
                raise RuntimeError("no")
            stop.wait()

        add_duty(app, "breaks", breaks)
        with logged("manga_backend.kit.leader") as lines:
            leadership = lead(app)
            until(lambda: len(runs) == 3)
        assert lines.count("duty breaks failed and starts again") == 2
        assert leadership.leading

    def test_one_that_raises_does_not_disturb_the_others(
        self, lead: Callable[[Flask], Leadership]
    ) -> None:
        app, runs = Flask("duties"), []

        def breaks(_app: Flask, _stop: threading.Event) -> None:
            raise RuntimeError("no")

        def works(_app: Flask, stop: threading.Event) -> None:
            runs.append("x")
            stop.wait()

        add_duty(app, "breaks", breaks)
        add_duty(app, "works", works)
        lead(app)
        until(lambda: bool(runs))
        time.sleep(0.3)
        assert runs == ["x"]

    def test_one_that_returns_is_done(self, lead: Callable[[Flask], Leadership]) -> None:
        app, runs = Flask("duties"), []
        add_duty(app, "once", lambda _app, _stop: runs.append("x"))
        lead(app)
        until(lambda: bool(runs))
        time.sleep(0.2)
        assert runs == ["x"]

    def test_stop_waits_for_what_they_have_in_hand(
        self, lead: Callable[[Flask], Leadership]
    ) -> None:
        app, begun, done = Flask("duties"), threading.Event(), []

        def careful(_app: Flask, stop: threading.Event) -> None:
            begun.set()
            stop.wait()
            time.sleep(0.3)
            done.append("x")

        add_duty(app, "careful", careful)
        leadership = lead(app)
        assert begun.wait(30)
        leadership.stop()
        assert done == ["x"]

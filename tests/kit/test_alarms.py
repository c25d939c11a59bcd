"""Alarms: one message for each place and time, from any number of threads; nothing blocks."""

from __future__ import annotations

import gc
import json
import logging
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import time_machine
from flask import Flask
from sqlalchemy.exc import OperationalError

from manga_backend.app import read_settings
from manga_backend.kit import alarms, clock
from manga_backend.kit.alarm_limits import FILE_NAME, MAX_IN_ALL, Limits
from manga_backend.kit.alarms import Alarm
from manga_backend.kit.logging import Outage, masker, passwords_in
from manga_backend.kit.settings import ROOT, CoreSettings
from tests.support import at_once

log = logging.getLogger("manga_backend.test")

LATER = timedelta(minutes=5, seconds=1)


@pytest.fixture(autouse=True)
def ringing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alarms, "PACE_SECONDS", 0.0)
    monkeypatch.setattr(alarms.bell, "level", logging.NOTSET)


class Ear:
    """An app whose alarms are heard here."""

    def __init__(self, folder: Path) -> None:
        self.app = Flask("alarmed")
        self.heard: list[Alarm] = []
        self.deaf = False
        self.listens = threading.Event()
        self.listens.set()
        core = read_settings({"INSTANCE_PATH": str(folder)})[CoreSettings]
        self.has_database = True
        alarms.install(self.app, core, self._tell, lambda: self.has_database)

    def _tell(self, alarm: Alarm) -> None:
        self.listens.wait(20)
        if self.deaf:
            log.exception("a fault while telling", exc_info=RuntimeError("deaf"))
            raise RuntimeError("deaf")
        self.heard.append(alarm)

    def hears(self, count: int) -> list[Alarm]:
        """Exactly so many, once all is told."""
        until = time.monotonic() + 30
        while len(self.heard) < count and time.monotonic() < until:
            time.sleep(0.01)
        with alarms.bell._changed:
            quiet = alarms.bell._changed.wait_for(
                lambda: not alarms.bell._noted and not alarms.bell._busy, 30
            )
        assert quiet
        assert len(self.heard) == count, self.heard
        return self.heard


@pytest.fixture
def ear(tmp_path: Path) -> Iterator[Ear]:
    found = Ear(tmp_path)
    with found.app.app_context():
        yield found


def fail(words: str = "no") -> None:
    try:
        raise RuntimeError(words)
    except RuntimeError:
        log.exception("the work failed")


def fail_in_many_ways(count: int) -> None:
    for number in range(count):
        kind = type(f"Fault{number}", (Exception,), {})
        log.error("broken", exc_info=kind("no"))


class TestWhat:
    def test_an_exception_is_told_with_its_place(self, ear: Ear) -> None:
        fail("the disk is full")
        (alarm,) = ear.hears(1)
        assert alarm.what == "RuntimeError: the disk is full"
        assert alarm.where.startswith("tests/kit/test_alarms.py:")
        assert alarm.where.endswith("in fail")
        assert alarm.during == "the work failed"
        assert threading.current_thread().name in alarm.process

    def test_the_request_is_named_without_its_query(self, ear: Ear) -> None:
        with ear.app.test_request_context("/pay?code=s3cr3t", method="POST") as context:
            context.request.environ["manga.request_id"] = "abc-123"
            fail()
        (alarm,) = ear.hears(1)
        assert (alarm.during, alarm.request_id) == ("POST /pay", "abc-123")

    def test_the_innermost_line_of_ours_counts_not_the_library(self, ear: Ear) -> None:
        try:
            json.loads("{")
        except ValueError:
            log.exception("unreadable")
        (alarm,) = ear.hears(1)
        assert "test_the_innermost_line_of_ours" in alarm.where

    def test_error_lines_without_a_fault_are_not_told(self, ear: Ear) -> None:
        log.error("Redis is away")
        log.warning("odd", exc_info=RuntimeError("no"))
        ear.hears(0)

    def test_a_marked_outage_is_told_when_it_begins_and_when_it_ends(self, ear: Ear) -> None:
        silent = Outage(log, "Redis is away", "Redis is back")
        outage = Outage(log, "The store is away", "The store is back", alarm=True)
        for one in (silent, outage, outage):
            one.begins("refused")
        (away,) = ear.hears(1)
        outage.ends()
        back = ear.hears(2)[1]
        assert (away.notice, away.what) == ("The store is away", "The store is away: refused")
        assert (back.notice, back.what) == ("The store is back", "The store is back")

    def test_all_who_miss_the_database_are_one_until_it_is_back(
        self, ear: Ear, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(alarms, "LOOK_AGAIN_SECONDS", 0.05)
        ear.has_database = False

        class Refused(Exception):
            pgcode = None

        Refused.__module__ = "psycopg2"
        for number in range(3):
            fault = OperationalError("SELECT", {}, Refused("connection refused"))
            log.error("duty %s failed", number, exc_info=fault)
        Outage(log, alarms.DATABASE_AWAY, alarms.DATABASE_BACK, alarm=True).begins("refused")
        time.sleep(0.2)
        assert {alarm.notice for alarm in ear.hears(1)} == {alarms.DATABASE_AWAY}
        ear.has_database = True
        time.sleep(0.2)
        assert ear.hears(2)[1].notice == alarms.DATABASE_BACK

    def test_long_texts_are_cut_after_they_are_masked(self, ear: Ear) -> None:
        masker.learn(["a-very-secret-value"])
        fail("x" * (alarms.MAX_WHAT - 25) + "a-very-secret-value")
        (alarm,) = ear.hears(1)
        assert len(alarm.what) <= alarms.MAX_WHAT
        assert "a-very" not in alarm.what

    @pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
    def test_a_thread_that_dies_is_told(self, ear: Ear) -> None:
        def die() -> None:
            raise RuntimeError("not expected")

        thread = threading.Thread(target=die, name="watcher")
        thread.start()
        thread.join()
        (alarm,) = ear.hears(1)
        assert alarm.during == "thread watcher died"
        assert "in die" in alarm.where


class TestSecrets:
    @pytest.mark.parametrize(
        "words",
        [
            "https://api.telegram.org/bot123:{}/sendMessage",
            "postgresql://app:{}@db/manga",
            "postgresql://app:{}@x@db/manga",
            "cannot use socks5://me:{}@proxy:1080",
            "host=db password={} user=app",
            "host=db password='{}' user=app",
        ],
    )
    def test_in_addresses_are_masked(self, ear: Ear, words: str) -> None:
        fail(words.format("hunter2"))
        (alarm,) = ear.hears(1)
        assert "hunter2" not in alarm.what
        assert "@x@" not in alarm.what

    def test_passwords_of_addresses_are_known_by_themselves(self) -> None:
        found = passwords_in(
            "postgresql://app:p%40ssword-1@db/manga", "redis://h:1", "", "sqlite:///x"
        )
        assert {"p%40ssword-1", "p@ssword-1"} <= set(found)


class TestHowOften:
    def test_200_faults_of_many_threads_are_one_message_and_then_one_that_counts(
        self, ear: Ear
    ) -> None:
        def work(_number: int) -> None:
            with ear.app.app_context():
                for _ in range(20):
                    fail()

        at_once(10, work)
        (first,) = ear.hears(1)
        told = first.count
        with time_machine.travel(clock.now() + LATER, tick=True):
            fail()
            second = ear.hears(2)[1]
        assert told + second.count == 201

    def test_a_flood_of_places_is_ten_messages_and_then_one_that_says_so(self, ear: Ear) -> None:
        fail_in_many_ways(50)
        ear.hears(MAX_IN_ALL)
        with time_machine.travel(clock.now() + LATER, tick=True):
            fail()
            assert ear.hears(MAX_IN_ALL + 1)[-1].held_back == 40
            fail_in_many_ways(1)
            assert ear.hears(MAX_IN_ALL + 2)[-1].held_back == 0

    def test_what_could_not_be_told_is_told_the_next_time(self, ear: Ear) -> None:
        ear.deaf = True
        fail()
        ear.hears(0)
        ear.deaf = False
        fail()
        assert [alarm.count for alarm in ear.hears(1)] == [2]

    def test_nobody_waits_for_a_slow_sink(self, ear: Ear) -> None:
        ear.listens.clear()
        begun = time.monotonic()
        for _ in range(300):
            fail()
        fail_in_many_ways(300)
        assert time.monotonic() - begun < 15
        assert len(alarms.bell._noted) <= alarms.MAX_PLACES_AT_ONCE
        ear.listens.set()
        ear.hears(MAX_IN_ALL)


class TestOutages:
    @pytest.fixture(autouse=True)
    def looking(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(alarms, "LOOK_AGAIN_SECONDS", 0.05)

    @pytest.fixture
    def outage(self, ear: Ear) -> Outage:
        """One that was told, and told to be over."""
        found = Outage(log, "Away", "Back", alarm=True)
        found.begins("refused")
        ear.hears(1)
        found.ends()
        ear.hears(2)
        return found

    def test_one_that_begins_again_and_ends_at_once_is_not_told(
        self, ear: Ear, outage: Outage
    ) -> None:
        outage.begins("refused")
        ear.hears(2)
        outage.ends()
        ear.hears(2)
        with time_machine.travel(clock.now() + LATER, tick=True):
            time.sleep(0.3)
            ear.hears(2)

    def test_one_that_begins_again_and_lasts_is_told_after_five_minutes(
        self, ear: Ear, outage: Outage
    ) -> None:
        outage.begins("refused")
        ear.hears(2)
        with time_machine.travel(clock.now() + LATER, tick=True):
            time.sleep(0.3)
            assert ear.hears(3)[2].notice == "Away"
            outage.ends()
            assert ear.hears(4)[3].notice == "Back"

    def test_one_that_nobody_could_be_told_is_told_as_soon_as_it_can_be(self, ear: Ear) -> None:
        ear.deaf = True
        Outage(log, "Away", "Back", alarm=True).begins("refused")
        ear.hears(0)
        ear.deaf = False
        time.sleep(0.3)
        ear.hears(1)

    def test_of_two_processes_that_notice_one_tells(self, ear: Ear) -> None:
        two = [Outage(log, "Away", "Back", alarm=True) for _ in range(2)]
        for outage in two:
            outage.begins("refused")
            ear.hears(1)
        for outage in two:
            outage.ends()
            ear.hears(2)


class TestLimits:
    def test_one_of_many_at_once_may_tell(self, tmp_path: Path) -> None:
        def ask(_number: int) -> bool:
            return Limits(tmp_path).admit("here", 1) is not None

        assert sum(at_once(20, ask)) == 1

    @pytest.mark.parametrize("text", ['{"told": [1', "[]", '{"told": 1, "places": []}', "\x00"])
    def test_a_broken_file_is_forgotten(self, tmp_path: Path, text: str) -> None:
        (tmp_path / FILE_NAME).write_text(text)
        limits = Limits(tmp_path)
        assert limits.admit("here", 1)
        assert limits.admit("here", 1) is None

    def test_without_a_file_they_hold_in_this_process(self, tmp_path: Path) -> None:
        limits = Limits(tmp_path / "missing")
        assert limits.admit("here", 1)
        assert limits.admit("here", 1) is None

    def test_a_clock_that_was_set_back_silences_nobody(self, tmp_path: Path) -> None:
        limits = Limits(tmp_path)
        with time_machine.travel(clock.now() + timedelta(days=400)):
            assert limits.admit("here", 1)
        assert limits.admit("here", 1)


class TestWhoseApp:
    def test_the_running_app_hears_its_own(self, ear: Ear, tmp_path: Path) -> None:
        other = Ear(tmp_path)
        fail()
        ear.hears(1)
        other.hears(0)

    def test_outside_of_any_the_newest_hears(self, tmp_path: Path) -> None:
        _old, new = Ear(tmp_path), Ear(tmp_path)
        fail()
        new.hears(1)

    def test_a_dead_app_is_let_go(self, tmp_path: Path) -> None:
        gone = Ear(tmp_path)
        with gone.app.app_context():
            fail()
        gone.hears(1)
        watch: Callable[[], Flask | None] = weakref.ref(gone.app)
        del gone
        gc.collect()
        assert watch() is None
        fail()


SCRIPT = """
import logging, sys, threading
from pathlib import Path
from flask import Flask
from manga_backend.app import create_app, read_settings
from manga_backend.kit import alarms
from manga_backend.kit.settings import CoreSettings
folder = sys.argv[1]
app = create_app({"INSTANCE_PATH": folder, "TELEGRAM_MODE": "off"})
assert threading.active_count() == 1, "importing starts no thread"
core = app.extensions["settings"][CoreSettings]
alarms.FLUSH_SECONDS = 60
alarms.install(app, core, lambda alarm: Path(folder, "told").write_text(alarm.what))
logging.getLogger("x").error("broken", exc_info=RuntimeError("the last words"))
"""


class TestProcess:
    def test_what_it_dies_of_is_still_told(self, tmp_path: Path) -> None:
        ended = subprocess.run(
            [sys.executable, "-c", SCRIPT, str(tmp_path)], cwd=ROOT, capture_output=True, text=True
        )
        assert ended.returncode == 0, ended.stderr
        assert (tmp_path / "told").read_text() == "RuntimeError: the last words"

"""Numbers of several processes are added up; dead ones are forgotten at a start."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from manga_backend.kit.metrics_folder import FOLDER, count_together, dead_processes, forget_dead
from manga_backend.kit.settings import ROOT

COUNT = """
from manga_backend.kit import metrics
metrics.observe_request("/x", "GET", 200, 0.01)
metrics.observe_request("/x", "PROPFIND", 405, 0.01)
metrics.count_messages("sent", 3)
metrics.set_leading(True)
"""
SHOW = """
import sys
from manga_backend.kit import metrics
metrics.observe_request("/x", "GET", 200, 0.01)
things = metrics.gauge("things", "Things.", [(("a",), 2)], "kind")
sys.stdout.buffer.write(metrics.exposition([things]))
"""
ASK_AT_ONCE = """
from concurrent.futures import ThreadPoolExecutor
from manga_backend.kit import metrics
with ThreadPoolExecutor(4) as pool:
    print(len([*pool.map(lambda _: metrics.exposition([]), range(4))]))
"""


def run(code: str, folder: Path) -> str:
    """In a process of its own that counts there."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PATH": os.environ["PATH"], FOLDER: str(folder)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


class TestProcesses:
    def test_are_added_up_and_who_died_leads_no_more(self, tmp_path: Path) -> None:
        run(COUNT, tmp_path)
        run(COUNT, tmp_path)
        found = run(SHOW, tmp_path).splitlines()
        counted = 'manga_http_request_seconds_count{method="GET",route="/x",status="200"} 3.0'
        assert counted in found
        other = 'manga_http_request_seconds_count{method="other",route="/x",status="405"} 2.0'
        assert other in found
        assert 'manga_messages_total{outcome="sent"} 6.0' in found
        assert 'manga_things{kind="a"} 2.0' in found
        assert not [line for line in found if line.startswith("manga_leaders{")]

    def test_one_that_is_just_starting_is_passed_over(self, tmp_path: Path) -> None:
        run(COUNT, tmp_path)
        for kind in ("counter", "gauge_livesum", "histogram"):
            (tmp_path / f"{kind}_{os.getpid()}.db").touch()
        assert 'manga_messages_total{outcome="sent"} 3.0' in run(SHOW, tmp_path).splitlines()

    def test_several_that_are_asked_at_once_forget_the_dead_together(self, tmp_path: Path) -> None:
        for number in range(300):
            (tmp_path / f"gauge_livesum_{9_000_000 + number}.db").touch()
        assert run(ASK_AT_ONCE, tmp_path) == "4\n"
        assert not list(tmp_path.glob("gauge_livesum_9*"))

    def test_dead_ones_are_forgotten_at_a_start(self, tmp_path: Path) -> None:
        run(COUNT, tmp_path)
        assert dead_processes(tmp_path)
        alive = tmp_path / f"counter_{os.getpid()}.db"
        alive.touch()
        forget_dead(tmp_path)
        assert list(tmp_path.iterdir()) == [alive]


class TestLost:
    def test_without_its_folder_nothing_is_counted_and_nothing_breaks(self, tmp_path: Path) -> None:
        assert run(COUNT + "print('went on')", tmp_path / "swept away") == "went on\n"


class TestFolder:
    def test_is_one_for_each_deployment(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        found = []
        for name in ("one", "two", "one"):
            monkeypatch.setenv(FOLDER, "")
            found.append(count_together(tmp_path / name))
            assert os.environ[FOLDER] == str(found[-1])
        try:
            assert found[0] == found[2] != found[1]
            assert all(folder.stat().st_mode & 0o777 == 0o700 for folder in found)
        finally:
            for folder in {*found}:
                folder.rmdir()

    def test_of_the_environment_wins(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(FOLDER, str(tmp_path / "mine"))
        assert count_together(tmp_path) == tmp_path / "mine"
        assert (tmp_path / "mine").is_dir()

"""Starting: refusals in one message, the document's PM2 line, `make run`."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import requests

from manga_backend.kit.settings import ROOT
from tests.deployment.processes import READY_SECONDS, Process, Web, eventually
from tools.services import free_port

STRONG = {
    "SECRET_KEY": "Zx81kPq0vLw7yTn4cRb2mHs9dGf6jAe3",
    "JWT_SECRET_KEY": "Qw93mNz7bVc1xLk5jHg8fDs2aPo4iUy6",
    "ADMIN_SECRET": "Er72tYu8iOp3aSd5fGh1jKl9zXc4vBn6",
}


def run(values: dict[str, str], *command: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], **values}
    return subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


class TestProduction:
    @pytest.mark.parametrize("command", ["gunicorn", "flask"])
    def test_weak_or_missing_secrets_are_refused_in_one_message(
        self, command: str, tmp_path: Path
    ) -> None:
        arguments = {
            "gunicorn": ("-m", "gunicorn", "-c", "gunicorn.conf.py", "wsgi:app"),
            "flask": ("-m", "flask", "--app", "wsgi", "routes"),
        }[command]
        values = {**STRONG, "APP_ENV": "production", "INSTANCE_PATH": str(tmp_path)}
        values |= {"SECRET_KEY": "short", "ADMIN_SECRET": "", "BIND": f"127.0.0.1:{free_port()}"}
        ended = run(values, *arguments)
        assert ended.returncode != 0
        said = ended.stderr + ended.stdout
        assert said.count("The settings are not usable:") == 1
        assert "SECRET_KEY: has only 5 characters" in said
        assert "ADMIN_SECRET: is missing" in said
        assert "Traceback" not in said
        assert STRONG["JWT_SECRET_KEY"] not in said

    def test_strong_secrets_start(self, settings: dict[str, str], start: Any) -> None:
        web = start(Web, {**settings, **STRONG, "APP_ENV": "production"})
        assert web.call("GET", "/health").json() == {"status": "healthy"}


def test_importing_the_app_starts_no_thread(tmp_path: Path) -> None:
    ended = run(
        {"INSTANCE_PATH": str(tmp_path)},
        "-c",
        "import threading, wsgi; print([t.name for t in threading.enumerate()])",
    )
    assert ended.stdout.strip() == "['MainThread']", ended.stderr


def test_the_documents_pm2_line_serves(settings: dict[str, str], tmp_path: Path) -> None:
    """`pm2 start wsgi.py --interpreter python3` runs the file as a program."""
    port = free_port()
    values = {**settings, "BIND": f"127.0.0.1:{port}"}
    process = Process([sys.executable, str(ROOT / "wsgi.py")], values, tmp_path / "pm2.log")
    process.start()
    try:
        eventually(lambda: answers(f"http://127.0.0.1:{port}/health"), within=READY_SECONDS)
    finally:
        assert process.stop() == 0


def answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=2).ok
    except requests.RequestException:
        return False


class TestMakeRun:
    def test_first_and_second_start(self, tmp_path: Path) -> None:
        port = free_port()
        values = {"INSTANCE_PATH": str(tmp_path / "instance"), "BIND": f"127.0.0.1:{port}"}
        first = self.served(values, tmp_path / "first.log")
        password = re.search(r"admin / (\S+)", first)
        assert password
        assert f"http://127.0.0.1:{port}/docs" in first
        assert f"http://127.0.0.1:{port}/admin/" in first
        kept = (tmp_path / "instance" / "secrets.env").read_text()

        begun = time.monotonic()
        second = self.served(values, tmp_path / "second.log")
        assert time.monotonic() - begun < 20
        assert "as before" in second
        assert password.group(1) not in second
        assert (tmp_path / "instance" / "secrets.env").read_text() == kept

    def served(self, values: dict[str, str], log: Path) -> str:
        """Start, look, press Ctrl-C; everything that it started ends with it."""
        process = Process([sys.executable, "-m", "tools.run"], values, log)
        process.start()
        assert process.process is not None
        try:
            eventually(lambda: "Ctrl-C stops" in log.read_text(), within=60)
            text = log.read_text()
            base = f"http://{values['BIND']}"
            assert requests.get(f"{base}/docs", timeout=30).ok
            assert requests.get(f"{base}/admin/", timeout=30).status_code == 200
            chat = re.search(r"Telegram\s+(http\S+)", text)
            assert chat
            assert requests.get(chat.group(1), timeout=30).ok
        finally:
            process.process.send_signal(signal.SIGINT)
            assert process.process.wait(40) == 0
        assert not answers(f"http://{values['BIND']}/health")
        return text

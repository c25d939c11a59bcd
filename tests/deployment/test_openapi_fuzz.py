"""schemathesis against the running server: no 5xx and no answer that is not documented."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.deployment.processes import Web
from tests.support import ADMIN_SECRET, PASSWORD

CHECKS = ",".join(
    [
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_headers_conformance",
        "response_schema_conformance",
        "negative_data_rejection",
        "missing_required_header",
        "ignored_auth",
    ]
)
# These end the session that all other calls are made with.
ENDING = ["/auth/logout", "/auth/sessions/{session_id}", "/auth/password"]


def fuzz(web: Web, folder: Path, *more: str) -> None:
    ended = subprocess.run(
        [
            *(str(Path(sys.executable).with_name("st")), "run", f"{web.url}/openapi.json"),
            *("--max-examples", "25", "--workers", "1", "--checks", CHECKS),
            *("--seed", "1", "--generation-deterministic", "--no-color", *more),
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=170,
    )
    said = ended.stdout + ended.stderr
    assert ended.returncode == 0, said[-6000:]
    counts = {what: int(n) for what, n in re.findall(r"(Selected|Tested): (\d+)", said)}
    assert counts["Tested"] == counts["Selected"] >= 20, said[-2000:]


@pytest.fixture
def web(settings: dict[str, str], start: Any) -> Web:
    """One worker, no Telegram."""
    quiet = {"WEB_CONCURRENCY": "1", "TELEGRAM_MODE": "off"}
    found: Web = start(Web, {**settings, **quiet})
    return found


@pytest.mark.timeout(200)
class TestFuzz:
    def test_as_an_admin(self, web: Web, tmp_path: Path, make_admin: Any) -> None:
        make_admin("boss", telegram_id=700_001)
        body = {"username": "boss", "password": PASSWORD}
        token = web.call("POST", "/auth/login", json=body).json()["access_token"]
        excluded = [part for path in ENDING for part in ("--exclude-path", path)]
        headers = ["-H", f"Authorization: Bearer {token}", "-H", f"X-Admin-Secret: {ADMIN_SECRET}"]
        fuzz(web, tmp_path, *headers, *excluded)
        still = web.call("GET", "/api/user/status", token)
        assert still.status_code == 200, "the session must have lived through the whole run"

    def test_as_nobody(self, web: Web, tmp_path: Path) -> None:
        fuzz(web, tmp_path)

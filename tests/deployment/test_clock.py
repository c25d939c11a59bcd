"""The machine's clock is set while the server runs: one line, a red detail, and all goes on."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from manga_backend.kit.settings import ROOT
from tests.deployment.processes import Web, eventually
from tests.deployment.test_workers import press, sign_in, sign_up, submit
from tests.standins.telegram import BotApiStandIn
from tests.support import ADMIN_IDS

SOURCE = ROOT / "tests" / "standins" / "clock" / "clock.c"
COMPILER = shutil.which("cc")


@pytest.fixture
def clock(tmp_path: Path) -> Path:
    """A library to preload, built for this machine."""
    if COMPILER is None:
        pytest.skip("needs a C compiler (apt-get install gcc libc6-dev)")
    library = tmp_path / "clock.so"
    subprocess.run([COMPILER, "-shared", "-fPIC", "-O2", "-o", library, SOURCE], check=True)
    return library


@pytest.mark.soak
@pytest.mark.parametrize("hours", [1, -1])
def test_a_jump_is_one_line_and_a_red_detail(
    settings: dict[str, str], telegram: BotApiStandIn, start: Any, clock: Path, hours: int
) -> None:
    offset = clock.with_name("offset")
    offset.write_text("0")
    preload = {"LD_PRELOAD": str(clock), "CLOCK_OFFSET_FILE": str(offset)}
    values = {**settings, **preload, "JWT_ACCESS_MIN": "120"}
    web = start(Web, values)
    web.leader()
    token = sign_up(web, 801000)
    assert web.checks()["clock"]["ok"] is True
    before = submit(web, token)
    press(telegram, ADMIN_IDS[0], before, "✅")
    eventually(lambda: web.call("GET", "/api/user/status", token).json()["purchases_count"] == 1)

    offset.write_text(str(hours * 3600))
    words = "3600 s ahead" if hours > 0 else "3600 s behind"
    eventually(lambda: web.logged("clock was set"))
    detail = web.checks()["clock"]
    assert detail["ok"] is False
    assert words in detail["detail"]
    if hours < 0:  # a token of a time that has not come yet is none: sign in again
        assert web.call("GET", "/api/user/status", token).json()["code"] == "token_invalid"
        token = sign_in(web, 801000)
    assert web.call("GET", "/api/user/status", token).status_code == 200
    after = submit(web, token)
    press(telegram, ADMIN_IDS[0], after, "✅")
    eventually(lambda: web.call("GET", "/api/user/status", token).json()["purchases_count"] == 2)
    time.sleep(5)
    assert len(web.logged("clock was set")) == 1
    assert web.logged("unhandled") == []

"""The units of systemd that deployers copy, as systemd itself reads them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from manga_backend.kit.settings import ROOT

UNITS = sorted((ROOT / "deploy" / "systemd").glob("*.service"))
ANALYZE = shutil.which("systemd-analyze")


@pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not installed")
def test_systemd_finds_no_fault(tmp_path: Path) -> None:
    """With this machine's folders: it also looks whether each program is there."""
    assert ANALYZE is not None
    assert len(UNITS) == 3
    programs = str(Path(sys.executable).parent)
    for unit in UNITS:
        text = unit.read_text().replace("/srv/manga_backend/.venv/bin", programs)
        (tmp_path / unit.name).write_text(text.replace("/srv/manga_backend", str(ROOT)))
    done = subprocess.run(
        [ANALYZE, "verify", *(str(tmp_path / unit.name) for unit in UNITS)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    ours = [line for line in done.stderr.splitlines() if "manga-" in line]
    assert ours == []


def test_a_reload_is_looked_at_first() -> None:
    """The check stands before the signal: a failed ExecReload ends the list."""
    text = (ROOT / "deploy" / "systemd" / "manga-backend.service").read_text()
    check, signal = [line for line in text.splitlines() if line.startswith("ExecReload=")]
    assert "--check-config" in check
    assert "kill -HUP $MAINPID" in signal

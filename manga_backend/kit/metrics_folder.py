"""Where the processes of one deployment write what they count; imports no prometheus_client, which
reads the folder's name when it is imported."""

from __future__ import annotations

import os
import tempfile
import zlib
from pathlib import Path

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""prometheus_client's own name for it."""


def _choose_folder(instance: Path) -> Path:
    """In memory where there is such a place: a full disk would end a process that writes into a
    mapped file. One for each instance folder, ours alone."""
    memory = Path("/dev/shm")  # noqa: S108
    name = f"manga-metrics-{os.getuid()}-{zlib.crc32(str(instance.resolve()).encode()):08x}"
    folder = memory / name if memory.is_dir() and os.access(memory, os.W_OK) else None
    if folder is not None:
        folder.mkdir(mode=0o700, exist_ok=True)
        if folder.stat().st_uid == os.getuid() and not folder.is_symlink():
            return folder
    folder = instance / "metrics"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError:
        return Path(tempfile.mkdtemp(prefix="manga-metrics-"))
    return folder


def dead_processes(folder: Path) -> set[int]:
    """Whose files lie there though they are gone."""
    pids = set()
    for file in folder.glob("*_*.db"):
        number = file.stem.rpartition("_")[2]
        if number.isdigit() and not Path(f"/proc/{number}").exists():
            pids.add(int(number))
    return pids


def forget_dead(folder: Path, kind: str = "*") -> None:
    """Drop what dead processes counted: at the start of the server, where counters may begin
    anew; never in between, which would look like a fall. Several may do so at once."""
    for pid in dead_processes(folder):
        for file in folder.glob(f"{kind}_{pid}.db"):
            file.unlink(missing_ok=True)


def forget_live_gauges(folder: Path) -> None:
    """Drop what dead processes said of the present (that one leads): at any time."""
    forget_dead(folder, "gauge_live*")


def is_begun(file: Path) -> bool:
    """Whether anything stands in a process's file: it is empty for a moment, which the library
    fails on, and gone when somebody dropped it meanwhile."""
    try:
        return file.stat().st_size > 0
    except FileNotFoundError:
        return False


def folder_in_use() -> Path | None:
    """Where this process counts together with others; None: by itself."""
    found = os.environ.get(FOLDER)
    return Path(found) if found else None


def count_together(instance: Path) -> Path:
    """Before the app is loaded: this process and its children write into the deployment's folder,
    the one that PROMETHEUS_MULTIPROC_DIR names if it does."""
    folder = folder_in_use() or _choose_folder(instance)
    os.environ[FOLDER] = str(folder)
    folder.mkdir(parents=True, exist_ok=True)
    return folder

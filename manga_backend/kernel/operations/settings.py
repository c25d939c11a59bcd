"""Settings of backups."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from manga_backend.kit.settings import ROOT, CoreSettings, Env


@dataclass(frozen=True)
class BackupSettings:
    """`every` is None when nobody wants any; `postgres_bin` has pg_dump and pg_restore, None: they
    are looked for on PATH."""

    folder: Path
    keep: int
    every: timedelta | None
    postgres_bin: Path | None


def load(env: Env, core: CoreSettings) -> BackupSettings:
    """BACKUP_* names."""
    folder = Path(env.str("BACKUP_PATH", "") or core.instance_path / "backups").expanduser()
    hours = env.number("BACKUP_HOURS", 24, most=24 * 31)
    programs = env.str("BACKUP_POSTGRES_BIN", "") or ""
    return BackupSettings(
        folder=folder if folder.is_absolute() else ROOT / folder,
        keep=env.number("BACKUP_KEEP", 14, least=1),
        every=timedelta(hours=hours) if hours else None,
        postgres_bin=Path(programs) if programs else None,
    )

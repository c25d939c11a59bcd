"""Settings of backups and of what Prometheus reads."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pyrage

from manga_backend.kit.settings import ROOT, CoreSettings, Env

SHORTEST_TOKEN = 16


@dataclass(frozen=True)
class BackupSettings:
    """`every` is None when nobody wants any; `postgres_bin` has pg_dump and pg_restore, None: they
    are looked for on PATH. `recipients` are public keys of age: whoever has one of their private
    keys can read a backup; none: backups are not encrypted. `identity` is a file with such a
    private key, where this machine may have it. `send`: every backup also leaves this machine."""

    folder: Path
    keep: int
    every: timedelta | None
    postgres_bin: Path | None
    recipients: tuple[str, ...]
    identity: Path | None
    send: bool


@dataclass(frozen=True)
class MetricsSettings:
    """`token`: what a scraper sends as a bearer; empty: only this machine may scrape."""

    token: str = field(repr=False)


def load_metrics(env: Env, _core: CoreSettings) -> MetricsSettings:
    """METRICS_TOKEN."""
    token = env.str("METRICS_TOKEN", "") or ""
    if token and len(token) < SHORTEST_TOKEN:
        env.complain("METRICS_TOKEN", f"needs at least {SHORTEST_TOKEN} characters, or none at all")
    return MetricsSettings(token)


def load(env: Env, core: CoreSettings) -> BackupSettings:
    """BACKUP_* names."""
    folder = Path(env.str("BACKUP_PATH", "") or core.instance_path / "backups").expanduser()
    hours = env.number("BACKUP_HOURS", 24, most=24 * 31)
    programs = env.str("BACKUP_POSTGRES_BIN", "") or ""
    recipients = env.names("BACKUP_ENCRYPT_TO")
    for recipient in recipients:
        try:
            pyrage.x25519.Recipient.from_str(recipient)
        except pyrage.RecipientError:
            words = f"{recipient[:12]!r}… is no public key of age, such as age1…: see age-keygen"
            env.complain("BACKUP_ENCRYPT_TO", words)
    send = bool(env.bool("BACKUP_SEND", False))
    if send and not recipients:
        env.complain("BACKUP_SEND", "needs BACKUP_ENCRYPT_TO: what leaves a machine is encrypted")
    identity = env.str("BACKUP_IDENTITY", "") or ""
    return BackupSettings(
        folder=folder if folder.is_absolute() else ROOT / folder,
        keep=env.number("BACKUP_KEEP", 14, least=1),
        every=timedelta(hours=hours) if hours else None,
        postgres_bin=Path(programs) if programs else None,
        recipients=recipients,
        identity=Path(identity).expanduser() if identity else None,
        send=send,
    )

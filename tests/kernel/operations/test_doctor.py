"""`flask doctor`: what is in order, what is not, and what to do; and the checks of the machine."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import pytest
import time_machine
from sqlalchemy import text

from manga_backend.kernel.operations.service import doctor, health
from manga_backend.kernel.telegram import cli
from manga_backend.kit import clock
from manga_backend.kit.app import App
from manga_backend.kit.db import db
from tests.conftest import Deployment
from tests.support import Api
from tests.variants import dispose, variant
from tools.services import PostgresServer, RedisServer, free_port


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether another program reads updates has tests of its own (telegram/test_cli.py)."""
    monkeypatch.setattr(cli, "LISTEN_SECONDS", 0)


def look(app: App) -> tuple[int, list[str]]:
    """The exit code and the lines."""
    done = app.test_cli_runner().invoke(args=["doctor"])
    return done.exit_code, [line.strip() for line in done.output.splitlines()]


def faults(app: App) -> list[str]:
    return [line for line in look(app)[1] if line.startswith("FAULT")]


class TestDoctor:
    def test_what_is_in_order(
        self, deployment: Deployment, postgres: PostgresServer, tmp_path: Path
    ) -> None:
        more = {
            "BACKUP_POSTGRES_BIN": str(postgres.installation.folder),
            "BACKUP_HOURS": "24",
            "BACKUP_PATH": str(tmp_path),
        }
        with variant(deployment.settings, **more) as app:
            app.test_cli_runner().invoke(args=["backup", "create"])
            code, lines = look(app)
        assert "database" in lines
        assert any(line.startswith("ok     migrations: at ") for line in lines)
        assert any(line.startswith("ok     manga-") for line in lines)
        assert any("ok     the same time as Telegram" in line for line in lines)
        said = [line for line in lines if line.startswith("FAULT")]
        # Nobody serves while this looks, and no front end is named.
        assert all("nobody reads updates" in line or "ALLOWED_ORIGINS" in line for line in said)
        assert len(said) == 2
        assert (code, lines[-1]) == (1, "2 to see to")

    def test_a_database_that_is_away(self, on_sqlite: Deployment) -> None:
        url = f"postgresql://app:s3cret-password@127.0.0.1:{free_port()}/app"
        with variant(on_sqlite.settings, DATABASE_URL=url) as app:
            code, lines = look(app)
        assert code == 1
        assert any("the database is away" in line and "refused" in line for line in lines)
        assert "s3cret" not in str(lines)

    def test_an_unmigrated_database(
        self, postgres: PostgresServer, on_postgres: Deployment
    ) -> None:
        url = postgres.create_database("doctor_unmigrated")
        with variant(on_postgres.settings, DATABASE_URL=url) as app:
            assert any("db upgrade" in line for line in faults(app))
        postgres.drop_database("doctor_unmigrated")

    def test_a_database_that_takes_no_writes(
        self, postgres: PostgresServer, postgres_template: str, on_postgres: Deployment
    ) -> None:
        postgres.create_database("doctor_readonly", template=postgres_template)
        url = postgres.url("doctor_readonly")
        change = "ALTER DATABASE doctor_readonly SET default_transaction_read_only = on"
        with variant(on_postgres.settings, DATABASE_URL=url) as app:
            with app.app_context(), db.engine.begin() as connection:
                connection.execute(text(change))
            dispose(app)
            assert any("read-only" in line for line in faults(app))
        postgres.drop_database("doctor_readonly")

    def test_redis(self, on_sqlite: Deployment, redis_server: RedisServer) -> None:
        with variant(on_sqlite.settings, REDIS_URL=redis_server.url()) as app:
            lines = look(app)[1]
        assert any(line.startswith("ok     Redis ") for line in lines)
        away = f"redis://127.0.0.1:{free_port()}/0"
        with variant(on_sqlite.settings, REDIS_URL=away) as app:
            assert any("Redis is away" in line for line in faults(app))

    def test_names_in_env_that_nobody_reads(
        self, api: Api, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        known = (doctor.ROOT / ".env.example").read_text()
        (tmp_path / ".env.example").write_text(known)
        (tmp_path / ".env").write_text("DATABSE_URL=postgresql://x/y\nBIND=127.0.0.1:8000\n")
        (tmp_path / ".env").chmod(0o644)
        monkeypatch.setattr(doctor, "ROOT", tmp_path)
        said = faults(api.app)
        assert any("DATABSE_URL is read by nobody" in line for line in said)
        assert any("chmod 600" in line for line in said)
        assert not any("BIND" in line for line in said)


class Usage(NamedTuple):
    """As shutil.disk_usage has it."""

    total: int
    used: int
    free: int


def check(app: App, name: str) -> dict[str, object]:
    found: dict[str, object] = app.test_client().get("/health/ready").get_json()["checks"][name]
    return found


class TestMachine:
    def test_little_room_is_a_red_detail(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        assert check(api.app, "disk")["ok"] is True
        monkeypatch.setattr(health.shutil, "disk_usage", lambda _: Usage(10**9, 10**9, 10**6))
        found = check(api.app, "disk")
        assert found["ok"] is False
        assert "0 MB free" in str(found["detail"])
        assert any("make room" in line for line in faults(api.app))

    @pytest.mark.parametrize(("by", "words"), [(3600, "3600 s ahead"), (-3600, "3600 s behind")])
    def test_a_clock_that_was_set_is_red_for_ten_minutes(
        self, deployment: Deployment, monkeypatch: pytest.MonkeyPatch, by: int, words: str
    ) -> None:
        app = deployment.app
        assert check(app, "clock") == {"ok": True, "detail": "steady"}
        with time_machine.travel(clock.now() + timedelta(seconds=by)):
            assert words in str(check(app, "clock")["detail"])
            monkeypatch.setattr(clock, "TELL_SECONDS", 0.0)
            later = check(app, "clock")
        if deployment.kind == "sqlite":
            assert later["ok"] is True
        else:
            assert "of the database server's" in str(later["detail"])

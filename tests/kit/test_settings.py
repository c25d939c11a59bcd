"""Settings: spellings, defaults, secrets, and one message for all that is wrong."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from manga_backend.app import read_settings
from manga_backend.kernel.identity.settings import IdentitySettings
from manga_backend.kernel.telegram.settings import TelegramSettings
from manga_backend.kit.settings import (
    ROOT,
    SECRET_NAMES,
    CoreSettings,
    SettingsError,
    environment,
    kept_secrets,
)
from tests.support import at_once

GOOD = {
    "SECRET_KEY": "Zk3vQ9xW1rT7yU5iO8pA2sD4fG6hJ0kL",
    "JWT_SECRET_KEY": "qW8eR4tY2uI6oP0aS9dF3gH7jK1lZ5xC",
    "ADMIN_SECRET": "mN6bV2cX8zL4kJ0hG5fD1sA7pO3iU9yT",
}


def core(folder: Path, **values: str) -> CoreSettings:
    found = read_settings({"APP_ENV": "testing", "INSTANCE_PATH": str(folder), **GOOD, **values})
    loaded: CoreSettings = found[CoreSettings]
    return loaded


def refused(folder: Path, **values: str) -> str:
    with pytest.raises(SettingsError) as raised:
        core(folder, **values)
    return str(raised.value)


def in_production(folder: Path, **values: str) -> dict[type, object]:
    return read_settings({"APP_ENV": "production", "INSTANCE_PATH": str(folder), **GOOD, **values})


def complaint(folder: Path, **values: str) -> str:
    with pytest.raises(SettingsError) as raised:
        in_production(folder, **values)
    return str(raised.value)


class TestDatabaseUrl:
    @pytest.mark.parametrize(
        "scheme",
        [
            "postgres",
            "postgresql",
            "POSTGRESQL",
            "postgresql+psycopg2",
            "postgresql+psycopg",
            "postgresql+asyncpg",
            "pgsql",
        ],
    )
    def test_every_spelling_of_postgresql_means_psycopg2(self, tmp_path: Path, scheme: str) -> None:
        url = core(tmp_path, DATABASE_URL=f"{scheme}://u:p@db:5432/manga").database_url
        assert url == "postgresql+psycopg2://u:p@db:5432/manga"

    def test_several_hosts_pass_through(self, tmp_path: Path) -> None:
        rest = "u@/manga?host=a:5432&host=b:5432&target_session_attrs=read-write"
        url = core(tmp_path, DATABASE_URL=f"postgres://{rest}").database_url
        assert url == f"postgresql+psycopg2://{rest}"

    def test_several_hosts_in_libpqs_own_spelling(self, tmp_path: Path) -> None:
        given = "postgresql://u:p@a:5432,b:5433/manga?target_session_attrs=read-write"
        assert core(tmp_path, DATABASE_URL=given).database_url == (
            "postgresql+psycopg2://u:p@/manga?host=a:5432&host=b:5433"
            "&target_session_attrs=read-write"
        )

    def test_asyncpgs_ssl_is_libpqs_sslmode(self, tmp_path: Path) -> None:
        url = core(tmp_path, DATABASE_URL="postgresql+asyncpg://u@h/manga?ssl=require").database_url
        assert url == "postgresql+psycopg2://u@h/manga?sslmode=require"

    def test_port_that_is_no_number_is_refused(self, tmp_path: Path) -> None:
        assert "DATABASE_URL: " in refused(tmp_path, DATABASE_URL="postgresql://u@h:abc/manga")

    def test_nothing_means_a_file_in_the_instance_folder(self, tmp_path: Path) -> None:
        assert core(tmp_path).database_url == f"sqlite:///{tmp_path}/manga.sqlite3"

    def test_blank_means_nothing(self, tmp_path: Path) -> None:
        url = core(tmp_path, DATABASE_URL="   ").database_url
        assert url == f"sqlite:///{tmp_path}/manga.sqlite3"

    def test_relative_file_lies_in_the_instance_folder(self, tmp_path: Path) -> None:
        url = core(tmp_path, DATABASE_URL="sqlite:///shop.db").database_url
        assert url == f"sqlite:///{tmp_path}/shop.db"

    def test_absolute_file_stays_where_it_is(self, tmp_path: Path) -> None:
        assert (
            core(tmp_path, DATABASE_URL="sqlite:////srv/a.db").database_url == "sqlite:////srv/a.db"
        )

    @pytest.mark.parametrize(
        "url",
        ["mysql://u@db/manga", "sqlite://", "sqlite:///:memory:", "manga.db", "postgresql"],
    )
    def test_anything_else_is_refused(self, tmp_path: Path, url: str) -> None:
        assert "DATABASE_URL" in refused(tmp_path, DATABASE_URL=url)


class TestFaults:
    BAD = {
        "APP_ENV": "staging",
        "DATABASE_URL": "mysql://db",
        "REDIS_URL": "localhost:6379",
        "TIMEZONE": "Mars/Olympus",
        "ALLOWED_ORIGINS": "https://shop.example/",
        "TRUSTED_PROXIES": "-1",
        "BIND": "nowhere",
        "WEB_CONCURRENCY": "many",
        "GUNICORN_THREADS": "0",
        "LOG_LEVEL": "loud",
        "DEFAULT_LANGUAGE": "de",
        "RATELIMIT_ENABLED": "perhaps",
        "RATELIMIT_DEFAULT": "often",
        "JWT_ACCESS_MIN": "0",
        "JWT_REFRESH_DAYS": "month",
        "MAX_SESSIONS": "none",
        "TELEGRAM_BOT_TOKEN": "token",
        "TELEGRAM_ADMIN_IDS": "900001,@boss",
        "TELEGRAM_LOG_CHANNEL_ID": "@log",
        "DEFAULT_NETWORK": "dogecoin",
    }

    def test_one_message_names_every_one(self, tmp_path: Path) -> None:
        message = refused(tmp_path, **self.BAD)
        named = [line.strip().partition(":")[0] for line in message.splitlines()[1:]]
        assert named == sorted(self.BAD)

    @pytest.mark.parametrize("name", sorted(BAD))
    def test_each_alone_is_the_only_one_named(self, tmp_path: Path, name: str) -> None:
        lines = refused(tmp_path, **{name: self.BAD[name]}).splitlines()
        assert [line.strip().partition(":")[0] for line in lines[1:]] == [name]

    @pytest.mark.parametrize("zone", ["Asia", "../etc/passwd", "/etc/localtime"])
    def test_path_is_no_time_zone(self, tmp_path: Path, zone: str) -> None:
        assert "TIMEZONE" in refused(tmp_path, TIMEZONE=zone)

    @pytest.mark.parametrize("origin", ["*", "shop.example", "https://*.example", "null"])
    def test_pattern_is_no_origin(self, tmp_path: Path, origin: str) -> None:
        assert "ALLOWED_ORIGINS" in refused(tmp_path, ALLOWED_ORIGINS=origin)

    def test_keys_of_nothing_but_commas_are_refused(self, tmp_path: Path) -> None:
        assert "JWT_SECRET_KEY" in refused(tmp_path, JWT_SECRET_KEY=",")


class TestSecrets:
    def test_good_ones_start_in_production(self, tmp_path: Path) -> None:
        found = in_production(tmp_path)
        assert found[CoreSettings].secret_key == GOOD["SECRET_KEY"]  # type: ignore[attr-defined]

    def test_missing_ones_are_refused_in_production_by_name(self, tmp_path: Path) -> None:
        message = complaint(tmp_path, **dict.fromkeys(SECRET_NAMES, ""))
        assert len(message.splitlines()) == 4
        for name in SECRET_NAMES:
            assert f"{name}: is missing" in message

    @pytest.mark.parametrize("name", SECRET_NAMES)
    @pytest.mark.parametrize(
        "weak",
        [
            "short-Aa1!",
            "a" * 40,
            "change-me-" * 4,
            "your_secret_0123456789abcdefghijk",
        ],
        ids=["short", "regular", "change me", "your secret"],
    )
    def test_weak_one_is_refused_in_production(self, tmp_path: Path, name: str, weak: str) -> None:
        message = complaint(tmp_path, **{name: weak})
        assert [line.split(":")[0].strip() for line in message.splitlines()[1:]] == [name]
        assert weak not in message

    def test_each_rotated_key_must_be_strong(self, tmp_path: Path) -> None:
        message = complaint(tmp_path, JWT_SECRET_KEY=f"{GOOD['JWT_SECRET_KEY']},short")
        assert "JWT_SECRET_KEY: each key" in message

    def test_rotated_keys_come_newest_first(self, tmp_path: Path) -> None:
        newest, oldest = GOOD["ADMIN_SECRET"], GOOD["SECRET_KEY"]
        found = in_production(tmp_path, JWT_SECRET_KEY=f" {newest} , {oldest},")
        assert found[IdentitySettings].jwt_keys == (newest, oldest)  # type: ignore[attr-defined]

    def test_weak_ones_are_taken_in_testing(self, tmp_path: Path) -> None:
        assert core(tmp_path, SECRET_KEY="weak").secret_key == "weak"

    def test_program_says_so_in_one_clear_message(self, tmp_path: Path) -> None:
        values = {
            "PATH": os.environ["PATH"],
            "APP_ENV": "production",
            "INSTANCE_PATH": str(tmp_path),
        }
        ended = subprocess.run(
            [sys.executable, "-c", "import wsgi"],
            cwd=ROOT,
            env={
                **values,
                "PATH": os.environ["PATH"],
                "SECRET_KEY": "weak",
                "JWT_SECRET_KEY": "",
                "ADMIN_SECRET": "",
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode != 0
        assert "SECRET_KEY: has only 4 characters" in ended.stderr
        assert "JWT_SECRET_KEY: is missing" in ended.stderr
        assert "Traceback" not in ended.stderr


class TestKeptSecrets:
    def test_made_once_and_kept(self, tmp_path: Path) -> None:
        values = {"APP_ENV": "development", "INSTANCE_PATH": str(tmp_path)}
        first, second = read_settings(values), read_settings(values)
        assert first[CoreSettings].secret_key == second[CoreSettings].secret_key
        assert len(first[CoreSettings].secret_key) >= 32

    def test_differ_from_each_other(self, tmp_path: Path) -> None:
        assert len(set(kept_secrets(tmp_path).values())) == len(SECRET_NAMES)

    def test_only_the_owner_may_read_them(self, tmp_path: Path) -> None:
        kept_secrets(tmp_path)
        assert stat.S_IMODE((tmp_path / "secrets.env").stat().st_mode) == 0o600

    def test_eight_at_once_agree_and_leave_one_file(self, tmp_path: Path) -> None:
        found = at_once(8, lambda _: kept_secrets(tmp_path))
        assert all(each == found[0] for each in found)
        assert set(found[0]) == set(SECRET_NAMES)
        assert [file.name for file in tmp_path.iterdir()] == ["secrets.env"]

    def test_given_one_wins(self, tmp_path: Path) -> None:
        found = core(tmp_path, SECRET_KEY="given")
        assert found.secret_key == "given"

    def test_none_are_made_in_production(self, tmp_path: Path) -> None:
        complaint(tmp_path, SECRET_KEY="")
        assert not (tmp_path / "secrets.env").exists()


class TestEnvironment:
    def test_beats_the_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        file = tmp_path / ".env"
        file.write_text("WEB_CONCURRENCY=3\nLOG_LEVEL=error\n")
        monkeypatch.setenv("WEB_CONCURRENCY", "7")
        monkeypatch.delenv("LOG_LEVEL", raising=False)
        values = environment(file)
        assert (values["WEB_CONCURRENCY"], values["LOG_LEVEL"]) == ("7", "error")

    def test_works_without_a_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("WEB_CONCURRENCY", "7")
        assert environment(tmp_path / "missing")["WEB_CONCURRENCY"] == "7"

    def test_name_with_nothing_after_it_means_the_default(self, tmp_path: Path) -> None:
        found = core(tmp_path, WEB_CONCURRENCY="", DEFAULT_LANGUAGE=" ")
        assert (found.workers, found.default_language) == (2, "fa")


class TestLists:
    def test_blanks_and_empty_parts_do_not_count(self, tmp_path: Path) -> None:
        found = core(tmp_path, ALLOWED_ORIGINS=" https://a.example , ,http://localhost:5173,")
        assert found.allowed_origins == ("https://a.example", "http://localhost:5173")

    def test_cors_origins_is_another_name(self, tmp_path: Path) -> None:
        assert core(tmp_path, CORS_ORIGINS="https://a.example").allowed_origins == (
            "https://a.example",
        )

    def test_origin_is_kept_as_browsers_write_it(self, tmp_path: Path) -> None:
        found = core(tmp_path, ALLOWED_ORIGINS="https://Shop.Example")
        assert found.allowed_origins == ("https://shop.example",)

    def test_admin_counts_once(self, tmp_path: Path) -> None:
        found = read_settings(
            {
                "APP_ENV": "testing",
                "INSTANCE_PATH": str(tmp_path),
                "TELEGRAM_ADMIN_IDS": "2, 1,2",
                **GOOD,
            }
        )
        assert found[TelegramSettings].admin_ids == (2, 1)

    def test_products_are_names(self, tmp_path: Path) -> None:
        assert core(tmp_path, PRODUCTS="manga, all").products == ("manga", "all")

    def test_unknown_product_is_refused(self, tmp_path: Path) -> None:
        assert "PRODUCTS: there is no 'manja'" in refused(tmp_path, PRODUCTS="manja")


def test_zone_of_quarter_hours_is_refused(tmp_path: Path) -> None:
    assert "TIMEZONE: Asia/Kathmandu" in refused(tmp_path, TIMEZONE="Asia/Kathmandu")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BIND", "127.0.0.1:99999"),
        ("WEB_APP_URL", "shop.example"),
        ("RATELIMIT_LOGIN", "many"),
        ("PRODUCTS", ","),
    ],
)
def test_what_would_fail_later_is_refused_now(tmp_path: Path, name: str, value: str) -> None:
    assert f"{name}: " in refused(tmp_path, **{name: value})


def test_folder_that_can_not_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="INSTANCE_PATH"):
        read_settings({"INSTANCE_PATH": str(tmp_path / "file" / "below")})


@pytest.mark.parametrize("name", sorted(GOOD))
def test_testing_takes_weak_secrets_but_needs_them(tmp_path: Path, name: str) -> None:
    assert f"{name}: is missing" in refused(tmp_path, **{name: ""})
    assert core(tmp_path, **{name: "weak"})

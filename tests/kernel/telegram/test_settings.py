"""TELEGRAM_* names: what is worked out, and what stops the start."""

from __future__ import annotations

from pathlib import Path

import pytest

from manga_backend.app import read_settings
from manga_backend.kernel.telegram.settings import TelegramSettings
from manga_backend.kit.settings import SettingsError

GOOD = {
    "SECRET_KEY": "Zk3vQ9xW1rT7yU5iO8pA2sD4fG6hJ0kL",
    "JWT_SECRET_KEY": "qW8eR4tY2uI6oP0aS9dF3gH7jK1lZ5xC",
    "ADMIN_SECRET": "mN6bV2cX8zL4kJ0hG5fD1sA7pO3iU9yT",
    "TELEGRAM_BOT_TOKEN": "1000:stand-in",
}


def load(folder: Path, app_env: str = "production", **values: str) -> TelegramSettings:
    given = {"APP_ENV": app_env, "INSTANCE_PATH": str(folder), **GOOD, **values}
    found: TelegramSettings = read_settings(given)[TelegramSettings]
    return found


class TestWebhook:
    @pytest.mark.parametrize(
        ("given", "whole"),
        [
            ("https://api.manga.example", "https://api.manga.example/telegram/webhook"),
            ("https://manga.example/api/", "https://manga.example/api/telegram/webhook"),
            ("https://manga.example/telegram/webhook", "https://manga.example/telegram/webhook"),
            ("", ""),
        ],
    )
    def test_the_path_is_appended(self, tmp_path: Path, given: str, whole: str) -> None:
        assert load(tmp_path, TELEGRAM_WEBHOOK_URL=given).webhook_url == whole

    @pytest.mark.parametrize("given", ["http://manga.example", "manga.example", "https://", "x y"])
    def test_telegram_needs_https(self, tmp_path: Path, given: str) -> None:
        with pytest.raises(SettingsError, match="TELEGRAM_WEBHOOK_URL"):
            load(tmp_path, TELEGRAM_WEBHOOK_URL=given)

    @pytest.mark.parametrize("app_env", ["development", "testing"])
    def test_but_not_on_a_developers_machine(self, tmp_path: Path, app_env: str) -> None:
        found = load(tmp_path, app_env, TELEGRAM_WEBHOOK_URL="http://127.0.0.1:5")
        assert found.webhook_url == "http://127.0.0.1:5/telegram/webhook"

    def test_a_secret_is_worked_out_from_the_key(self, tmp_path: Path) -> None:
        first = load(tmp_path).webhook_secret
        assert first == load(tmp_path).webhook_secret
        assert len(first) == 64
        assert first != load(tmp_path, SECRET_KEY=GOOD["JWT_SECRET_KEY"]).webhook_secret

    def test_or_given(self, tmp_path: Path) -> None:
        assert load(tmp_path, TELEGRAM_WEBHOOK_SECRET="a_B-9").webhook_secret == "a_B-9"

    @pytest.mark.parametrize("given", ["a b", "ü", "x" * 257])
    def test_in_telegrams_own_letters(self, tmp_path: Path, given: str) -> None:
        with pytest.raises(SettingsError, match="TELEGRAM_WEBHOOK_SECRET"):
            load(tmp_path, TELEGRAM_WEBHOOK_SECRET=given)

    def test_no_more_connections_than_hands(self, tmp_path: Path) -> None:
        found = load(tmp_path, WEB_CONCURRENCY="3", GUNICORN_THREADS="4")
        assert found.webhook_connections == 12
        found = load(tmp_path, WEB_CONCURRENCY="30", GUNICORN_THREADS="40")
        assert found.webhook_connections == 100  # Bot API, setWebhook


class TestProxy:
    @pytest.mark.parametrize(
        ("given", "used"),
        [
            ("", ""),
            ("http://10.0.0.1:3128", "http://10.0.0.1:3128"),
            ("https://reader:pass@proxy.example:443/", "https://reader:pass@proxy.example:443"),
            ("socks5://reader:pass@10.0.0.1:1080", "socks5h://reader:pass@10.0.0.1:1080"),
            ("socks5h://10.0.0.1:1080", "socks5h://10.0.0.1:1080"),
        ],
    )
    def test_is_understood(self, tmp_path: Path, given: str, used: str) -> None:
        assert load(tmp_path, TELEGRAM_PROXY=given).proxy == used

    @pytest.mark.parametrize(
        "given",
        ["10.0.0.1:1080", "socks4://h:1", "http://host", "http://h:port", "http://:pa55word@:1"],
    )
    def test_stops_the_start_and_keeps_its_password(self, tmp_path: Path, given: str) -> None:
        with pytest.raises(SettingsError, match="TELEGRAM_PROXY") as raised:
            load(tmp_path, TELEGRAM_PROXY=given)
        assert "pa55word" not in str(raised.value)

"""Clients and executors as Telegram vouches for them, and orders."""

from __future__ import annotations

import hashlib
import hmac
import itertools
import json
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from sqlalchemy import update
from werkzeug.test import TestResponse

from manga_backend.kernel.backoffice.types import CLI
from manga_backend.kernel.identity.queries import find_user_by_verified_telegram_id
from manga_backend.kernel.money.ledger.service import correct
from manga_backend.kernel.notifications.models import Notification
from manga_backend.kernel.telegram.settings import TelegramSettings
from manga_backend.kit import clock
from manga_backend.products.urgent import jobs
from tests.kernel.factories import at_work
from tests.support import Api

CONTACT = "+7 900 555-35-35"
ORDER = {
    "category": "Сантехника",
    "description": "Кран сорвало, нужен сантехник прямо сейчас",
    "city": "Казань",
    "contact": CONTACT,
}
_ids = itertools.count(6_000_000_001 + secrets.randbelow(10**6) * 1000)


def init_data(api: Api, telegram_id: int, at: datetime | None = None, **person: Any) -> str:
    """As the client of a Mini App gets it."""
    user = {"id": telegram_id, "first_name": "Айгуль", "language_code": "ru", **person}
    fields = {
        "query_id": "AAE",
        "user": json.dumps(user, ensure_ascii=False),
        "auth_date": str(int((at or clock.now()).timestamp())),
        "signature": "not-ours-to-check",
    }
    config: TelegramSettings = api.app.extensions["settings"][TelegramSettings]
    key = hmac.new(b"WebAppData", config.token.encode(), hashlib.sha256).digest()
    lines = "\n".join(f"{name}={fields[name]}" for name in sorted(fields))
    return urlencode({**fields, "hash": hmac.new(key, lines.encode(), hashlib.sha256).hexdigest()})


@dataclass
class Person:
    """Somebody who opened the Mini App."""

    api: Api
    telegram_id: int
    name: str = "Айгуль"
    username: str | None = None
    language: str = "ru"

    @property
    def auth(self) -> dict[str, str]:
        person: dict[str, Any] = {"first_name": self.name, "language_code": self.language}
        if self.username:
            person["username"] = self.username
        return {"Authorization": f"Bearer {init_data(self.api, self.telegram_id, **person)}"}

    def call(self, method: str, path: str, json: Any = None, **headers: str) -> TestResponse:
        found: TestResponse = self.api.client().open(
            path, method=method, json=json, headers={**self.auth, **headers}
        )
        return found

    def get(self, path: str) -> TestResponse:
        return self.call("GET", path)

    def post(self, path: str, json: Any = None, **headers: str) -> TestResponse:
        return self.call("POST", path, json, **headers)

    def put(self, path: str, json: Any = None) -> TestResponse:
        return self.call("PUT", path, json)

    def order(self, **changes: Any) -> dict[str, Any]:
        """Post one; it must work."""
        answer = self.post("/api/orders", {**ORDER, **changes})
        assert answer.status_code == 201, answer.text
        found: dict[str, Any] = answer.get_json()
        return found

    def take(self, order_id: str) -> TestResponse:
        return self.post(f"/api/orders/{order_id}/take")

    def see(self, order_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.get(f"/api/orders/{order_id}").get_json()
        return found

    @property
    def balance(self) -> int:
        found: int = self.get("/api/balance").get_json()["balance"]
        return found

    @property
    def user_id(self) -> int:
        with at_work(self.api.app):
            user = find_user_by_verified_telegram_id(self.telegram_id)
            assert user is not None
            return user.id

    def rich(self, rubles: int = 10) -> Person:
        """With so much in the wallet."""
        self.get("/api/users/me")
        with at_work(self.api.app):
            key = secrets.token_hex(8)
            correct(self.user_id, rubles * 100, "RUB", key=key, note="test", actor=CLI)
        return self


def person(api: Api, name: str = "Айгуль", **values: Any) -> Person:
    """Somebody new, whom the bot may write to."""
    telegram_id = next(_ids)
    return Person(api, telegram_id, name, **values)


def executor(api: Api, name: str = "Борис", rubles: int = 10, **values: Any) -> Person:
    """Somebody with money."""
    return person(api, name, **values).rich(rubles)


def close_due(api: Api) -> None:
    """What the leader does every minute."""
    with api.app.app_context():
        jobs.close()


def unique(words: str) -> str:
    """Told from what another test said: the admins' chats are everybody's."""
    return f"{words} {secrets.token_hex(4)}"


def deliver(api: Api) -> None:
    """All that was written, also while the clock was ahead: Telegram's clock never is."""
    with at_work(api.app) as current:
        current.execute(update(Notification).values(due_at=clock.now()))
    api.deliver()


def tell(api: Api) -> None:
    """What follows a new order."""
    with api.app.app_context():
        jobs.tell()

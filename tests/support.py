"""What tests do as people do it: register, sign in, pay, press a button."""

from __future__ import annotations

import itertools
import secrets
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import psycopg2.extensions
from sqlalchemy import event, select
from werkzeug.test import TestResponse

from manga_backend.kernel.approvals.models import Approval
from manga_backend.kernel.backoffice.types import CLI
from manga_backend.kernel.identity.queries import find_user_by_username
from manga_backend.kernel.identity.service import accounts
from manga_backend.kernel.identity.types import Role
from manga_backend.kernel.notifications import runner as delivery
from manga_backend.kernel.telegram.clients import BotClient
from manga_backend.kernel.telegram.runner import Poller
from manga_backend.kernel.telegram.settings import TelegramSettings
from manga_backend.kit import clock
from manga_backend.kit.app import App
from manga_backend.kit.db import db, transaction
from manga_backend.kit.leader import Stop
from tests.standins.telegram import BotApiStandIn, Message

T = TypeVar("T")

ADMIN_IDS = (900001, 900002)
LOG_CHANNEL = -100900003
PASSWORD = "correct horse battery"
ADMIN_SECRET = "admin-secret-admin-secret-admin-secret"

_numbers = itertools.count(1)
_telegram_ids = itertools.count(800001 + secrets.randbelow(10**9))


def base_settings(folder: Path, bot: BotApiStandIn) -> dict[str, str]:
    """The environment of a test app on SQLite in `folder`."""
    return {
        "APP_ENV": "testing",
        "PRODUCTS": "all",
        "INSTANCE_PATH": str(folder),
        "SECRET_KEY": "s" * 40,
        "JWT_SECRET_KEY": "j" * 40,
        "ADMIN_SECRET": ADMIN_SECRET,
        "RATELIMIT_ENABLED": "0",
        "WEB_CONCURRENCY": "1",
        "LOG_LEVEL": "warning",
        "BACKUP_HOURS": "0",  # what makes them has tests of its own
        # The limits have tests of their own; elsewhere they would only cost time.
        "TELEGRAM_MAX_PER_SECOND": "100000",
        "TELEGRAM_MAX_PER_CHAT_PER_SECOND": "100000",
        "TELEGRAM_MAX_PER_GROUP_PER_MINUTE": "1000000",
        "DEFAULT_LANGUAGE": "en",
        "TELEGRAM_BOT_TOKEN": "1000:stand-in",
        "TELEGRAM_API_URL": bot.url,
        "TELEGRAM_ADMIN_IDS": ",".join(map(str, ADMIN_IDS)),
        "TELEGRAM_LOG_CHANNEL_ID": str(LOG_CHANNEL),
        "TRON_ADDRESS": "TQn9Y2khEsLJW1ChVWFMSMeRDow5KcbLSE",
    }


def new_hash() -> str:
    """A transaction hash that nobody has sent."""
    return secrets.token_hex(32)


@dataclass
class Reader:
    """Someone who registered."""

    api: Api
    username: str
    telegram_id: int
    tokens: dict[str, Any]

    @property
    def auth(self) -> dict[str, str]:
        """The header of a signed-in request."""
        return {"Authorization": f"Bearer {self.tokens['access_token']}"}

    def get(self, path: str, **kwargs: Any) -> TestResponse:
        """GET as this reader."""
        return self.api.client().get(path, headers=self.auth, **kwargs)

    def post(self, path: str, json: Any = None, **headers: str) -> TestResponse:
        """POST as this reader."""
        return self.api.client().post(path, json=json, headers={**self.auth, **headers})

    def sign_in(self) -> dict[str, Any]:
        """Once more; the tokens before it are of an ended session."""
        self.tokens = self.api.sign_in(self.username)
        return self.tokens

    def submit(self, tx_hash: str | None = None, **more: Any) -> TestResponse:
        """Send a transaction hash."""
        return self.post("/payment/submit", {"tx_hash": tx_hash or new_hash(), **more})

    def status(self) -> dict[str, Any]:
        """GET /api/user/status"""
        found: dict[str, Any] = self.get("/api/user/status").get_json()
        return found


class Api:
    """The app as its users see it."""

    def __init__(self, app: App, bot: BotApiStandIn) -> None:
        self.app = app
        self.bot = bot

    def client(self) -> Any:
        """A client without cookies of others."""
        return self.app.test_client()

    def post(self, path: str, json: Any = None, **headers: str) -> TestResponse:
        """POST as nobody in particular."""
        response: TestResponse = self.client().post(path, json=json, headers=headers)
        return response

    def sign_in(self, username: str, password: str = PASSWORD) -> dict[str, Any]:
        """POST /auth/login"""
        answer = self.post("/auth/login", {"username": username, "password": password})
        assert answer.status_code == 200, answer.text
        tokens: dict[str, Any] = answer.get_json()
        return tokens

    def reader(self, username: str | None = None, telegram_id: int | None = None) -> Reader:
        """Register and sign in."""
        name = username or f"reader_{next(_numbers)}"
        chat = telegram_id or next(_telegram_ids)
        answer = self.post(
            "/auth/register", {"username": name, "password": PASSWORD, "telegram_id": chat}
        )
        assert answer.status_code == 201, answer.text
        return Reader(self, name, chat, self.sign_in(name))

    def staff(self, role: Role = Role.ADMIN, username: str | None = None) -> Reader:
        """A signed-in account with a role."""
        reader = self.reader(username)
        with self.app.app_context(), transaction():
            user = find_user_by_username(reader.username)
            assert user is not None
            accounts.set_role(user.id, role, CLI, Role.SUPERUSER)
        reader.sign_in()
        return reader

    def user_id(self, reader: Reader) -> int:
        """Our own key of a reader."""
        with self.app.app_context():
            user = find_user_by_username(reader.username)
            assert user is not None
            return user.id

    def coupon(self, days: int = 30, **more: Any) -> str:
        """A new coupon's code."""
        answer = self.post(
            "/admin/system/coupon", {"days": days, **more}, **{"X-Admin-Secret": ADMIN_SECRET}
        )
        assert answer.status_code == 201, answer.text
        return str(answer.get_json()["code"])

    # ---- Telegram

    def deliver(self) -> int:
        """Send all that is due, as the deliverer does."""
        with self.app.app_context():
            return delivery.drain()

    def poll(self) -> None:
        """Read and handle what people did on Telegram, as the leader does."""
        with self.app.app_context():
            config = self.app.extensions["settings"][TelegramSettings]
        Poller(self.app, BotClient(config), Stop()).turn(0)

    def question(self, admin: int, contains: str) -> Message:
        """The newest message to an admin that has a text in it."""
        return self.bot.wait_for_message(admin, contains=contains, timeout=30)

    def press(self, admin: int, contains: str, button: str) -> str:
        """Press a button of that message; returns what Telegram shows the admin."""
        self.deliver()
        message = self.question(admin, contains)
        callback = self.bot.press(admin, message.message_id, text_contains=button)
        self.poll()
        shown = self.bot.wait_for_callback_answer(callback, timeout=30)
        self.deliver()
        return shown

    def press_again(self, admin: int, contains: str, word: str) -> str:
        """Press a button that an old client still shows, after the message lost its buttons."""
        message = self.question(admin, contains)
        with self.app.app_context():
            approval = find_newest_approval()
        callback = self.bot.press_raw(admin, message.message_id, f"{word}:{approval.hex}")
        self.poll()
        return self.bot.wait_for_callback_answer(callback, timeout=30)


def find_newest_approval() -> uuid.UUID:
    """The id of the question that was filed last."""
    found = db.session.scalar(select(Approval.id).order_by(Approval.id.desc()).limit(1))
    assert found is not None
    return found


def year_of(moment: datetime) -> str:
    """As a date begins where our people live (TIMEZONE); a hash holds four digits now and then."""
    return f"{moment.astimezone(ZoneInfo('Asia/Tehran')).year}-"


def this_year() -> str:
    """The year of now, as a date begins."""
    return year_of(clock.now())


def at_once(count: int, action: Callable[[int], T]) -> list[T]:
    """Run `action(0..count-1)` in as many threads, all let go at the same moment."""
    barrier = threading.Barrier(count)

    def run(number: int) -> T:
        barrier.wait(timeout=30)
        return action(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


@contextmanager
def counted_queries(app: App, *, with_prepares: bool = False) -> Iterator[list[str]]:
    """The statements that the app sends meanwhile, as the driver sends them."""
    seen: list[str] = []

    def note(statement: Any) -> None:
        # Looked for every few seconds, whatever else; prepared once for each connection.
        words = str(statement)
        is_once = words.startswith("PREPARE ") and not with_prepares
        if "changed_settings" not in words and not is_once:
            seen.append(words)

    class Cursor(psycopg2.extensions.cursor):
        def execute(self, query: Any, vars: Any = None) -> None:
            note(query)
            super().execute(query, vars)

    def lend(connection: Any, *_: Any) -> None:
        connection.cursor_factory = Cursor

    def give_back(connection: Any, *_: Any) -> None:
        if connection is not None:  # not given up meanwhile
            connection.cursor_factory = None

    def sent(_conn: Any, _cursor: Any, statement: str, *_: Any) -> None:
        note(statement)

    with app.app_context():
        engines = list(db.engines.values())
    heard: list[tuple[Any, str, Any]] = []
    for engine in engines:
        if engine.dialect.name == "postgresql":
            heard += [(engine, "checkout", lend), (engine, "checkin", give_back)]
        else:
            heard.append((engine, "before_cursor_execute", sent))
    for each in heard:
        event.listen(*each)
    try:
        yield seen
    finally:
        for each in heard:
            event.remove(*each)

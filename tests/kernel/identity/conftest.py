"""Readers, tokens and what people do to them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jwt
import pytest
from werkzeug.test import TestResponse

from tests.conftest import Deployment
from tests.standins.telegram import BotApiStandIn
from tests.support import Api, Reader

KEY = "j" * 40
"""JWT_SECRET_KEY of the test app."""

Forge = Callable[..., str]


@pytest.fixture
def lite(on_sqlite: Deployment, bot: BotApiStandIn) -> Api:
    """SQLite alone, empty: for what no database has a say in."""
    on_sqlite.reset()
    return Api(on_sqlite.app, bot)


def claims(token: str) -> dict[str, Any]:
    """What a token says, unverified."""
    found: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return found


def forge(token: str, key: str = KEY, algorithm: str = "HS256", **changes: Any) -> str:
    """The same token with some claims changed, or left out (None), signed anew."""
    body = {name: v for name, v in {**claims(token), **changes}.items() if v is not None}
    return jwt.encode(body, key, algorithm)


def with_token(api: Api, token: str, path: str = "/api/user/status") -> TestResponse:
    """GET with a token."""
    answer: TestResponse = api.client().get(path, headers={"Authorization": f"Bearer {token}"})
    return answer


def refresh(api: Api, token: str) -> TestResponse:
    """POST /auth/refresh"""
    return api.post("/auth/refresh", Authorization=f"Bearer {token}")


def is_refused(answer: TestResponse, status: int, code: str) -> bool:
    """Whether the answer is this refusal, as problem+json."""
    assert answer.mimetype == "application/problem+json", answer.text
    found = (answer.status_code, answer.get_json()["code"])
    assert found == (status, code)
    return True


def is_live(reader: Reader) -> bool:
    """Whether the reader's access token still opens something."""
    return reader.get("/api/user/status").status_code == 200

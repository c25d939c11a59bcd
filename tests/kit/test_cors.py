"""Browsers of exactly the allowed origins may call."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from werkzeug.test import TestResponse

from tests.conftest import Deployment
from tests.standins.telegram import BotApiStandIn
from tests.support import Api
from tests.variants import logged, variant_api

SHOP, LOCAL, SIX = "https://shop.example", "http://localhost:5173", "http://[::1]:3000"
STRANGERS = [
    "https://evil.example",
    "http://shop.example",
    "https://shop.example:8443",
    "https://shop.example.evil.example",
    "https://evilshop.example",
    "https://shopXexample",
    "https://SHOP.example",
    "http://::13000",
    "null",
    "*",
]
OURS = ("Authorization", "Content-Type", "Idempotency-Key", "X-Admin-Secret", "X-API-Token")


@pytest.fixture(scope="module")
def api(on_sqlite: Deployment, bot: BotApiStandIn) -> Iterator[Api]:
    on_sqlite.reset()
    origins = ",".join((SHOP, LOCAL, SIX))
    with variant_api(on_sqlite, bot, ALLOWED_ORIGINS=origins) as found:
        yield found


def preflight(api: Api, origin: str, asked: str, path: str = "/auth/login") -> TestResponse:
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": asked,
    }
    answer: TestResponse = api.client().options(path, headers=headers)
    return answer


def cors_headers(answer: TestResponse) -> list[str]:
    return [name for name, _ in answer.headers if name.startswith("Access-Control-")]


class TestAllowedOrigin:
    @pytest.mark.parametrize("origin", [SHOP, LOCAL, SIX])
    def test_is_answered_by_its_name(self, api: Api, origin: str) -> None:
        answer = api.client().get("/health", headers={"Origin": origin})
        assert answer.headers.getlist("Access-Control-Allow-Origin") == [origin]
        assert "Origin" in answer.headers["Vary"]

    @pytest.mark.parametrize("path", ["/nowhere", "/auth/login", "/api/user/status"])
    def test_may_read_refusals_too(self, api: Api, path: str) -> None:
        answer = api.client().get(path, headers={"Origin": SHOP})
        assert answer.status_code in (401, 404, 405)
        assert answer.headers["Access-Control-Allow-Origin"] == SHOP

    def test_may_read_the_exposed_headers(self, api: Api) -> None:
        exposed = (
            api.client()
            .get("/health", headers={"Origin": SHOP})
            .headers["Access-Control-Expose-Headers"]
        )
        assert sorted(exposed.split(", ")) == ["Retry-After", "X-Pagination", "X-Request-ID"]

    def test_sends_no_cookies(self, api: Api) -> None:
        answer = api.client().get("/health", headers={"Origin": SHOP})
        assert "Access-Control-Allow-Credentials" not in answer.headers

    def test_is_no_line_in_the_log(self, api: Api) -> None:
        with logged() as lines:
            api.client().get("/health", headers={"Origin": SHOP})
        assert lines == []


class TestPreflight:
    @pytest.mark.parametrize("path", ["/auth/login", "/auth/login/", "/payment/submit"])
    def test_allows_our_headers(self, api: Api, path: str) -> None:
        answer = preflight(api, SHOP, ", ".join(OURS), path)
        assert answer.status_code == 200
        assert answer.headers["Access-Control-Allow-Origin"] == SHOP
        allowed = answer.headers["Access-Control-Allow-Headers"].split(", ")
        assert sorted(allowed) == sorted(OURS)
        assert "POST" in answer.headers["Access-Control-Allow-Methods"]
        assert int(answer.headers["Access-Control-Max-Age"]) > 0

    def test_does_not_mind_case(self, api: Api) -> None:
        answer = preflight(api, SHOP, "authorization,content-type")
        allowed = answer.headers["Access-Control-Allow-Headers"]
        assert allowed == "authorization, content-type"

    def test_allows_no_other_header(self, api: Api) -> None:
        answer = preflight(api, SHOP, "Authorization, X-Evil")
        assert answer.headers["Access-Control-Allow-Headers"] == "Authorization"

    def test_of_a_stranger_gets_nothing(self, api: Api) -> None:
        assert cors_headers(preflight(api, "https://evil.example", "Authorization")) == []


class TestRefusedOrigin:
    @pytest.mark.parametrize("origin", STRANGERS)
    def test_gets_no_header(self, api: Api, origin: str) -> None:
        answer = api.client().get("/health", headers={"Origin": origin})
        assert answer.status_code == 200
        assert cors_headers(answer) == []

    def test_is_one_line_that_says_how_to_allow_it(self, api: Api) -> None:
        with logged() as lines:
            for _ in range(3):
                api.client().get("/health", headers={"Origin": "https://typo.example"})
        assert len(lines) == 1
        assert "https://typo.example" in lines[0]
        assert "ALLOWED_ORIGINS" in lines[0]

    def test_cannot_write_lines_of_its_own(self, api: Api) -> None:
        with logged() as lines:
            api.client().get("/health", headers={"Origin": "https://a\x1b[31m" + "b" * 5000})
        assert len(lines) == 1
        assert "\x1b" not in lines[0]
        assert len(lines[0]) < 400


class TestNoOrigin:
    def test_gets_no_header(self, api: Api) -> None:
        assert cors_headers(api.client().get("/health")) == []

    def test_same_origin_is_no_line_in_the_log(self, api: Api) -> None:
        with logged() as lines:
            api.client().get("/health", headers={"Origin": "http://localhost"})
        assert lines == []


def test_nobody_is_allowed_by_default(on_sqlite: Deployment) -> None:
    client = on_sqlite.app.test_client()
    assert cors_headers(client.get("/health", headers={"Origin": SHOP})) == []
    assert cors_headers(client.options("/auth/login", headers={"Origin": SHOP})) == []

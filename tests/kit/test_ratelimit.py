"""Rate limits: who is counted, by what, and what happens when the store is away."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from types import SimpleNamespace

import pytest
import redis
from werkzeug.test import TestResponse

from manga_backend.kit import ratelimit
from manga_backend.kit.settings import ROOT
from tests.conftest import Deployment
from tests.standins.telegram import BotApiStandIn
from tests.support import ADMIN_SECRET, PASSWORD, Api, Reader
from tests.variants import logged, variant_api
from tools.services import RedisServer

ANONYMOUS = 60
EVERYTHING = ("manga_backend", "flask-limiter")


class Limited:
    """Apps with limits on, beside the unlimited one that readers register with."""

    def __init__(self, deployment: Deployment, bot: BotApiStandIn) -> None:
        self._deployment, self._bot, self._stack = deployment, bot, ExitStack()
        self.open = Api(deployment.app, bot)

    def app(self, **changes: str) -> Api:
        settings = {"RATELIMIT_ENABLED": "1", "TRUSTED_PROXIES": "1", **changes}
        return self._stack.enter_context(variant_api(self._deployment, self._bot, **settings))

    def close(self) -> None:
        self._stack.close()


@pytest.fixture
def limited(
    on_sqlite: Deployment, bot: BotApiStandIn, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Limited]:
    # Windows begin with the clock's minute: none ends in the middle of a test.
    end = time.time() // 60 * 60 + 59.9
    still = SimpleNamespace(time=lambda: min(time.time(), end), monotonic=time.monotonic)
    monkeypatch.setattr(ratelimit, "time", still)
    on_sqlite.reset()
    found = Limited(on_sqlite, bot)
    yield found
    found.close()


def login(api: Api, username: str, address: str = "192.0.2.1") -> int:
    body = {"username": username, "password": "wrong password"}
    return api.post("/auth/login", body, **{"X-Forwarded-For": address}).status_code


def register(api: Api, number: int, address: str = "192.0.2.1") -> TestResponse:
    body = {"username": f"new_{number}", "password": PASSWORD, "telegram_id": number + 1}
    return api.post("/auth/register", body, **{"X-Forwarded-For": address})


def plans(api: Api, address: str = "192.0.2.1", **headers: str) -> TestResponse:
    answer: TestResponse = api.client().get(
        "/api/plans", headers={"X-Forwarded-For": address, **headers}
    )
    return answer


def status(api: Api, reader: Reader) -> TestResponse:
    answer: TestResponse = api.client().get("/api/user/status", headers=reader.auth)
    return answer


def must_wait(answer: TestResponse) -> bool:
    if answer.status_code != 429:
        return False
    assert answer.mimetype == "application/problem+json"
    assert answer.get_json()["code"] == "too_many_requests"
    assert 1 <= int(answer.headers["Retry-After"]) <= 61
    return True


class TestRegister:
    def test_five_a_minute_from_one_address(self, limited: Limited) -> None:
        api = limited.app()
        answers = [register(api, number) for number in range(6)]
        assert [a.status_code for a in answers[:5]] == [201] * 5
        assert must_wait(answers[5])
        assert register(api, 7, "192.0.2.2").status_code == 201

    def test_bad_input_counts_too(self, limited: Limited) -> None:
        api = limited.app()
        answers = [api.post("/auth/register", {}) for _ in range(6)]
        assert [a.status_code for a in answers] == [400] * 5 + [429]


class TestLogin:
    def test_ten_a_minute_from_one_address(self, limited: Limited) -> None:
        api = limited.app()
        assert [login(api, f"name_{n}") for n in range(11)] == [401] * 10 + [429]
        assert login(api, "name_11", "192.0.2.2") == 401

    def test_five_a_minute_for_one_username_from_anywhere(self, limited: Limited) -> None:
        api = limited.app()
        found = [login(api, "victim", f"192.0.2.{n}") for n in range(1, 7)]
        assert found == [401] * 5 + [429]
        assert login(api, "another", "192.0.2.6") == 401

    def test_case_of_the_username_does_not_matter(self, limited: Limited) -> None:
        api = limited.app()
        names = ["victim", "VICTIM", "Victim", "vICTIM", "vicTIM", "victiM"]
        found = [login(api, name, f"192.0.2.{n}") for n, name in enumerate(names, 1)]
        assert found == [401] * 5 + [429]

    def test_tells_how_long_to_wait(self, limited: Limited) -> None:
        api = limited.app()
        for _ in range(5):
            login(api, "victim")
        body = {"username": "victim", "password": "wrong password"}
        assert must_wait(api.post("/auth/login", body, **{"X-Forwarded-For": "192.0.2.9"}))

    @pytest.mark.parametrize("body", ["{", "[" * 100_000, '{"username": 5}', "null", "[]"])
    def test_body_without_a_name_is_bad_input(self, limited: Limited, body: str) -> None:
        answer = (
            limited.app().client().post("/auth/login", data=body, content_type="application/json")
        )
        assert answer.status_code == 400

    def test_forged_address_is_no_way_around(self, limited: Limited) -> None:
        api = limited.app(TRUSTED_PROXIES="0")
        found = [login(api, f"name_{n}", f"192.0.2.{n}") for n in range(11)]
        assert found == [401] * 10 + [429]

    def test_window_ends(self, limited: Limited, monkeypatch: pytest.MonkeyPatch) -> None:
        api = limited.app()
        for _ in range(6):
            login(api, "victim")
        later = time.time() + 61
        monkeypatch.setattr(time, "time", lambda: later)
        assert login(api, "victim") == 401


class TestOtherGuards:
    def test_refresh_sixty_a_minute(self, limited: Limited) -> None:
        api = limited.app(RATELIMIT_DEFAULT="1000 per minute")
        answers = [api.post("/auth/refresh").status_code for _ in range(61)]
        assert answers == [401] * 60 + [429]

    def test_link_codes_five_a_minute(self, limited: Limited) -> None:
        reader, api = limited.open.reader(), limited.app()
        answers = [api.post("/auth/telegram/link", **reader.auth).status_code for _ in range(6)]
        assert answers == [201] * 5 + [429]

    def test_admin_secret_ten_a_minute(self, limited: Limited) -> None:
        api = limited.app()
        wrong = [
            api.post("/admin/system/coupon", {"days": 1}, **{"X-Admin-Secret": "x" * 40})
            for _ in range(10)
        ]
        assert [answer.status_code for answer in wrong] == [403] * 10
        right = api.post("/admin/system/coupon", {"days": 1}, **{"X-Admin-Secret": ADMIN_SECRET})
        assert must_wait(right)

    def test_coupons_ten_a_minute_for_one_user(self, limited: Limited) -> None:
        reader, other = limited.open.reader(), limited.open.reader()
        api = limited.app()

        def redeem(who: Reader) -> int:
            body = {"coupon_code": "AAAA-BBBB-CCCC"}
            return api.post("/payment/submit", body, **who.auth).status_code

        assert [redeem(reader) for _ in range(11)] == [404] * 10 + [429]
        assert redeem(other) == 404
        assert api.post("/payment/submit", {"tx_hash": "short"}, **reader.auth).status_code == 400


class TestDefault:
    def test_signed_in_user_has_a_window_of_their_own(self, limited: Limited) -> None:
        one, other = limited.open.reader(), limited.open.reader()
        api = limited.app(RATELIMIT_DEFAULT="7 per minute")
        answers = [status(api, one) for _ in range(8)]
        assert [a.status_code for a in answers[:7]] == [200] * 7
        assert must_wait(answers[7])
        assert status(api, other).status_code == 200

    def test_new_session_is_no_new_window(self, limited: Limited) -> None:
        reader, api = limited.open.reader(), limited.app(RATELIMIT_DEFAULT="3 per minute")
        for _ in range(3):
            status(api, reader)
        reader.sign_in()
        assert must_wait(status(api, reader))

    def test_all_routes_count_together(self, limited: Limited) -> None:
        reader, api = limited.open.reader(), limited.app(RATELIMIT_DEFAULT="3 per minute")
        for path in ("/api/payments", "/api/plans", "/auth/sessions"):
            assert api.client().get(path, headers=reader.auth).status_code == 200
        assert must_wait(status(api, reader))

    def test_is_200_a_minute(self, limited: Limited) -> None:
        reader, api = limited.open.reader(), limited.app()
        client = api.client()
        codes = [client.get("/api/plans", headers=reader.auth).status_code for _ in range(201)]
        assert codes == [200] * 200 + [429]

    def test_anonymous_is_60_a_minute_for_an_address(self, limited: Limited) -> None:
        api = limited.app()
        codes = [plans(api).status_code for _ in range(ANONYMOUS)]
        assert codes == [200] * ANONYMOUS
        assert must_wait(plans(api))
        assert plans(api, "192.0.2.2").status_code == 200

    def test_signed_in_user_is_not_anonymous(self, limited: Limited) -> None:
        reader, api = limited.open.reader(), limited.app()
        for _ in range(ANONYMOUS + 1):
            plans(api)
        assert plans(api, **reader.auth).status_code == 200

    def test_false_tokens_are_anonymous(self, limited: Limited) -> None:
        api = limited.app()
        for number in range(ANONYMOUS):
            plans(api, Authorization=("Bearer x", "Bearer", "Basic eDp5")[number % 3])
        assert must_wait(plans(api))

    def test_preflights_do_not_count(self, limited: Limited) -> None:
        api = limited.app()
        for _ in range(ANONYMOUS + 5):
            answer = api.client().options("/auth/login", headers={"X-Forwarded-For": "192.0.2.1"})
            assert answer.status_code == 200
        assert plans(api).status_code == 200

    def test_unknown_paths_are_only_404(self, limited: Limited) -> None:
        api = limited.app()
        codes = {api.client().get("/nowhere").status_code for _ in range(ANONYMOUS + 5)}
        assert codes == {404}


class TestMachines:
    def test_health_is_never_limited(self, limited: Limited) -> None:
        client = limited.app().client()
        for path in ("/health", "/health/live", "/health/ready", "/api/system/health"):
            codes = {client.get(path).status_code for _ in range(ANONYMOUS // 2)}
            assert codes == {200}

    def test_access_is_never_limited(self, limited: Limited) -> None:
        reader, api = limited.open.reader(), limited.app(RATELIMIT_DEFAULT="3 per minute")
        client = api.client()
        codes = [client.get("/api/user/access", headers=reader.auth).status_code for _ in range(20)]
        assert codes == [402] * 20

    def test_access_without_a_token_is_never_limited(self, limited: Limited) -> None:
        client = limited.app().client()
        codes = [client.get("/api/user/access").status_code for _ in range(ANONYMOUS + 5)]
        assert codes == [401] * len(codes)


class TestSwitch:
    def test_zero_turns_all_off(self, limited: Limited) -> None:
        api = limited.app(RATELIMIT_ENABLED="0", RATELIMIT_DEFAULT="1 per minute")
        assert [login(api, "victim") for _ in range(7)] == [401] * 7
        assert {plans(api).status_code for _ in range(ANONYMOUS + 5)} == {200}

    def test_without_redis_each_worker_keeps_its_share(self, limited: Limited) -> None:
        reader = limited.open.reader()
        api = limited.app(WEB_CONCURRENCY="2", RATELIMIT_DEFAULT="8 per minute")
        codes = [status(api, reader).status_code for _ in range(5)]
        assert codes == [200] * 4 + [429]

    def test_without_redis_guarded_routes_count_for_all_workers(self, limited: Limited) -> None:
        one, other = limited.app(WEB_CONCURRENCY="2"), limited.app(WEB_CONCURRENCY="2")
        found = [login(one if n % 2 else other, "victim") for n in range(6)]
        assert found == [401] * 5 + [429]


@pytest.fixture
def shared(redis_server: RedisServer) -> str:
    """A Redis with nothing in it."""
    url = redis_server.url(7)
    with redis.Redis.from_url(url) as client:
        client.flushdb()
    return url


class TestRedis:
    def test_default_limit_is_shared_by_two_apps(self, limited: Limited, shared: str) -> None:
        reader = limited.open.reader()
        values = {"REDIS_URL": shared, "RATELIMIT_DEFAULT": "4 per minute", "WEB_CONCURRENCY": "2"}
        one, two = limited.app(**values), limited.app(**values)
        codes = [status(api, reader).status_code for api in (one, two, one, two, one, two)]
        assert codes == [200] * 4 + [429] * 2

    def test_sign_in_limit_is_shared_with_another_process(
        self, limited: Limited, shared: str, on_sqlite: Deployment
    ) -> None:
        api = limited.app(REDIS_URL=shared)
        assert [login(api, "victim") for _ in range(5)] == [401] * 5
        values = {**on_sqlite.settings, "RATELIMIT_ENABLED": "1", "REDIS_URL": shared}
        assert run_login_elsewhere(values, "victim") == 429
        assert login(api, "victim") == 429

    def test_refusal_is_no_sign_of_a_dead_store(self, limited: Limited, shared: str) -> None:
        api = limited.app(REDIS_URL=shared)
        with logged("flask-limiter") as lines:
            assert [login(api, "victim") for _ in range(8)] == [401] * 5 + [429] * 3
        assert lines == []

    def test_name_that_redis_cannot_keep_is_bad_input(self, limited: Limited, shared: str) -> None:
        api = limited.app(REDIS_URL=shared)
        body = b'{"username": "\\ud800", "password": "wrong password"}'
        with logged(*EVERYTHING) as lines:
            answer = api.client().post("/auth/login", data=body, content_type="application/json")
        assert answer.status_code == 400
        assert lines == []

    def test_body_too_large_is_no_sign_of_a_dead_store(self, limited: Limited, shared: str) -> None:
        api = limited.app(REDIS_URL=shared)
        with logged("flask-limiter") as lines:
            answer = api.post("/auth/login", {"username": "a" * 2**21})
        assert answer.status_code == 413
        assert lines == []

    def test_long_name_is_no_long_key(self, limited: Limited, shared: str) -> None:
        api = limited.app(REDIS_URL=shared)
        login(api, "n" * 100_000)
        with redis.Redis.from_url(shared) as client:
            assert max(len(key) for key in client.scan_iter()) < 500


def run_login_elsewhere(values: dict[str, str], username: str) -> int:
    script = (
        "import json, sys\n"
        "from manga_backend.app import create_app\n"
        "client = create_app(json.loads(sys.argv[1])).test_client()\n"
        "body = {'username': sys.argv[2], 'password': 'wrong password'}\n"
        "print(client.post('/auth/login', json=body).status_code)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script, json.dumps(values), username],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return int(ended.stdout.splitlines()[-1])


class TestRedisAway:
    @pytest.fixture
    def own_redis(self) -> Iterator[RedisServer]:
        with RedisServer() as server:
            yield server

    def test_memory_takes_over_and_the_log_says_so_once(
        self, limited: Limited, own_redis: RedisServer
    ) -> None:
        reader = limited.open.reader()
        api = limited.app(REDIS_URL=own_redis.url(), RATELIMIT_DEFAULT="4 per minute")
        assert status(api, reader).status_code == 200
        own_redis.stop()
        began = time.monotonic()
        with logged(*EVERYTHING) as lines:
            codes = [status(api, reader).status_code for _ in range(6)]
            logins = [login(api, "victim") for _ in range(6)]
            signed_in = api.post("/auth/login", {"username": reader.username, "password": PASSWORD})
        assert codes == [200] * 4 + [429] * 2
        assert logins == [401] * 5 + [429]
        assert signed_in.status_code == 200
        assert time.monotonic() - began < 5
        assert len(lines) == 1
        assert "Redis is away" in lines[0]

    def test_redis_that_comes_back_counts_again(
        self, limited: Limited, own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(ratelimit, "RETRY_STORE_SECONDS", 0.2)
        reader = limited.open.reader()
        api = limited.app(REDIS_URL=own_redis.url(), RATELIMIT_DEFAULT="4 per minute")
        own_redis.stop()
        assert status(api, reader).status_code == 200
        own_redis.start()
        time.sleep(0.3)
        assert [status(api, reader).status_code for _ in range(5)] == [200] * 4 + [429]
        with redis.Redis.from_url(own_redis.url()) as client:
            assert client.dbsize() > 0

    def test_away_from_the_start_is_no_reason_not_to_start(
        self, limited: Limited, own_redis: RedisServer
    ) -> None:
        own_redis.stop()
        api = limited.app(REDIS_URL=own_redis.url())
        assert plans(api).status_code == 200
        assert login(api, "anyone") == 401

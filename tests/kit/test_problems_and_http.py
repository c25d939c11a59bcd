"""Refusals are problem+json with a code; ids, headers and addresses are what they should be."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import marshmallow as ma
import pytest
from flask import abort
from werkzeug.exceptions import HTTPException
from werkzeug.routing import Rule
from werkzeug.test import TestResponse

from manga_backend.kit.app import MAX_BODY_BYTES, App
from manga_backend.kit.http import LONGEST_KEPT_QUERY, QUERIES_KEPT, Schema, StrictParser
from manga_backend.kit.principal import public
from tests.conftest import Deployment
from tests.standins.telegram import BotApiStandIn
from tests.support import PASSWORD, Api
from tests.variants import logged, variant, variant_api
from tools.services import free_port

CREDENTIALS = {"username": "nobody", "password": PASSWORD}


def is_problem(answer: TestResponse, status: int, code: str) -> dict[str, Any]:
    assert (answer.status_code, answer.mimetype) == (status, "application/problem+json")
    body: dict[str, Any] = answer.get_json()
    assert body["status"] == status
    assert body["code"] == code
    assert body["type"] == "about:blank"
    assert body["title"]
    assert body["detail"]
    assert body["request_id"] == answer.headers["X-Request-ID"]
    return body


def login(api: Api, body: bytes | str, content_type: str = "application/json") -> TestResponse:
    answer: TestResponse = api.client().post("/auth/login", data=body, content_type=content_type)
    return answer


class FolderSchema(Schema):
    """A query that says the same whoever asks; `read` has each that was read."""

    READ_ONCE = True
    read: ClassVar[list[str]] = []
    path = ma.fields.String(validate=ma.validate.Regexp("^/"))

    @ma.pre_load
    def note(self, data: Any, **_: Any) -> Any:
        self.read.append(data["path"])
        return data


class TestQueriesReadOnce:
    @pytest.fixture
    def ask(self, lite: Api) -> Callable[[str], dict[str, Any]]:
        FolderSchema.read.clear()
        parser = StrictParser()

        def ask(path: str) -> dict[str, Any]:
            with lite.app.test_request_context(query_string={"path": path}):
                found: dict[str, Any] = parser.parse(FolderSchema, location="query")
                return found

        return ask

    def test_each_text_once_and_nobody_has_what_another_changed(
        self, ask: Callable[[str], dict[str, Any]]
    ) -> None:
        ask("/a")["path"] = "changed"
        assert [ask("/a"), ask("/b"), ask("/a")] == [{"path": "/a"}, {"path": "/b"}, {"path": "/a"}]
        assert FolderSchema.read == ["/a", "/b"]

    def test_what_is_refused_is_refused_each_time(
        self, ask: Callable[[str], dict[str, Any]]
    ) -> None:
        for _ in range(2):
            with pytest.raises(HTTPException) as refused:
                ask("a")
            assert refused.value.code == 400
        assert FolderSchema.read == ["a", "a"]

    def test_neither_many_nor_long_ones_fill_the_memory(
        self, ask: Callable[[str], dict[str, Any]]
    ) -> None:
        ask("/first")
        for number in range(QUERIES_KEPT - 1):
            ask(f"/{number}")
        ask("/first")
        assert FolderSchema.read.count("/first") == 1
        ask("/one more")  # in place of "/0", which nobody has asked for longest
        ask("/first")
        ask("/0")
        assert FolderSchema.read.count("/first") == 1
        assert FolderSchema.read.count("/0") == 2
        for _ in range(2):
            ask("/" + "x" * LONGEST_KEPT_QUERY)
        assert len(FolderSchema.read[-1]) == len(FolderSchema.read[-2]) > LONGEST_KEPT_QUERY


class TestProblems:
    def test_unknown_path(self, lite: Api) -> None:
        is_problem(lite.client().get("/nowhere"), 404, "not_found")

    def test_other_method_says_which_are_allowed(self, lite: Api) -> None:
        answer = lite.client().get("/auth/login")
        is_problem(answer, 405, "method_not_allowed")
        assert "POST" in answer.headers["Allow"]

    def test_body_over_one_mebibyte(self, lite: Api) -> None:
        is_problem(login(lite, b'{"username":"' + b"a" * MAX_BODY_BYTES), 413, "too_large")

    def test_body_that_is_no_json_by_its_own_words(self, lite: Api) -> None:
        answer = login(lite, "username=a", "application/x-www-form-urlencoded")
        is_problem(answer, 415, "unsupported_media_type")

    @pytest.mark.parametrize(
        "body",
        [
            "{",
            "username",
            '{"username": "a",}',
            b'{"username": "\xff"}',
            "[" * 100_000,
            '{"a":' * 300 + "1" + "}" * 299,
            '{"username": ' + "1" * 5000 + "}",
        ],
        ids=["open", "word", "comma", "latin-1", "deep", "deep and open", "5000 digits"],
    )
    def test_malformed_json(self, lite: Api, body: bytes | str) -> None:
        is_problem(login(lite, body), 400, "malformed")

    @pytest.mark.parametrize("depth", [100, 300, 450, 700, 900])
    def test_nesting_of_any_depth_is_only_bad_input(self, lite: Api, depth: int) -> None:
        answer = login(lite, '{"username":' + "[" * depth + "]" * depth + "}")
        assert answer.status_code == 400
        assert answer.get_json()["code"] in ("malformed", "invalid_input")

    @pytest.mark.parametrize("body", ["null", "[]", '"text"', "1", "", "true"])
    def test_json_that_is_no_object(self, lite: Api, body: str) -> None:
        is_problem(login(lite, body), 400, "invalid_input")

    def test_unknown_field_is_named(self, lite: Api) -> None:
        answer = lite.post("/auth/login", {**CREDENTIALS, "role": "admin"})
        assert list(is_problem(answer, 400, "invalid_input")["errors"]) == ["role"]

    def test_missing_fields_are_named(self, lite: Api) -> None:
        errors = is_problem(lite.post("/auth/login", {}), 400, "invalid_input")["errors"]
        assert sorted(errors) == ["password", "username"]
        assert all(isinstance(texts, list) for texts in errors.values())

    @pytest.mark.parametrize("text", ["a\\u0000b", "\\ud800", "\\udfffx"])
    @pytest.mark.parametrize("where", ["username", "password"])
    def test_character_that_cannot_be_stored(self, lite: Api, text: str, where: str) -> None:
        body = json.dumps({**CREDENTIALS, where: "@"}).replace("@", text)
        is_problem(login(lite, body), 400, "invalid_input")

    def test_nul_in_the_path(self, lite: Api) -> None:
        is_problem(lite.client().get("/api/plans%00"), 404, "not_found")

    def test_nul_in_the_query(self, lite: Api) -> None:
        is_problem(lite.client().get("/api/plans?product=%00"), 400, "malformed")

    def test_page_too_far_is_bad_input(self, fresh: Api) -> None:
        answer = fresh.reader().get("/api/payments?page=100000000000000000000")
        is_problem(answer, 400, "invalid_input")

    def test_id_of_the_wrong_shape(self, lite: Api) -> None:
        is_problem(lite.client().get("/api/payments/1"), 404, "not_found")

    def test_unauthorized_names_the_scheme(self, lite: Api) -> None:
        answer = lite.client().get("/api/user/status")
        is_problem(answer, 401, "token_missing")
        assert answer.headers["WWW-Authenticate"] == "Bearer"

    def test_admin_system_is_json_even_when_refused(self, lite: Api) -> None:
        is_problem(lite.client().get("/admin/system/nothing"), 404, "not_found")
        is_problem(lite.client().get("/admin/system/stats"), 401, "token_missing")
        is_problem(lite.client().get("/admin/system/coupon"), 405, "method_not_allowed")

    def test_panel_is_a_page_when_refused(self, lite: Api) -> None:
        answer = lite.client().get("/admin/nothing/")
        assert (answer.status_code, answer.mimetype) == (404, "text/html")


@pytest.fixture
def faulty(on_sqlite: Deployment, bot: BotApiStandIn) -> Iterator[Api]:
    """An app with routes that break."""
    with variant(on_sqlite.settings) as app:

        @app.route("/breaks", methods=["GET", "POST"])
        @public
        def breaks() -> str:
            raise RuntimeError("the secret of the house: s3cr3t")

        @app.route("/teapot")
        @public
        def teapot() -> str:
            abort(418)

        yield Api(app, bot)


class TestFaults:
    def test_unexpected_error_tells_nothing(self, faulty: Api) -> None:
        with logged() as lines:
            answer = faulty.post("/breaks")
        is_problem(answer, 500, "internal_error")
        for word in ("RuntimeError", "s3cr3t", "Traceback", "breaks"):
            assert word not in answer.text
        assert lines == ["unhandled error in POST /breaks"]

    def test_status_outside_the_table_is_a_problem_as_well(self, faulty: Api) -> None:
        is_problem(faulty.client().get("/teapot"), 418, "refused")

    def test_database_that_is_away_is_503(self, on_sqlite: Deployment, bot: BotApiStandIn) -> None:
        url = f"postgresql://app@127.0.0.1:{free_port()}/app"
        with variant_api(on_sqlite, bot, DATABASE_URL=url) as api, logged() as lines:
            answer = api.post("/auth/login", CREDENTIALS)
        is_problem(answer, 503, "dependency_away")
        assert int(answer.headers["Retry-After"]) > 0
        assert "127.0.0.1" not in answer.text
        assert any("database away" in line for line in lines)


class TestRequestId:
    def test_new_one_each_time(self, lite: Api) -> None:
        ids = {lite.client().get("/health").headers["X-Request-ID"] for _ in range(5)}
        assert len(ids) == 5

    @pytest.mark.parametrize("mine", ["a", "Req-1.2:3_4", "f" * 128])
    def test_sane_one_is_echoed(self, lite: Api, mine: str) -> None:
        answer = lite.client().get("/nowhere", headers={"X-Request-ID": mine})
        assert answer.headers["X-Request-ID"] == mine
        assert answer.get_json()["request_id"] == mine

    @pytest.mark.parametrize(
        "theirs",
        ["", " ", "-a", "a b", "a" * 129, "<script>", 'a"b', "\xd8\xb4"],
    )
    def test_insane_one_is_replaced(self, lite: Api, theirs: str) -> None:
        answer = lite.client().get("/health", headers={"X-Request-ID": theirs})
        assert answer.headers["X-Request-ID"] != theirs
        assert len(answer.headers["X-Request-ID"]) == 32


def both_spellings(app: App) -> list[tuple[str, str, str]]:
    """(method, path as written, path with the other ending) of every route that takes one."""
    adapter = app.url_map.bind("localhost")
    found = []
    for rule in app.url_map.iter_rules():
        if "<path:" in rule.rule:
            continue
        path = adapter.build(rule.endpoint, sample_values(rule), method=a_method(rule))
        other = path[:-1] if path.endswith("/") else f"{path}/"
        found += [(method, path, other) for method in sorted(rule.methods or ())]
    return found


def a_method(rule: Rule) -> str:
    return next(iter((rule.methods or set()) - {"OPTIONS", "HEAD"}))


def sample_values(rule: Rule) -> dict[str, Any]:
    kinds = {"UUIDConverter": "00000000-0000-7000-8000-000000000000", "IntegerConverter": 1}
    found = {name: kinds.get(type(c).__name__, "csv") for name, c in rule._converters.items()}
    return found | ({"order_id": ORDER} if "order_id" in found else {})


ORDER = "A" * 12
NOBODYS = f"/api/orders/{ORDER}"
"""Anyone may ask for an order, and there is none with this id."""


class TestTrailingSlash:
    def test_every_route_answers_both_ways_without_a_redirect(self, fresh: Api) -> None:
        routes = both_spellings(fresh.app)
        assert len(routes) > 100
        for method, path, other in routes:
            headers = {"X-Request-ID": "same"}
            one = fresh.client().open(path, method=method, headers=headers)
            two = fresh.client().open(other, method=method, headers=headers)
            assert two.status_code == one.status_code, (method, other)
            assert two.status_code != 404 or path == NOBODYS, (method, other)
            assert two.status_code not in (301, 307, 308), (method, other)
            assert two.headers.get("Location", "").partition("?")[0] not in (path, other)

    def test_preflight_is_answered_both_ways(self, lite: Api) -> None:
        for path in ("/auth/login", "/auth/login/"):
            assert lite.client().options(path).status_code == 200


class TestSecurityHeaders:
    @pytest.mark.parametrize("path", ["/health", "/nowhere", "/docs", "/admin/sign-in/"])
    def test_every_answer_has_them_once(self, lite: Api, path: str) -> None:
        headers = lite.client().get(path).headers
        assert headers.getlist("X-Content-Type-Options") == ["nosniff"]
        assert headers.getlist("X-Frame-Options") == ["DENY"]
        assert headers.getlist("Referrer-Policy") == ["same-origin"]
        assert headers["Cache-Control"] == "no-store"

    @pytest.mark.parametrize("path", ["/docs", "/admin/sign-in/"])
    def test_pages_have_a_policy_with_a_new_nonce(self, lite: Api, path: str) -> None:
        policies = [lite.client().get(path).headers["Content-Security-Policy"] for _ in range(2)]
        assert policies[0] != policies[1]
        for policy in policies:
            scripts = next(p for p in policy.split(";") if p.strip().startswith("script-src"))
            assert "'nonce-" in scripts
            assert "unsafe-inline" not in scripts
            assert "frame-ancestors 'none'" in policy

    def test_docs_name_no_other_host(self, lite: Api) -> None:
        text = lite.client().get("/docs").text
        assert "http://" not in text
        assert "https://" not in text


@pytest.fixture(scope="class")
def behind_proxy(on_sqlite: Deployment, bot: BotApiStandIn) -> Iterator[Api]:
    with variant_api(on_sqlite, bot, TRUSTED_PROXIES="1") as api:
        yield api


HTTPS = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.9"}


class TestProxies:
    def test_hsts_behind_a_trusted_proxy_with_https(self, behind_proxy: Api) -> None:
        answer = behind_proxy.client().get("/health", headers=HTTPS)
        assert answer.headers["Strict-Transport-Security"].startswith("max-age=31536000")

    def test_no_hsts_behind_it_without_https(self, behind_proxy: Api) -> None:
        answer = behind_proxy.client().get("/health", headers={"X-Forwarded-Proto": "http"})
        assert "Strict-Transport-Security" not in answer.headers

    def test_no_hsts_when_anyone_says_https(self, lite: Api) -> None:
        answer = lite.client().get("/health", headers=HTTPS)
        assert "Strict-Transport-Security" not in answer.headers

    def address_of_session(self, api: Api, forwarded: str) -> str:
        reader = api.reader()
        answer = api.client().post(
            "/auth/login",
            json={"username": reader.username, "password": PASSWORD},
            headers={"X-Forwarded-For": forwarded},
        )
        reader.tokens = answer.get_json()
        address: str = reader.get("/auth/sessions").get_json()[0]["address"]
        return address

    def test_forged_address_changes_nothing(self, fresh: Api) -> None:
        assert self.address_of_session(fresh, "203.0.113.9") == "127.0.0.1"

    def test_trusted_proxy_tells_the_address(self, fresh: Api, behind_proxy: Api) -> None:
        assert self.address_of_session(behind_proxy, "203.0.113.9") == "203.0.113.9"

    def test_only_the_trusted_hop_counts(self, fresh: Api, behind_proxy: Api) -> None:
        address = self.address_of_session(behind_proxy, "198.51.100.1, 203.0.113.9")
        assert address == "203.0.113.9"


class TestOpenApi:
    def test_every_guarded_operation_documents_its_refusals(self, lite: Api) -> None:
        document = lite.client().get("/openapi.json").get_json()
        status = document["paths"]["/api/user/status"]["get"]["responses"]
        assert {"200", "401", "403", "429", "503"} <= set(status)
        assert "session_replaced" in status["401"]["description"]
        assert document["openapi"].startswith("3.")

    def test_username_pattern_is_one_that_browsers_read(self, lite: Api) -> None:
        document = lite.client().get("/openapi.json").get_json()
        fields = document["components"]["schemas"]["Register"]["properties"]
        assert fields["username"]["pattern"] == "^[A-Za-z0-9._-]{3,32}$"

"""The site that stands before the backend: what it lets through, what it keeps, what it says."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from sqlalchemy import select

from manga_backend.app import create_app
from manga_backend.kernel.identity.models import Session
from manga_backend.kit import clock
from manga_backend.kit.db import db
from manga_backend.products.manga.domain import sign_folder
from tests.deployment.load import From
from tests.deployment.nginx import FILES_SECRET, NGINX, Nginx
from tests.deployment.processes import Live, Web
from tests.deployment.test_workers import sign_up
from tests.products.urgent.factories import person
from tests.standins.telegram import BotApiStandIn
from tests.support import Api

pytestmark = pytest.mark.skipif(NGINX is None, reason="Nginx is not installed")

PAGE = b"a page of manga"
UNSET = "not set"  # as the file is shipped


@pytest.fixture
def values(settings: dict[str, str]) -> dict[str, str]:
    return {
        **settings,
        "WEB_CONCURRENCY": "2",
        "TRUSTED_PROXIES": "1",
        "MANGA_FILES_SECRET": FILES_SECRET,
    }


@pytest.fixture
def web(values: dict[str, str], start: Any) -> Web:
    found: Web = start(Web, values)
    return found


@pytest.fixture
def site(web: Web, values: dict[str, str], start: Any, tmp_path: Path) -> Iterator[Nginx]:
    """With one file of manga behind its gate."""
    live: Live = start(Live, values)
    found = Nginx(
        tmp_path / "nginx", web.url.removeprefix("http://"), live.url.removeprefix("http://")
    )
    folder = found.files / "one piece" / "12"
    folder.mkdir(parents=True)
    (folder / "001.png").write_bytes(PAGE)
    (found.files.parent / "outside.png").write_bytes(b"not manga")
    found.start()
    yield found
    found.stop()


def problem(answer: requests.Response) -> tuple[int, str]:
    """Status and code, which the body repeats."""
    assert answer.headers["Content-Type"].startswith("application/problem+json"), answer.text
    body = answer.json()
    assert body["status"] == answer.status_code
    assert body["request_id"]
    return answer.status_code, str(body["code"])


def test_a_site(
    site: Nginx, web: Web, values: dict[str, str], telegram: BotApiStandIn, start: Any
) -> None:
    """One after the other, for a deployment of its own takes seconds."""
    _is_spoken_to_over_tls(site)
    token = sign_up(web, 801101)
    _nobody_forges_an_address(site, values)
    _the_inside_is_not_shown(site)
    _manga_is_for_who_paid(site, values, telegram, token)
    _events_are_passed_on(site, values, telegram)
    _floods_and_large_bodies_are_refused(site)
    web.stop()
    answer = site.call("GET", "/api/plans")
    assert problem(answer) == (502, "dependency_away")
    assert answer.headers["Retry-After"]


def _is_spoken_to_over_tls(site: Nginx) -> None:
    assert site.negotiated() == "h2"
    plain = requests.get(
        f"http://127.0.0.1:{site.plain_port}/api/plans?x=1", allow_redirects=False, timeout=5
    )
    assert plain.status_code == 301
    assert plain.headers["Location"].startswith("https://127.0.0.1/api/plans?x=1")
    answer = site.call("GET", "/api/plans")
    assert answer.status_code == 200
    assert "max-age" in answer.headers["Strict-Transport-Security"]
    style = site.call("GET", "/static/backoffice/panel.css")
    assert style.status_code in (200, 404)
    assert "gunicorn" not in style.headers.get("Server", "")


def _nobody_forges_an_address(site: Nginx, values: dict[str, str]) -> None:
    forged = {
        "X-Forwarded-For": "203.0.113.7",
        "X-Real-IP": "203.0.113.7",
        "Forwarded": "for=9.9.9.9",
    }
    body = {"username": "u801101", "password": "correct horse battery"}
    answer = site.call("POST", "/auth/login", json=body, headers=forged)
    assert answer.status_code == 200
    app = create_app(values)
    with app.app_context(), db.engine.connect() as connection:
        found = connection.scalars(select(Session.address).order_by(Session.created_at.desc()))
        assert found.first() == "127.0.0.1"


def _the_inside_is_not_shown(site: Nginx) -> None:
    assert site.call("GET", "/health").json() == {"status": "healthy"}
    assert site.call("GET", "/metrics").status_code == 403  # came through a proxy
    assert site.call("GET", "/health/ready").status_code == 200  # we are this machine
    assert site.call("GET", "/_manga_access").status_code == 404


def _manga_is_for_who_paid(
    site: Nginx, values: dict[str, str], telegram: BotApiStandIn, stranger: str
) -> None:
    page = "/manga/one%20piece/12/001.png"
    token = site.call(
        "POST", "/auth/login", json={"username": "u801101", "password": "correct horse battery"}
    ).json()["access_token"]
    assert problem(site.call("GET", page)) == (401, "token_missing")
    assert problem(site.call("GET", page, stranger)) == (401, "session_replaced")
    assert problem(site.call("GET", page, token)) == (402, "subscription_required")
    coupon = Api(create_app(values), telegram).coupon(days=1)
    paid = site.call("POST", "/payment/submit", token, json={"coupon_code": coupon})
    assert paid.status_code == 200
    answer = site.call("GET", page, token)
    assert (answer.status_code, answer.content) == (200, PAGE)
    assert answer.headers["Content-Type"] == "image/png"
    assert site.call("GET", "/manga/one%20piece/none.png", token).status_code == 404
    assert site.call("GET", "/manga/%2e%2e/outside.png", token).status_code in (400, 404)

    signed = site.call("GET", "/api/user/access?path=/manga/one piece/12/", token)
    assert signed.status_code == 200
    url = signed.json()["url"]
    answer = site.call("GET", f"{url}001.png")
    assert (answer.status_code, answer.content) == (200, PAGE)
    assert site.call("GET", url.replace("/12/~/", "/13/~/") + "001.png").status_code == 403
    assert site.call("GET", url.replace("/12/~/", "/~/") + "12/001.png").status_code == 403
    assert site.call("GET", f"{url}../../../outside.png").status_code in (400, 403, 404)
    ago = clock.now() - timedelta(seconds=2)
    old = sign_folder("/manga/one piece/12/", "/manga/", ago, FILES_SECRET)
    assert site.call("GET", f"{old}001.png").status_code == 410


def _events_are_passed_on(site: Nginx, values: dict[str, str], telegram: BotApiStandIn) -> None:
    with site.session() as session:
        answer = session.get(f"{site.url}/api/orders/events", stream=True, timeout=15)
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        client = person(Api(create_app(values), telegram), "Анна")
        order = str(client.order()["id"])
        lines = answer.iter_lines(chunk_size=1, decode_unicode=True)
        assert any(order in line for line in lines if line.startswith("data:"))
        answer.close()


def _floods_and_large_bodies_are_refused(site: Nginx) -> None:
    answer = site.call("POST", "/auth/login", data=b"x" * 2_000_000)
    assert problem(answer) == (413, "too_large")
    body = {"username": "nobody_here", "password": "wrong password"}
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: site.call("POST", "/auth/login", json=body), range(60)))
    refused = [answer for answer in answers if answer.status_code == 429]
    assert refused
    assert {problem(answer) for answer in refused} == {(429, "too_many_requests")}
    assert all(answer.headers["Retry-After"] for answer in refused)


def _stand_in(lines: list[bytes]) -> socket.socket:
    """Takes one connection, keeps the request's head, and goes on as a WebSocket that echoes."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = server.accept()
        with connection:
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += connection.recv(4096)
            lines.extend(head.split(b"\r\n"))
            connection.sendall(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                b"Connection: upgrade\r\n\r\n"
            )
            connection.sendall(connection.recv(4096))

    threading.Thread(target=serve, daemon=True).start()
    return server


def test_an_untouched_copy_opens_no_file_and_passes_websockets_on(tmp_path: Path) -> None:
    """Without a backend: what the file does by itself, with the secret as it is shipped."""
    lines: list[bytes] = []
    with _stand_in(lines) as live:
        site = Nginx(tmp_path / "nginx", "127.0.0.1:1", f"127.0.0.1:{live.getsockname()[1]}", UNSET)
        (site.files / "1.png").write_bytes(PAGE)
        site.start()
        try:
            until = clock.now() + timedelta(days=1)
            for guess in (UNSET, "MANGA_FILES_SECRET", "$manga_files_secret", ""):
                url = sign_folder("/manga/", "/manga/", until, guess)
                assert site.call("GET", f"{url}1.png").status_code == 403
            with site.session() as outside:
                outside.mount(site.url, From("127.0.1.9"))  # not this machine's own address
                for path in ("/metrics", "/health/ready", "/api/system/health"):
                    assert outside.get(site.url + path, timeout=5).status_code == 403
            host, _, port = site.url.removeprefix("https://").partition(":")
            context = ssl.create_default_context(cafile=site.authorities)
            with (
                socket.create_connection((host, int(port)), timeout=5) as raw,
                context.wrap_socket(raw, server_hostname=host) as client,
            ):
                client.sendall(
                    b"GET /ws/x HTTP/1.1\r\nHost: api.manga.example\r\nUpgrade: websocket\r\n"
                    b"Connection: Upgrade\r\nX-Forwarded-For: 203.0.113.7\r\n\r\n"
                )
                assert client.recv(4096).startswith(b"HTTP/1.1 101")
                client.sendall(b"hello")
                assert client.recv(4096) == b"hello"
        finally:
            site.stop()
    assert b"Upgrade: websocket" in lines
    assert [line for line in lines if line.startswith(b"Connection:")] == [b"Connection: upgrade"]
    assert b"X-Forwarded-For: 127.0.0.1" in lines
    assert not any(b"203.0.113.7" in line for line in lines)

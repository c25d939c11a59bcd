"""Calls to outside systems: TLS, time limits, kept connections, forks, words for faults."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import trustme

from manga_backend.kit.calls import LARGEST_ANSWER_BYTES, Caller, CallFailed
from manga_backend.kit.settings import ROOT
from tests.standins.proxies import HttpProxy, Socks5Proxy


class Echo(BaseHTTPRequestHandler):
    """Says what it was asked, and by how many connections."""

    protocol_version = "HTTP/1.1"
    connections: set[tuple[str, int]]

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers["Content-Length"])))

    def _answer(self, body: bytes) -> None:
        self.connections.add(self.client_address)
        if self.path.startswith("/slow"):
            time.sleep(0.6)
        if self.path == "/huge":
            self._send(200, b"x" * (LARGEST_ANSWER_BYTES + 1))
        elif self.path == "/elsewhere":
            self._send(302, b"", Location="/secret")
        else:
            head = f"{self.command} {self.path} {self.headers.get('X-Asked', '-')} "
            self._send(404 if self.path == "/none" else 200, head.encode() + body)

    def _send(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Not to the terminal."""


class Server:
    """On loopback, plain or with a certificate."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.handler = type("Handler", (Echo,), {"connections": set()})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self.handler)
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]
        if context is not None:
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        scheme = "http" if context is None else "https"
        self.url = f"{scheme}://localhost:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def connections(self) -> int:
        return len(self.handler.connections)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    yield running
    running.close()


@pytest.fixture
def authority(tmp_path: Path) -> tuple[trustme.CA, str]:
    """Who signs certificates, and the file that names it."""
    authority = trustme.CA()
    file = tmp_path / "authorities.pem"
    authority.cert_pem.write_to_path(str(file))
    return authority, str(file)


def secure(cert: trustme.LeafCert) -> Server:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    cert.configure_cert(context)
    return Server(context)


def words_of(caller: Caller, url: str, **limits: float) -> str:
    with pytest.raises(CallFailed) as raised:
        caller.send("GET", url, **limits)
    assert "localhost" not in raised.value.words
    return raised.value.words


class TestSend:
    def test_carries_body_and_headers_and_tells_the_status(self, server: Server) -> None:
        caller = Caller()
        answer = caller.send(
            "POST", f"{server.url}/a?b=c", body="سلام".encode(), headers={"X-Asked": "yes"}
        )
        assert (answer.status, answer.body.decode()) == (200, "POST /a?b=c yes سلام")
        answer = caller.send("GET", f"{server.url}/none")  # nothing of the call before is left
        assert (answer.status, answer.body) == (404, b"GET /none - ")

    def test_one_connection_serves_many_calls(self, server: Server) -> None:
        caller = Caller()
        for _ in range(5):
            caller.send("GET", server.url)
        assert server.connections == 1

    def test_threads_do_not_mix(self, server: Server) -> None:
        caller, wrong = Caller(), []

        def ask(number: int) -> None:
            for turn in range(20):
                said = f"{number}-{turn}".encode()
                found = caller.send("POST", server.url, body=said).body
                if not found.endswith(b" " + said):
                    wrong.append(found)

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert wrong == []
        assert server.connections <= 8

    def test_does_not_follow(self, server: Server) -> None:
        answer = Caller().send("GET", f"{server.url}/elsewhere")
        assert (answer.status, answer.headers["location"]) == (302, "/secret")

    def test_the_proxy_of_the_environment_does_not_count(
        self, server: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("http_proxy", "https_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, "http://127.0.0.1:9")
        assert Caller().send("GET", server.url).status == 200


class TestFaults:
    def test_each_has_its_words(self, server: Server) -> None:
        caller = Caller()
        assert words_of(caller, "http://127.0.0.1:9") == "refused"
        assert words_of(caller, f"{server.url}/slow", total_seconds=0.2) == "timed out"
        assert words_of(caller, f"{server.url}/huge") == "the answer is too large"
        assert words_of(caller, "gopher://localhost/x") == "the address can't be read"
        assert caller.send("GET", server.url).status == 200

    def test_tells_whether_the_request_may_have_arrived(self, server: Server) -> None:
        with pytest.raises(CallFailed) as refused:
            Caller().send("GET", "http://127.0.0.1:9")
        with pytest.raises(CallFailed) as late:
            Caller().send("GET", f"{server.url}/slow", total_seconds=0.2)
        assert (refused.value.maybe_arrived, late.value.maybe_arrived) == (False, True)

    def test_one_who_hangs_up_without_an_answer(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:

            def hang_up() -> None:
                connection, _ = listener.accept()
                connection.recv(10_000)
                connection.close()

            threading.Thread(target=hang_up, daemon=True).start()
            with pytest.raises(CallFailed) as raised:
                Caller().send("GET", f"http://127.0.0.1:{listener.getsockname()[1]}")
        assert "broke" in raised.value.words
        assert raised.value.maybe_arrived


class TestTls:
    def test_a_good_certificate_is_taken(self, authority: tuple[trustme.CA, str]) -> None:
        ca, file = authority
        server = secure(ca.issue_cert("localhost"))
        assert Caller(authorities=file).send("GET", server.url).status == 200
        server.close()

    def test_strangers_and_old_ones_are_not(self, authority: tuple[trustme.CA, str]) -> None:
        ca, file = authority
        yesterday = datetime.now(UTC) - timedelta(days=1)
        for cert, words in (
            (trustme.CA().issue_cert("localhost"), "TLS: the certificate is not valid"),
            (ca.issue_cert("other.example"), "TLS: the certificate is not valid"),
            (
                ca.issue_cert("localhost", not_after=yesterday),
                "TLS: the certificate is not valid (expired)",
            ),
        ):
            server = secure(cert)
            assert words_of(Caller(authorities=file), server.url) == words
            server.close()

    @pytest.mark.parametrize("kind", [HttpProxy, Socks5Proxy])
    def test_through_a_proxy_it_goes_in_a_tunnel(
        self, authority: tuple[trustme.CA, str], kind: type[HttpProxy | Socks5Proxy]
    ) -> None:
        ca, file = authority
        server = secure(ca.issue_cert("localhost"))
        with kind("reader", "secret") as proxy:
            address = proxy.url.replace("socks5:", "socks5h:")
            assert Caller(address, authorities=file).send("GET", server.url).status == 200
            assert [host for host, _port in proxy.connections] == ["localhost"]
        server.close()


FORKS = """
import os, sys
from manga_backend.kit.calls import Caller
caller = Caller()
url = sys.argv[1]
assert caller.send("GET", url).status == 200
child = os.fork()
if not child:
    os._exit(caller.send("GET", url).status != 200)
assert os.waitpid(child, 0)[1] == 0
assert caller.send("GET", url).status == 200
"""


class TestFork:
    def test_a_child_has_connections_of_its_own(self, server: Server) -> None:
        command = [sys.executable, "-c", FORKS, server.url]
        subprocess.run(command, cwd=ROOT, check=True, timeout=60, env={**os.environ})
        assert server.connections == 2

"""HTTP calls to outside systems: connections that are kept, time limits, a proxy, faults in words.

libcurl does the work (decision 11): a call costs a third of what it does with urllib3, nearly all
of it without the interpreter's lock.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import certifi
import pycurl

CONNECTIONS_KEPT = 64
LARGEST_ANSWER_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    """What the other side said, whatever its status."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    """Names in small letters."""


class CallFailed(Exception):
    """No answer came. The words name what kept us from one; no address, and so no secret, is in
    them. `maybe_arrived` tells that the request may have been carried out all the same."""

    def __init__(self, words: str, *, maybe_arrived: bool) -> None:
        super().__init__(words)
        self.words = words
        self.maybe_arrived = maybe_arrived


class Caller:
    """Calls over kept connections, through `proxy` if it is given (http, https, socks5, socks5h,
    with a login if it has one); the environment's proxies do not count. Thread-safe, and safe to be
    forked while no other thread calls: a child opens connections of its own."""

    def __init__(self, proxy: str = "", *, authorities: str = "") -> None:
        """`authorities` is a file of certificates to trust in place of certifi's."""
        self._proxy = proxy
        self._authorities = authorities or certifi.where()
        self._lock = threading.Lock()
        self._idle: list[pycurl.Curl] = []
        self._owner = os.getpid()
        self._parents: list[pycurl.Curl] = []
        """Never closed here: that would say good-bye on a connection of the parent's."""

    def send(
        self,
        method: str,
        url: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        connect_seconds: float = 3,
        total_seconds: float = 10,
    ) -> Answer:
        """One request; redirects are not followed. CallFailed when no answer came in time.

        A kept connection that the other side has closed is replaced, and the request sent again on
        the new one if not a byte of an answer had come.
        """
        curl = self._take()
        try:
            answer = self._perform(
                curl, method, url, body, headers or {}, connect_seconds, total_seconds
            )
        except pycurl.error as error:
            curl.close()
            details: tuple[Any, ...] = error.args
            raise _as_failure(details[0], details[1], bool(self._proxy)) from None
        except BaseException:
            curl.close()
            raise
        self._give_back(curl)
        return answer

    def _perform(
        self,
        curl: pycurl.Curl,
        method: str,
        url: str,
        body: bytes | None,
        headers: Mapping[str, str],
        connect_seconds: float,
        total_seconds: float,
    ) -> Answer:
        received: list[bytes] = []
        curl.setopt(pycurl.URL, url)
        curl.setopt(pycurl.CONNECTTIMEOUT_MS, int(connect_seconds * 1000))
        curl.setopt(pycurl.TIMEOUT_MS, int(total_seconds * 1000))
        if body is None:
            curl.setopt(pycurl.HTTPGET, 1)
        else:
            curl.setopt(pycurl.POSTFIELDS, body)
        curl.setopt(pycurl.CUSTOMREQUEST, method)
        curl.setopt(pycurl.HTTPHEADER, ["Expect:", *(f"{k}: {v}" for k, v in headers.items())])
        curl.setopt(pycurl.HEADERFUNCTION, received.append)
        answered = curl.perform_rb()
        return Answer(int(curl.getinfo(pycurl.RESPONSE_CODE)), answered, _read_headers(received))

    def _take(self) -> pycurl.Curl:
        with self._lock:
            if self._owner != os.getpid():
                self._parents, self._idle = [*self._parents, *self._idle], []
                self._owner = os.getpid()
            if self._idle:
                return self._idle.pop()
        return self._new()

    def _give_back(self, curl: pycurl.Curl) -> None:
        with self._lock:
            if len(self._idle) < CONNECTIONS_KEPT:
                self._idle.append(curl)
                return
        curl.close()

    def _new(self) -> pycurl.Curl:
        curl = pycurl.Curl()
        curl.setopt(pycurl.NOSIGNAL, 1)
        curl.setopt(pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS)
        curl.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1)
        curl.setopt(pycurl.PROXY, self._proxy)
        curl.setopt(pycurl.NOPROXY, "")
        curl.setopt(pycurl.CAINFO, self._authorities)
        curl.setopt(pycurl.PROXY_CAINFO, self._authorities)
        curl.setopt(pycurl.MAXFILESIZE, LARGEST_ANSWER_BYTES)
        curl.setopt(pycurl.TCP_KEEPALIVE, 1)
        return curl


def _read_headers(lines: list[bytes]) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.decode("latin-1").partition(":")
        if colon:
            found[name.lower()] = value.strip()
        elif name.startswith("HTTP/"):
            found.clear()  # the proxy's answer, or 100 Continue, came before
    return found


_PROXY_HANDSHAKE = 97
"""CURLE_PROXY, which pycurl has no name for."""
_NOT_SENT = {
    pycurl.E_COULDNT_RESOLVE_HOST: "the name is not known",
    pycurl.E_COULDNT_RESOLVE_PROXY: "the proxy fails: its name is not known",
    pycurl.E_URL_MALFORMAT: "the address can't be read",
    pycurl.E_UNSUPPORTED_PROTOCOL: "the address can't be read",
}
_TLS = {
    pycurl.E_SSL_CONNECT_ERROR: "the handshake fails",
    pycurl.E_PEER_FAILED_VERIFICATION: "the certificate is not valid",
    pycurl.E_SSL_CACERT_BADFILE: "the file of authorities can't be read",
    pycurl.E_SSL_CERTPROBLEM: "the certificate is not valid",
}


def _as_failure(code: int, words: str, proxied: bool) -> CallFailed:
    """libcurl's words may hold the address; ours don't."""
    lower = words.lower()
    if code in _NOT_SENT:
        return CallFailed(_NOT_SENT[code], maybe_arrived=False)
    if code in _TLS:
        expired = " (expired)" if "expired" in lower else ""
        return CallFailed(f"TLS: {_TLS[code]}{expired}", maybe_arrived=False)
    if code == pycurl.E_OPERATION_TIMEDOUT:
        where = "the proxy fails: " if "proxy" in lower or "socks" in lower else ""
        connecting = "connection timed out" in lower or "resolving timed out" in lower
        return CallFailed(f"{where}timed out", maybe_arrived=not (where or connecting))
    if code == _PROXY_HANDSHAKE or (proxied and ("proxy" in lower or "socks" in lower)):
        what = "refuses the login (407)" if "407" in lower else _fault_of_proxy(lower)
        return CallFailed(f"the proxy {what}", maybe_arrived=False)
    if code == pycurl.E_COULDNT_CONNECT:
        where = "the proxy fails: " if proxied else ""
        why = "refused" if "refused" in lower or "could not connect" in lower else "no route"
        return CallFailed(where + why, maybe_arrived=False)
    if code == pycurl.E_FILESIZE_EXCEEDED:
        return CallFailed("the answer is too large", maybe_arrived=True)
    return CallFailed(f"the connection broke (libcurl {code})", maybe_arrived=True)


def _fault_of_proxy(lower: str) -> str:
    if "refused" in lower or "could not connect" in lower or "failed to connect" in lower:
        return "fails: refused"
    if "auth" in lower or "user was rejected" in lower or "login" in lower:
        return "refuses the login"
    return "fails: not let through"

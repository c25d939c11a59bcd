"""The Nginx site that deployers copy, on ports and folders of a test."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import time
from pathlib import Path
from typing import Any

import requests
import trustme

from manga_backend.kit.settings import ROOT
from tests.deployment.processes import Process
from tools.services import free_port

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
FILES_SECRET = "signs-addresses-of-files"
AROUND = """
{user}
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    types {{ image/png png; text/css css; }}
    include {folder}/manga.conf;
}}
"""


class Nginx(Process):
    """`deploy/nginx/manga.conf` with this machine's addresses in place of the example's."""

    def __init__(self, folder: Path, api: str, live: str, files_secret: str = FILES_SECRET) -> None:
        assert NGINX is not None
        self.folder = folder
        self.files = folder / "files"
        self.files.mkdir(parents=True)
        self.plain_port, port = free_port(), free_port()
        self.url = f"https://127.0.0.1:{port}"
        authority = trustme.CA()
        self.authorities = str(folder / "ca.pem")
        authority.cert_pem.write_to_path(self.authorities)
        certificate = authority.issue_cert("127.0.0.1", "api.manga.example")
        certificate.private_key_pem.write_to_path(str(folder / "privkey.pem"))
        chain = b"".join(pem.bytes() for pem in certificate.cert_chain_pems)
        (folder / "fullchain.pem").write_bytes(chain)
        changes = {
            "listen [::]:80;": "",
            "listen [::]:443 ssl http2;": "",
            "listen 80;": f"listen 127.0.0.1:{self.plain_port};",
            "listen 443 ssl http2;": f"listen 127.0.0.1:{port} ssl http2;",
            "/etc/letsencrypt/live/api.manga.example": str(folder),
            "/etc/nginx/manga-proxy.conf": str(ROOT / "deploy" / "nginx" / "manga-proxy.conf"),
            "127.0.0.1:8000": api,
            "127.0.0.1:8010": live,
            "/srv/manga_backend": str(ROOT),
            "/srv/manga": str(self.files),
            '"not set"': f'"{files_secret}"',
        }
        site = (ROOT / "deploy" / "nginx" / "manga.conf").read_text()
        for mine, theirs in changes.items():
            assert mine in site, mine
            site = site.replace(mine, theirs)
        (folder / "manga.conf").write_text(site)
        user = "user root;" if os.getuid() == 0 else ""
        (folder / "nginx.conf").write_text(AROUND.format(folder=folder, user=user))
        command = [NGINX, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-g", "daemon off;"]
        super().__init__(command, {}, folder / "nginx.log")

    def start(self) -> None:
        super().start()
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            assert self.process is not None
            assert self.process.poll() is None, self.log.read_text()
            try:
                with socket.create_connection(("127.0.0.1", self.plain_port), timeout=1):
                    return
            except OSError:
                time.sleep(0.05)
        raise AssertionError(f"not ready: {self.log.read_text()}")

    def session(self) -> requests.Session:
        """A client that keeps its connections and trusts this site's authority alone."""
        found = requests.Session()
        found.trust_env = False
        found.verify = self.authorities
        return found

    def call(
        self, method: str, path: str, token: str | None = None, **more: Any
    ) -> requests.Response:
        """One request on a connection of its own."""
        headers = {
            **more.pop("headers", {}),
            **({"Authorization": f"Bearer {token}"} if token else {}),
        }
        with self.session() as session:
            return session.request(
                method, self.url + path, headers=headers, timeout=20, allow_redirects=False, **more
            )

    def negotiated(self) -> str | None:
        """What the server speaks when it is offered HTTP/2."""
        context = ssl.create_default_context(cafile=self.authorities)
        context.set_alpn_protocols(["h2", "http/1.1"])
        host, _, port = self.url.removeprefix("https://").partition(":")
        with (
            socket.create_connection((host, int(port)), timeout=5) as raw,
            context.wrap_socket(raw, server_hostname=host) as wrapped,
        ):
            return wrapped.selected_alpn_protocol()

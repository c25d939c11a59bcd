"""What is asked on each path: the n-th request of many readers."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable

from benchmarks.load import Request, request
from benchmarks.seed import ORDERS, PASSWORD, Seeded
from manga_backend.kernel.money.gateways.domain import php_json, signature

PATHS = (
    *("status", "access", "payment", "login", "refresh", "stats"),
    *("orders", "take", "webhook"),
)
"""In the order in which they are measured: reads before what fills tables."""


def requests_of(path: str, seeded: Seeded, payment_key: str) -> Request:
    """Makes the requests of one path, each of the next reader."""
    readers, names, admins = seeded.readers, seeded.names, seeded.admins

    def signed_in(method: str, address: str) -> Request:
        return lambda n: request(method, address, readers[n % len(readers)].access, number=n)

    def payment(n: int) -> bytes:
        body = json.dumps({"tx_hash": secrets.token_hex(32)}).encode()
        return request("POST", "/payment/submit", readers[n % len(readers)].access, body, n)

    def login(n: int) -> bytes:
        body = json.dumps({"username": names[n % len(names)], "password": PASSWORD}).encode()
        return request("POST", "/auth/login", body=body, number=n)

    def take(n: int) -> bytes:
        address = f"/api/orders/bench{n // 3 % ORDERS + 1:07}/take"  # by three executors each
        return request("POST", address, readers[n % len(readers)].access, number=n)

    makers: dict[str, Callable[[int], bytes]] = {
        "status": signed_in("GET", "/api/user/status"),
        "access": signed_in("GET", "/api/user/access?gate=nginx"),
        "payment": payment,
        "login": login,
        "refresh": lambda n: request(
            "POST", "/auth/refresh", readers[n % len(readers)].refresh, number=n
        ),
        "stats": lambda n: request("GET", "/admin/system/stats", admins[n % len(admins)], number=n),
        "orders": lambda n: request(
            "GET", f"/api/orders?city=City%20{n % 50}&category=Plumbing", number=n
        ),
        "take": take,
        "webhook": lambda n: request(
            "POST", "/api/webhook/cryptomus", body=_webhook(payment_key), number=n
        ),
    }
    return makers[path]


def _webhook(key: str) -> bytes:
    """A payment that the gateway tells of, signed; each a new one."""
    fields = {
        "type": "payment",
        "uuid": secrets.token_hex(16),
        "order_id": secrets.token_hex(16),
        "amount": "5.00000000",
        "payment_amount": "5.00000000",
        "currency": "USDT",
        "network": "tron",
        "status": "paid",
        "is_final": True,
    }
    return json.dumps({**fields, "sign": signature(php_json(fields).encode(), key)}).encode()

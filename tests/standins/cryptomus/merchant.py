"""The merchant API's methods: signatures, checks, idempotency by order_id.

Source: doc.cryptomus.com, pages of each method. Guessed: HTTP 401 for a wrong signature (its
message "Invalid Sign." was seen in qweme32/cryptomus#1), the message for a payout that isn't
there, the answer to an unknown path, and that a payout in a currency of several networks has to
name its network.
"""

from __future__ import annotations

import hmac
import json
import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from .faults import Fault, FaultQueue
from .form import Form, Refused, refused
from .records import Invoice, Payout, eight
from .signing import php_json, signature, signed_body
from .webhooks import Courier

FIAT = frozenset({"USD", "EUR", "RUB", "AED", "TRY", "GBP"})
COINS = frozenset({"USDT", "USDC", "DAI", "BTC", "ETH", "TRX", "TON", "BNB", "LTC", "POL"})
MANY_NETWORKS = frozenset({"USDT", "USDC", "DAI", "ETH"})
NETWORKS = frozenset({"tron", "bsc", "eth", "polygon", "ton", "btc", "ltc", "arbitrum", "sol"})
RESENDABLE = frozenset({"wrong_amount", "paid", "paid_over"})
MOST_RESENDS = 10
SERVER_ERROR = {"message": "Server error, #1", "code": 500, "error": None}
GARBAGE = b'<html><body>502 Bad Gateway</body></html>{"state":0,'


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    body: bytes
    content_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class Account:
    """Who may ask, and where the hosted page is."""

    merchant: str
    payment_key: str
    payout_key: str
    clock: Callable[[], float]


class MerchantApi:
    """All state is behind `lock`; `balances` are the merchant's, by currency."""

    def __init__(self, account: Account, courier: Courier) -> None:
        self._account = account
        self._courier = courier
        self._stopped = threading.Event()
        self.url = ""
        self.lock = threading.RLock()
        self.faults = FaultQueue()
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.invoices: dict[str, Invoice] = {}  # by order_id
        self.payouts: dict[str, Payout] = {}  # by order_id
        self.balances: dict[str, Decimal] = {}
        self.escape_unicode = False
        self._methods: dict[str, Callable[[dict[str, Any]], object]] = {
            "/v1/payment": self._create_invoice,
            "/v1/payment/info": lambda body: self._invoice(Form(body).key()).answer(),
            "/v1/payment/resend": self._resend,
            "/v2/payment/resend": self._resend,  # where newer documents have it
            "/v1/test-webhook/payment": self._test_webhook,
            "/v1/payout": self._create_payout,
            "/v1/payout/info": lambda body: self._tell(self._payout(Form(body).key())),
            "/v1/balance": lambda body: self._list_balances(),
        }

    def stop(self) -> None:
        """Drops the requests that are being delayed: none reaches into the next test."""
        self._stopped.set()

    def reset(self) -> None:
        self.stop()
        self._stopped = threading.Event()
        with self.lock:
            self.escape_unicode = False
            self.faults.clear()
            self.calls.clear()
            for kept in (self.invoices, self.payouts, self.balances):
                kept.clear()

    def serve(self, path: str, headers: Mapping[str, str], content: bytes) -> Reply | None:
        """None: the connection is to be dropped without an answer."""
        try:
            body = json.loads(content or b"{}")
        except ValueError:
            body = {}
        if not isinstance(body, dict):  # PHP writes no fields as []
            body = {}
        with self.lock:
            self.calls.append((path, body))
        fault = self.faults.take(path)
        if fault is None:
            return self._work(path, headers, content, body)
        if fault.processed:
            done = self._work(path, headers, content, body)
        if self._stopped.wait(fault.delay):
            return None
        if fault.is_only_slow:
            return done if fault.processed else self._work(path, headers, content, body)
        return self._fail(fault)

    def _fail(self, fault: Fault) -> Reply | None:
        if fault.drop_connection:
            return None
        if fault.garbage:
            return Reply(fault.status or 200, GARBAGE, "text/html")
        status = fault.status or 500
        return Reply(status, php_json({**SERVER_ERROR, "code": status}).encode())

    def _work(
        self, path: str, headers: Mapping[str, str], content: bytes, body: dict[str, Any]
    ) -> Reply:
        method = self._methods.get(path)
        try:
            if method is None:
                raise Refused(404, {"state": 1, "message": "Not found"})
            self._check_signature(path, headers, content)
            with self.lock:
                answer = {"state": 0, "result": method(body)}
        except Refused as refusal:
            return Reply(refusal.status, php_json(refusal.payload).encode())
        return Reply(200, php_json(answer).encode())

    def _check_signature(self, path: str, headers: Mapping[str, str], content: bytes) -> None:
        is_payout = path.startswith("/v1/payout")
        key = self._account.payout_key if is_payout else self._account.payment_key
        right = signature(content, key).encode()
        is_right = hmac.compare_digest(right, headers.get("sign", "").encode())
        if not is_right or headers.get("merchant") != self._account.merchant:
            raise Refused(401, {"state": 1, "message": "Invalid Sign.", "code": 401})

    # --- payments ---------------------------------------------------------------------------

    def find_invoice(self, key: str) -> Invoice | None:
        """By order_id or uuid."""
        found = [each for each in self.invoices.values() if each.uuid == key]
        return self.invoices.get(key) or next(iter(found), None)

    def _invoice(self, key: str) -> Invoice:
        if (invoice := self.find_invoice(key)) is None:
            raise refused("Payment not found")
        return invoice

    def _create_invoice(self, body: dict[str, Any]) -> object:
        form = Form(body)
        now = self._account.clock()
        name = str(uuid.uuid4())
        network = form.text("network").lower() or None
        invoice = Invoice(
            uuid=name,
            order_id=form.text("order_id", required=True, longest=128, alpha_dash=True),
            amount=form.amount("amount"),
            currency=form.text("currency", required=True).upper(),
            url=f"{self.url}/pay/{name}",
            created_at=now,
            expired_at=int(now) + form.integer("lifetime", 300, 43_200, 3_600),
            url_callback=form.url("url_callback"),
            additional_data=form.text("additional_data") or None,
            network=network,
        )
        form.url("url_return")
        form.url("url_success")
        form.integer("subtract", 0, 100, 0)
        form.check()
        if existing := self.invoices.get(invoice.order_id):
            return existing.answer()
        _check_currency(invoice.currency, network)
        if network and invoice.currency in COINS:
            invoice.payer_currency = invoice.currency
            invoice.address = "TStandinAddressxxxxxxxxxxxxxxxxxxx"
        self.invoices[invoice.order_id] = invoice
        return invoice.answer()

    def _resend(self, body: dict[str, Any]) -> object:
        invoice = self._invoice(Form(body).key())
        if invoice.url_callback is None or invoice.status not in RESENDABLE:
            raise refused("Notification not found")
        if invoice.resends == MOST_RESENDS:
            raise refused("Too much resend")
        invoice.resends += 1
        self._send_later(invoice.url_callback, invoice)
        return []

    def _test_webhook(self, body: dict[str, Any]) -> object:
        """Nothing is kept of it; without a key it tells of an invoice that doesn't exist."""
        form = Form(body)
        url = form.url("url_callback", required=True, longest=150)
        currency = form.text("currency", required=True)
        network = form.text("network", required=True)
        key = form.text("uuid") or form.text("order_id", longest=32, alpha_dash=True)
        form.check()
        if key and self.find_invoice(key) is None:
            raise refused("Not found payment")
        if currency not in COINS or network.lower() not in NETWORKS:
            raise refused("Payment service not found")
        known = self.find_invoice(key)
        told = Invoice(
            uuid=known.uuid if known else str(uuid.uuid4()),
            order_id=known.order_id if known else uuid.uuid4().hex,
            amount=known.amount if known else Decimal(10),
            currency=currency,
            network=network,
            url="",
            created_at=self._account.clock(),
            expired_at=0,
        )
        told.settle(form.text("status") or "paid", None, uuid.uuid4().hex * 2, told.created_at)
        self._send_later(url or "", told)
        return []

    def _send_later(self, url: str, invoice: Invoice) -> None:
        key, escape = self._account.payment_key, self.escape_unicode
        self._courier.send_later(url, signed_body(invoice.webhook(), key, escape_unicode=escape))

    # --- payouts and balances ---------------------------------------------------------------

    def find_payout(self, key: str) -> Payout | None:
        """By order_id or uuid."""
        found = [each for each in self.payouts.values() if each.uuid == key]
        return self.payouts.get(key) or next(iter(found), None)

    def _payout(self, key: str) -> Payout:
        if (payout := self.find_payout(key)) is None:
            raise refused("Payout not found")
        return payout

    def _create_payout(self, body: dict[str, Any]) -> object:
        form = Form(body)
        currency = form.text("currency", required=True).upper()
        needs_network = currency in MANY_NETWORKS
        coin = "USDT" if currency in FIAT else currency
        payout = Payout(
            uuid=str(uuid.uuid4()),
            order_id=form.text("order_id", required=True, longest=100, alpha_dash=True),
            amount=form.amount("amount"),
            currency=currency,
            network=form.text("network", required=needs_network),
            address=form.text("address", required=True),
            is_subtract=form.boolean("is_subtract"),
            url_callback=form.url("url_callback"),
            wallet=form.text("from_currency") or form.text("to_currency") or coin,
        )
        form.check()
        if existing := self.payouts.get(payout.order_id):
            return self._tell(existing)
        _check_currency(currency, payout.network.lower() or None)
        balance = self.balances.get(payout.wallet, Decimal(0))
        if payout.payer_amount <= 0:
            raise refused("The withdrawal amount is too small")
        if payout.merchant_amount > balance:
            raise refused("Not enough funds")
        self.balances[payout.wallet] = balance - payout.merchant_amount
        self.payouts[payout.order_id] = payout
        return self._tell(payout)

    def _tell(self, payout: Payout) -> object:
        return payout.answer(self.balances.get(payout.wallet, Decimal(0)))

    def _list_balances(self) -> object:
        wallets = [
            {
                "uuid": str(uuid.uuid5(uuid.NAMESPACE_DNS, currency)),
                "balance": eight(amount),
                "currency_code": currency,
                "balance_usd": f"{amount:.2f}",  # newer clients read it
            }
            for currency, amount in self.balances.items()
        ]
        return [{"balance": {"merchant": wallets, "user": []}}]


def _check_currency(currency: str, network: str | None) -> None:
    if currency not in FIAT | COINS:
        raise refused("The currency was not found")
    if network and network not in NETWORKS:
        raise refused("The network was not found")

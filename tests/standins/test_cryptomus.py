"""The Cryptomus stand-in, as a shop sees it: over HTTP, with webhooks received over HTTP."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest
import requests

from tests.standins.cryptomus import (
    CryptomusStandIn,
    Number,
    WebhookReceiver,
    php_json,
    signed_body,
)

TEXT = "اشتراک ۳۰ روزه / https://t.me/shop 🎁"
KNOWN_SIGN = "cc8b1bd5017d5e4333f594bc4ce110cb"
BODY = {"amount": "15", "currency": "USD", "order_id": "o-1"}
PAYOUT = {
    "amount": "20",
    "currency": "USDT",
    "network": "TRON",
    "order_id": "p-1",
    "address": "TXguLRFtrAFrEDA17WuPfrxB84jVzJcNNV",
    "is_subtract": True,
}


@pytest.fixture(scope="module")
def running() -> Iterator[CryptomusStandIn]:
    with CryptomusStandIn() as stand_in:
        yield stand_in


@pytest.fixture
def stand_in(running: CryptomusStandIn) -> CryptomusStandIn:
    running.reset()
    return running


@pytest.fixture
def shop() -> Iterator[WebhookReceiver]:
    with WebhookReceiver() as receiver:
        yield receiver


def md5_sign(text: str, key: str) -> str:
    return hashlib.md5(base64.b64encode(text.encode()) + key.encode()).hexdigest()


def ask(
    stand_in: CryptomusStandIn, path: str, body: object, key: str = "", timeout: float = 5
) -> requests.Response:
    is_payout = path.startswith("/v1/payout")
    key = key or (stand_in.payout_key if is_payout else stand_in.payment_key)
    content = json.dumps(body)
    headers = {"merchant": stand_in.merchant, "sign": md5_sign(content, key)}
    with requests.Session() as session:
        session.trust_env = False
        return session.post(stand_in.url + path, data=content, headers=headers, timeout=timeout)


def checkout(stand_in: CryptomusStandIn, **fields: object) -> Any:
    answer = ask(stand_in, "/v1/payment", {**BODY, **fields})
    assert (answer.status_code, answer.json()["state"]) == (200, 0)
    return answer.json()["result"]


def is_genuine(body: bytes, key: str) -> bool:
    """By the bytes: what is before the last key, closed again, is what was signed."""
    found = re.fullmatch(r'(\{.*),"sign":"([0-9a-f]{32})"\}', body.decode(), re.DOTALL)
    assert found
    return md5_sign(found[1] + "}", key) == found[2]


def is_genuine_to_php(body: bytes, key: str) -> bool:
    """As the documents' PHP does it: decoded, without sign, encoded again in the same order."""
    fields = json.loads(body, parse_float=lambda digits: f"\0{digits}\0")
    sign = fields.pop("sign")
    text = json.dumps(fields, ensure_ascii=False, separators=(",", ":")).replace("/", r"\/")
    text = re.sub(r'"\\u0000(.*?)\\u0000"', r"\1", text)
    return bool(md5_sign(text, key) == sign)


class TestRequests:
    def test_signatures(self, stand_in: CryptomusStandIn) -> None:
        wrong_keys = {"/v1/payment": stand_in.payout_key, "/v1/payout": stand_in.payment_key}
        for path, wrong in {**wrong_keys, "/v1/balance": "other"}.items():
            answer = ask(stand_in, path, BODY, wrong)
            assert answer.status_code == 401
            assert answer.json() == {"state": 1, "message": "Invalid Sign.", "code": 401}
        unsigned = requests.post(f"{stand_in.url}/v1/payment", json=BODY, timeout=5)
        assert unsigned.status_code == 401
        assert [path for path, _ in stand_in.calls][:2] == ["/v1/payment", "/v1/payout"]
        with pytest.raises(KeyError):
            stand_in.invoice("o-1")

    def test_an_invoice(self, stand_in: CryptomusStandIn) -> None:
        result = checkout(stand_in, lifetime=300, additional_data=TEXT)
        assert result["amount"] == "15.00"
        assert result["status"] == result["payment_status"] == "check"
        assert result["is_final"] is False
        assert result["url"] == f"{stand_in.url}/pay/{result['uuid']}"
        assert result["additional_data"] == TEXT
        assert "15.00 USD" in requests.get(result["url"], timeout=5).text
        assert requests.get(f"{stand_in.url}/pay/nothing", timeout=5).status_code == 404
        info = ask(stand_in, "/v1/payment/info", {"uuid": result["uuid"]})
        assert info.json()["result"] == result

    def test_one_invoice_for_an_order(self, stand_in: CryptomusStandIn) -> None:
        with ThreadPoolExecutor(8) as pool:
            results = list(pool.map(lambda n: checkout(stand_in, amount=str(n + 1)), range(8)))
        assert len({result["uuid"] for result in results}) == 1
        assert len({result["amount"] for result in results}) == 1

    @pytest.mark.parametrize(
        ("fields", "name"),
        [
            ({"amount": None}, "amount"),
            ({"amount": 15.5}, "amount"),
            ({"amount": "0"}, "amount"),
            ({"order_id": "a b"}, "order_id"),
            ({"order_id": "x" * 129}, "order_id"),
            ({"lifetime": 299}, "lifetime"),
            ({"lifetime": 43_201}, "lifetime"),
            ({"url_callback": "ftp://x"}, "url_callback"),
        ],
    )
    def test_refusals(self, stand_in: CryptomusStandIn, fields: dict[str, Any], name: str) -> None:
        answer = ask(stand_in, "/v1/payment", {**BODY, **fields})
        assert answer.status_code == 422
        assert list(answer.json()["errors"]) == [name]

    def test_what_is_not_there(self, stand_in: CryptomusStandIn) -> None:
        for path in ("/v1/payment/info", "/v1/payment/resend", "/v1/payout/info"):
            answer = ask(stand_in, path, {"order_id": "o-9"})
            assert (answer.status_code, answer.json()["message"][-10:]) == (422, " not found")
        assert list(ask(stand_in, "/v1/payment/info", {}).json()["errors"]) == ["uuid", "order_id"]


class TestWebhooks:
    def test_the_signature(self, stand_in: CryptomusStandIn, shop: WebhookReceiver) -> None:
        checkout(stand_in, url_callback=shop.url, additional_data=TEXT)
        numbers = {"payer_amount_exchange_rate": Number("1.0e-5"), "rate": Number("207.00")}
        assert stand_in.pay("o-1", extra=numbers) == [200]
        (body,) = shop.bodies
        assert r"۳۰ روزه \/ https:\/\/t.me\/shop 🎁".encode() in body
        assert b'"payer_amount_exchange_rate":1.0e-5,' in body
        assert is_genuine(body, stand_in.payment_key)
        assert is_genuine_to_php(body, stand_in.payment_key)
        assert not is_genuine(body, stand_in.payout_key)
        assert not is_genuine(body.replace(b'"15.0', b'"16.0'), stand_in.payment_key)
        told = json.loads(body)
        assert list(told)[-2:] == ["rate", "sign"]
        assert (told["amount"], told["status"], told["is_final"]) == ("15.00000000", "paid", True)
        info = ask(stand_in, "/v1/payment/info", {"order_id": "o-1"}).json()["result"]
        assert info["txid"] == told["txid"]
        assert stand_in.balances == {"USDT": Decimal("14.70")}

    def test_a_known_signature(self) -> None:
        fields = {"order_id": "o-1", "note": "سلام/\u2028", "n": Number("1.50"), "from": None}
        text = r'{"order_id":"o-1","note":"سلام\/\u2028","n":1.50,"from":null}'
        assert php_json(fields) == text
        # From: printf %s "$text" | base64 -w0, then the key, then md5sum.
        assert json.loads(signed_body(fields, "key"))["sign"] == KNOWN_SIGN

    def test_escaped_on_the_way(self, stand_in: CryptomusStandIn, shop: WebhookReceiver) -> None:
        checkout(stand_in, url_callback=shop.url, additional_data=TEXT)
        stand_in.escape_unicode = True
        stand_in.pay("o-1")
        assert shop.bodies[0].isascii()
        assert is_genuine_to_php(shop.bodies[0], stand_in.payment_key)

    def test_lies(self, stand_in: CryptomusStandIn, shop: WebhookReceiver) -> None:
        checkout(stand_in, url_callback=shop.url)
        stand_in.pay("o-1", sign="0" * 32, move=False)
        assert not is_genuine(shop.bodies[0], stand_in.payment_key)
        assert stand_in.invoice("o-1").status == "check"
        stand_in.pay("o-1", amount="1.00", currency="TRX", order="o-2", txid=None)
        told = json.loads(shop.bodies[1])
        assert (told["amount"], told["currency"], told["order_id"]) == ("1.00", "TRX", "o-2")
        assert "txid" not in told
        assert is_genuine(shop.bodies[1], stand_in.payment_key)
        assert stand_in.invoice("o-1").amount == 15

    def test_too_little(self, stand_in: CryptomusStandIn, shop: WebhookReceiver) -> None:
        checkout(stand_in, url_callback=shop.url)
        stand_in.pay("o-1", status="wrong_amount", paid_amount="14.5")
        told = json.loads(shop.bodies[0])
        assert (told["amount"], told["payment_amount"]) == ("15.00000000", "14.50000000")

    def test_many_at_once(self, stand_in: CryptomusStandIn, shop: WebhookReceiver) -> None:
        checkout(stand_in, url_callback=shop.url)
        assert stand_in.pay("o-1", times=2) == [200, 200]
        assert stand_in.pay("o-1", txid="t", times=12, at_once=True) == [200] * 12
        assert (len(shop.bodies), len(set(shop.bodies))) == (14, 2)
        assert stand_in.balances == {"USDT": Decimal("14.70")}
        shop.status = 503
        assert stand_in.send(shop.url, shop.bodies[0]) == [503]
        assert stand_in.send("http://127.0.0.1:9/", b"") == [0]

    def test_withheld_then_asked_for(
        self, stand_in: CryptomusStandIn, shop: WebhookReceiver
    ) -> None:
        checkout(stand_in, url_callback=shop.url)
        stand_in.withhold = True
        assert stand_in.pay("o-1") == []
        info = ask(stand_in, "/v1/payment/info", {"order_id": "o-1"}).json()["result"]
        assert (info["status"], info["is_final"]) == ("paid", True)
        answers = [ask(stand_in, "/v1/payment/resend", {"order_id": "o-1"}) for _ in range(11)]
        assert answers[0].json() == {"state": 0, "result": []}
        assert answers[10].json()["message"] == "Too much resend"
        assert stand_in.wait_for_webhooks()
        assert len(shop.bodies) == 10
        assert is_genuine(shop.bodies[0], stand_in.payment_key)

    def test_a_test_webhook(self, stand_in: CryptomusStandIn, shop: WebhookReceiver) -> None:
        body = {"url_callback": shop.url, "currency": "TRX", "network": "tron", "status": "fail"}
        assert ask(stand_in, "/v1/test-webhook/payment", body).json()["result"] == []
        assert stand_in.wait_for_webhooks()
        assert json.loads(shop.bodies[0])["status"] == "fail"
        assert is_genuine(shop.bodies[0], stand_in.payment_key)

    def test_without_a_network(self) -> None:
        received: list[tuple[str, bytes]] = []

        def deliver(url: str, body: bytes) -> int:
            received.append((url, body))
            return 204

        with CryptomusStandIn(deliver=deliver) as stand_in:
            checkout(stand_in, url_callback="https://shop.test/hook")
            assert stand_in.pay("o-1") == [204]
            assert received == [("https://shop.test/hook", stand_in.webhooks[0].body)]


class TestPayouts:
    def test_money_goes_out_once(self, stand_in: CryptomusStandIn, shop: WebhookReceiver) -> None:
        body = {**PAYOUT, "url_callback": shop.url}
        assert ask(stand_in, "/v1/payout", body).json()["message"] == "Not enough funds"
        stand_in.balances["USDT"] = Decimal("50")
        first, second = (ask(stand_in, "/v1/payout", body).json()["result"] for _ in range(2))
        assert first == second
        assert (first["status"], first["txid"], first["balance"]) == ("process", None, 29.7)
        balance = ask(stand_in, "/v1/balance", []).json()["result"][0]["balance"]["merchant"]
        assert [each["balance"] for each in balance] == ["29.70000000"]
        assert stand_in.payout_done("p-1") == [200]
        assert is_genuine(shop.bodies[0], stand_in.payout_key)
        told = json.loads(shop.bodies[0])
        assert (told["type"], told["status"], told["is_final"]) == ("payout", "paid", True)
        info = ask(stand_in, "/v1/payout/info", {"order_id": "p-1"}).json()["result"]
        assert (info["status"], info["txid"]) == ("paid", told["txid"])

    def test_failed(self, stand_in: CryptomusStandIn, shop: WebhookReceiver) -> None:
        stand_in.balances["USDT"] = Decimal("50")
        ask(stand_in, "/v1/payout", {**PAYOUT, "url_callback": shop.url})
        for _ in range(2):
            stand_in.payout_done("p-1", "fail", fail_reason="address_error")
        told = json.loads(shop.bodies[1])
        assert (told["fail_reason"], "txid" in told) == ("address_error", False)
        assert stand_in.balances == {"USDT": Decimal("50")}


class TestFaults:
    def test_errors(self, stand_in: CryptomusStandIn) -> None:
        stand_in.fail_next("/v1/payment", 2)
        stand_in.fail_next("/v1/payment", status=429)
        stand_in.fail_next("/v1/payment", garbage=True)
        statuses = [ask(stand_in, "/v1/payment", BODY).status_code for _ in range(3)]
        assert statuses == [500, 500, 429]
        with pytest.raises(ValueError):
            ask(stand_in, "/v1/payment", BODY).json()
        assert len(stand_in.calls) == 4
        with pytest.raises(KeyError):
            stand_in.invoice("o-1")
        checkout(stand_in)

    def test_an_answer_is_lost(self, stand_in: CryptomusStandIn) -> None:
        stand_in.fail_next("/v1/payment", drop_connection=True, processed=True)
        with pytest.raises(requests.ConnectionError):
            ask(stand_in, "/v1/payment", BODY)
        assert checkout(stand_in)["uuid"] == stand_in.invoice("o-1").uuid

    def test_slow(self, stand_in: CryptomusStandIn) -> None:
        stand_in.fail_next("/v1/payment", delay=0.3)
        with pytest.raises(requests.Timeout):
            ask(stand_in, "/v1/payment", BODY, timeout=0.1)
        stand_in.reset()
        stand_in.fail_next("/v1/payment", delay=0.05)
        assert checkout(stand_in)["status"] == "check"

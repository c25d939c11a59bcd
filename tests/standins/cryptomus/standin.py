"""The stand-in as tests hold it: start, stop, what payers and Cryptomus do, what was asked."""

from __future__ import annotations

import copy
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from decimal import Decimal
from types import EllipsisType, TracebackType
from typing import Any, Self

from .faults import Fault
from .merchant import Account, MerchantApi
from .records import Invoice, Payout
from .server import Server
from .signing import signed_body
from .webhooks import Courier, Deliver, Webhook


class CryptomusStandIn:
    """Cryptomus' merchant API on loopback, at `{url}/v1/…`.

    Nothing happens by itself: invoices don't expire and webhooks aren't tried again. `withhold`:
    `pay()` and `payout_done()` change what the API answers and send nothing, as if every webhook
    were lost (`/v1/payment/resend` still sends). `deliver(url, body) -> HTTP status` takes the
    place of the network for webhooks, so that a test client can receive them. `escape_unicode`:
    see signed_body(). `clock` gives Unix seconds. All methods may be called from any thread.
    """

    def __init__(
        self,
        *,
        merchant: str = "8b03432e-385b-4670-8d06-064591096795",
        payment_key: str = "stand-in-payment-key",
        payout_key: str = "stand-in-payout-key",
        port: int = 0,
        withhold: bool = False,
        deliver: Deliver | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.merchant = merchant
        self.payment_key = payment_key
        self.payout_key = payout_key
        self.withhold = withhold
        self._courier = Courier(deliver)
        account = Account(merchant, payment_key, payout_key, clock)
        self._clock = clock
        self._api = MerchantApi(account, self._courier)
        self._server = Server(self._api, self._show, port)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._api.url = self.url

    # --- life -------------------------------------------------------------------------------

    def start(self) -> Self:
        threading.Thread(
            target=self._server.serve_forever, args=(0.05,), name="cryptomus", daemon=True
        ).start()
        return self

    def stop(self) -> None:
        """Only after start()."""
        self._api.stop()
        self._server.shutdown()
        self._server.server_close()
        self._server.hang_up()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        self.stop()

    def reset(self) -> None:
        """Forgets everything but the keys and the port; delayed requests are dropped."""
        self._courier.wait(5)
        self._courier.sent.clear()
        self._api.reset()
        self.withhold = False

    # --- what is there ----------------------------------------------------------------------

    @property
    def calls(self) -> list[tuple[str, dict[str, Any]]]:
        """(path, body) of every request, also of those that were refused or failed."""
        with self._api.lock:
            return list(self._api.calls)

    @property
    def webhooks(self) -> list[Webhook]:
        """All that were sent, in the order of their answers."""
        return list(self._courier.sent)

    @property
    def balances(self) -> dict[str, Decimal]:
        """The merchant's, by currency: paid invoices fill them. A test may write to it."""
        return self._api.balances

    @property
    def escape_unicode(self) -> bool:
        return self._api.escape_unicode

    @escape_unicode.setter
    def escape_unicode(self, value: bool) -> None:
        self._api.escape_unicode = value

    def invoice(self, order_id_or_uuid: str) -> Invoice:
        """A copy. Raises KeyError."""
        with self._api.lock:
            return copy.copy(self._get_invoice(order_id_or_uuid))

    def payout(self, order_id_or_uuid: str) -> Payout:
        """A copy. Raises KeyError."""
        with self._api.lock:
            return copy.copy(self._get_payout(order_id_or_uuid))

    # --- what happens -----------------------------------------------------------------------

    def pay(
        self,
        order_id_or_uuid: str,
        *,
        status: str = "paid",
        paid_amount: str | None = None,
        txid: str | EllipsisType | None = ...,
        amount: str | None = None,
        currency: str | None = None,
        order: str | None = None,
        extra: Mapping[str, object] | None = None,
        sign: str | None = None,
        times: int = 1,
        at_once: bool = False,
        move: bool = True,
    ) -> list[int]:
        """Moves an invoice to `status` and sends the webhook; the HTTP status of each answer.

        `paid_amount` and `txid` are facts, which /v1/payment/info tells too: by default what the
        status says (all, half for wrong_amount, a tenth too much for paid_over) and a new hash;
        no txid at all with None, as for payments inside Cryptomus. `amount`, `currency`, `order`
        and `extra` are lies of the webhook alone, rightly signed; `sign` is sent in place of the
        right signature. `move=False`: the invoice stays as it is and the webhook is sent even
        with `withhold`: a forger's, or one that arrives late. 0 in the list: no answer. The list
        is empty without a url_callback. Raises KeyError for an unknown invoice.
        """
        with self._api.lock:
            invoice = self._get_invoice(order_id_or_uuid)
            told = invoice if move else copy.copy(invoice)
            paid = None if paid_amount is None else Decimal(paid_amount)
            told.settle(status, paid, _hash(txid), self._clock())
            if move and (credit := told.take_credit()):
                wallet = told.payer_currency or "USDT"
                self.balances[wallet] = self.balances.get(wallet, Decimal(0)) + credit
            fields = told.webhook()
        if told.url_callback is None or (move and self.withhold):
            return []
        lies = {"amount": amount, "currency": currency, "order_id": order}
        body = self._sign(_with_lies(fields, lies, extra), self.payment_key, sign)
        return self.send(told.url_callback, body, times=times, at_once=at_once)

    def payout_done(
        self,
        order_id_or_uuid: str,
        status: str = "paid",
        *,
        fail_reason: str | None = None,
        txid: str | EllipsisType | None = ...,
        amount: str | None = None,
        currency: str | None = None,
        order: str | None = None,
        extra: Mapping[str, object] | None = None,
        sign: str | None = None,
        times: int = 1,
        at_once: bool = False,
        move: bool = True,
    ) -> list[int]:
        """pay() for a payout, signed with the payout key; a failed one gives the money back.

        `fail_reason`: aml, system_error or address_error.
        """
        with self._api.lock:
            payout = self._get_payout(order_id_or_uuid)
            told = payout if move else copy.copy(payout)
            told.settle(status, _hash(txid), fail_reason)
            if move and (returned := told.take_return()):
                self.balances[told.wallet] = self.balances.get(told.wallet, Decimal(0)) + returned
            fields = told.webhook()
        if told.url_callback is None or (move and self.withhold):
            return []
        lies = {"amount": amount, "currency": currency, "order_id": order}
        body = self._sign(_with_lies(fields, lies, extra), self.payout_key, sign)
        return self.send(told.url_callback, body, times=times, at_once=at_once)

    def send(self, url: str, body: bytes, *, times: int = 1, at_once: bool = False) -> list[int]:
        """Sends any bytes as a webhook: a replay of one in `webhooks`, or no JSON at all."""
        return self._courier.send(url, body, times=times, at_once=at_once)

    def wait_for_webhooks(self, timeout: float = 10) -> bool:
        """Until those of /v1/payment/resend and /v1/test-webhook have been sent."""
        return self._courier.wait(timeout)

    def fail_next(
        self,
        path: str,
        count: int = 1,
        status: int | None = None,
        delay: float = 0,
        *,
        garbage: bool = False,
        drop_connection: bool = False,
        processed: bool = False,
    ) -> None:
        """What happens to the next `count` requests for `path`, such as "/v1/payment".

        Nothing more said: 500. `garbage`: an answer that isn't JSON, with 200 unless `status` says
        otherwise. `delay` (seconds) alone: the right answer, late. `processed`: the request is
        carried out first, and only its answer is lost.
        """
        if status is None and not (delay or garbage or drop_connection):
            status = 500
        fault = Fault(status, delay, garbage, drop_connection, processed)
        self._api.faults.add(path, fault, count)

    def _sign(self, fields: Mapping[str, object], key: str, sign: str | None) -> bytes:
        return signed_body(fields, key, sign=sign, escape_unicode=self.escape_unicode)

    def _show(self, key: str) -> Mapping[str, Any] | None:
        with self._api.lock:
            invoice = self._api.find_invoice(key)
            return invoice.answer() if invoice else None

    def _get_invoice(self, key: str) -> Invoice:
        if (invoice := self._api.find_invoice(key)) is None:
            raise KeyError(key)
        return invoice

    def _get_payout(self, key: str) -> Payout:
        if (payout := self._api.find_payout(key)) is None:
            raise KeyError(key)
        return payout


def _hash(txid: str | EllipsisType | None) -> str | None:
    return secrets.token_hex(32) if isinstance(txid, EllipsisType) else txid


def _with_lies(
    fields: Mapping[str, object],
    lies: Mapping[str, str | None],
    extra: Mapping[str, object] | None,
) -> dict[str, object]:
    return {
        **fields,
        **{name: lie for name, lie in lies.items() if lie is not None},
        **(extra or {}),
    }

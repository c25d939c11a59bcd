"""Payments in Telegram Stars: invoice links, the question before, the charge, the way back."""

from __future__ import annotations

import random
import secrets
from dataclasses import dataclass

from .entities import utf16_length
from .model import Json, Message, bad_request
from .params import Params
from .state import State

ANSWER_WITHIN_SECONDS = 10.0
QUERY_TOO_OLD = "query is too old and response timeout expired or query ID is invalid"


@dataclass(slots=True)
class Invoice:
    title: str
    payload: str
    stars: int


@dataclass(slots=True)
class Checkout:
    """Somebody at the counter; `outcome`: "" (nothing yet), "paid", or why not."""

    user_id: int
    invoice: Invoice
    asked_at: float
    outcome: str = ""
    charge_id: str = ""


class Stars:
    """Guarded by the state's lock."""

    def __init__(self, state: State) -> None:
        self._state = state
        self.invoices: dict[str, Invoice] = {}
        self.checkouts: dict[str, Checkout] = {}
        self.refunded: set[str] = set()

    # --- methods of the Bot API -------------------------------------------------------------

    def create_invoice_link(self, params: Params) -> str:
        title, description = params.text("title"), params.text("description")
        payload, prices = params.text("payload"), params.parsed("prices", "list of prices")
        if not 1 <= utf16_length(title) <= 32:
            raise bad_request("INVOICE_TITLE_INVALID")
        if not 1 <= utf16_length(description) <= 255:
            raise bad_request("INVOICE_DESCRIPTION_INVALID")
        if not 1 <= len(payload.encode()) <= 128:
            raise bad_request("INVOICE_PAYLOAD_INVALID")
        if params.text("currency") != "XTR" or params.text("provider_token"):
            raise bad_request("PAYMENT_PROVIDER_INVALID")
        if not isinstance(prices, list) or len(prices) != 1:
            raise bad_request("PRICES_INVALID")
        stars = int(prices[0]["amount"])
        if not 1 <= stars <= 100_000:
            raise bad_request("CURRENCY_TOTAL_AMOUNT_INVALID")
        link = f"https://t.me/${secrets.token_urlsafe(12)}"
        self.invoices[link] = Invoice(title, payload, stars)
        return link

    def answer_pre_checkout_query(self, params: Params) -> bool:
        query = self.checkouts.get(params.text("pre_checkout_query_id"))
        if query is None or query.outcome:
            raise bad_request(QUERY_TOO_OLD)
        if self._state.clock.now() - query.asked_at > ANSWER_WITHIN_SECONDS:
            query.outcome = "the bot did not answer in time"
            raise bad_request(QUERY_TOO_OLD)
        if not params.boolean("ok"):
            query.outcome = params.text("error_message")
            if not query.outcome:
                raise bad_request("error message can't be empty")
            self._state.monitor.mark()
            return True
        self._charge(query)
        return True

    def refund_star_payment(self, params: Params) -> bool:
        charge_id = params.text("telegram_payment_charge_id")
        user_id = params.integer("user_id")
        known = (q for q in self.checkouts.values() if q.charge_id == charge_id != "")
        query = next(known, None)
        if query is None or query.user_id != user_id:
            raise bad_request("CHARGE_NOT_FOUND")
        if charge_id in self.refunded:
            raise bad_request("CHARGE_ALREADY_REFUNDED")
        self.refunded.add(charge_id)
        self._tell(query, "refunded_payment", f"⭐️ {query.invoice.stars} came back")
        return True

    # --- what people do ---------------------------------------------------------------------

    def pay(self, user_id: int, link: str) -> str:
        """Presses Pay; the id of the question that the bot is asked."""
        with self._state.monitor:
            invoice = self.invoices[link]
            query_id = str(random.randrange(10**17, 10**18))
            self.checkouts[query_id] = Checkout(user_id, invoice, self._state.clock.now())
            self._state.updates.push(
                "pre_checkout_query",
                {
                    "id": query_id,
                    "from": self._state.person(user_id).to_api(),
                    "currency": "XTR",
                    "total_amount": invoice.stars,
                    "invoice_payload": invoice.payload,
                },
            )
            return query_id

    def _charge(self, query: Checkout) -> None:
        query.outcome, query.charge_id = "paid", f"stars_{secrets.token_urlsafe(24)}"
        self._tell(query, "successful_payment", f"⭐️ {query.invoice.stars}: {query.invoice.title}")

    def _tell(self, query: Checkout, kind: str, words: str) -> None:
        chat = self._state.open_private_chat(query.user_id)
        now = int(self._state.clock.now())
        message = Message(query.user_id, 0, now, words, words, sender_id=query.user_id)
        self._state.add_message(chat, message)
        told: Json = self._state.message_json(message)
        del told["text"]
        told[kind] = {
            "currency": "XTR",
            "total_amount": query.invoice.stars,
            "invoice_payload": query.invoice.payload,
            "telegram_payment_charge_id": query.charge_id,
            "provider_payment_charge_id": "",
        }
        self._state.updates.push("message", told)

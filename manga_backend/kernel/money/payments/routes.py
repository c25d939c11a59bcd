"""/payment/submit and /api/payments."""

from __future__ import annotations

import uuid
from typing import Any

from flask_smorest.pagination import PaginationParameters

from manga_backend.kernel.money.chains.types import Network
from manga_backend.kernel.money.coupons import errors as coupon_errors
from manga_backend.kernel.money.gateways import errors as gateway_errors
from manga_backend.kernel.money.gateways.clients.cryptomus import open_page
from manga_backend.kernel.money.ledger import errors as ledger_errors
from manga_backend.kernel.money.payments import errors, queries, schemas
from manga_backend.kernel.money.payments.permissions import PAY, READ_OWN_PAYMENTS
from manga_backend.kernel.money.payments.service import checkouts, instant, intents, submit
from manga_backend.kit.app import owns_transactions
from manga_backend.kit.db import in_transaction
from manga_backend.kit.http import Blueprint, paged
from manga_backend.kit.idempotency import REFUSALS, idempotent
from manga_backend.kit.principal import principal, require
from manga_backend.kit.ratelimit import body_field, limit_route

paying = Blueprint(
    "payments_paying",
    __name__,
    url_prefix="/payment",
    description="Pay with a transaction hash or a gift coupon.",
)
own = Blueprint(
    "payments_own", __name__, url_prefix="/api/payments", description="The caller's payments."
)
invoices = Blueprint(
    "payments_invoices", __name__, url_prefix="/api/invoices", description="The caller's invoices."
)


def _no_coupon() -> bool:
    return body_field("coupon_code") is None


def _network(body: dict[str, Any]) -> Network | None:
    return Network(body["network"]) if "network" in body else None


def _caller() -> str:
    return f"user:{principal().user_id}"


@paying.route("/submit", methods=["POST"])
@require(PAY)
@limit_route("coupon", _caller, exempt_when=_no_coupon)
@idempotent
@paying.refuses(
    errors.TransactionAlreadyUsed,
    errors.TooManyPending,
    coupon_errors.CouponNotFound,
    coupon_errors.CouponExpired,
    coupon_errors.CouponExhausted,
    coupon_errors.CouponAlreadyUsed,
    coupon_errors.CouponGoesWithIntent,
    *REFUSALS,
)
@paying.arguments(schemas.SubmitSchema)
@paying.alt_response(202, schema=schemas.SubmittedSchema, description="A hash: an admin decides.")
@paying.response(200, schemas.RedeemedSchema, description="A coupon: done.")
def submit_payment(body: dict[str, Any]) -> Any:
    """Pay for a plan: a transaction hash waits for an admin, a coupon counts at once."""
    caller = principal().user_id
    if "coupon_code" in body:
        return schemas.as_paid(instant.redeem_coupon(caller, body["coupon_code"]))
    network = _network(body)
    payment = submit.submit_transaction(caller, body["tx_hash"], network, body.get("plan"))
    return schemas.as_submitted(payment)


@paying.route("/intent", methods=["POST"])
@require(PAY)
@limit_route("coupon", _caller, exempt_when=_no_coupon)
@idempotent
@paying.refuses(
    errors.NetworkNotWatched,
    errors.TooManyIntents,
    coupon_errors.CouponNotFound,
    coupon_errors.CouponExpired,
    coupon_errors.CouponExhausted,
    coupon_errors.CouponAlreadyUsed,
    coupon_errors.CouponIsNoDiscount,
    *REFUSALS,
)
@paying.arguments(schemas.NewIntentSchema)
@paying.response(201, schemas.IntentSchema)
def open_intent(body: dict[str, Any]) -> Any:
    """Promise to pay an amount that is nobody else's: its transfer settles it by itself."""
    intent = intents.open_intent(
        principal().user_id, _network(body), body.get("plan"), body.get("coupon_code")
    )
    return schemas.as_intent(intent)


@paying.route("/top-up", methods=["POST"])
@require(PAY)
@idempotent
@paying.refuses(errors.NetworkNotWatched, errors.TooManyIntents, *REFUSALS)
@paying.arguments(schemas.TopUpSchema)
@paying.response(201, schemas.IntentSchema)
def open_top_up(body: dict[str, Any]) -> Any:
    """Promise to pay money into the wallet; it is settled as an intent is."""
    intent = intents.open_top_up(principal().user_id, body["amount"], _network(body))
    return schemas.as_intent(intent)


@paying.route("/wallet", methods=["POST"])
@require(PAY)
@idempotent
@paying.refuses(ledger_errors.NotEnoughMoney, *REFUSALS)
@paying.arguments(schemas.WalletPaymentSchema)
@paying.response(200, schemas.RedeemedSchema)
def pay_from_wallet(body: dict[str, Any]) -> Any:
    """Buy a plan with what is in the wallet, at once. Send an Idempotency-Key."""
    return schemas.as_paid(instant.pay_from_wallet(principal().user_id, body.get("plan")))


@paying.route("/checkout", methods=["POST"])
@require(PAY)
@idempotent
@paying.refuses(
    *REFUSALS,
    *(gateway_errors.GatewayOff, gateway_errors.GatewayUnavailable, errors.TooManyIntents),
)
@paying.arguments(schemas.WalletPaymentSchema)
@paying.response(201, schemas.CheckoutSchema)
@owns_transactions
def open_checkout(body: dict[str, Any]) -> Any:
    """A page of the payment provider. Asked again within 45 minutes it is the same page."""
    caller = principal().user_id
    order = in_transaction(lambda: checkouts.open_order(caller, submit.offer_of(body.get("plan"))))
    page = open_page(order.order_id, order.amount, order.currency)
    in_transaction(lambda: checkouts.note_page(order.payment_id, page))
    return {"payment_id": order.payment_id, "url": page.url, "expires_at": page.expires_at}


@paying.route("/intent/<uuid:intent_id>")
@require(READ_OWN_PAYMENTS)
@paying.refuses(errors.IntentNotFound)
@paying.response(200, schemas.IntentSchema)
def get_intent(intent_id: uuid.UUID) -> Any:
    """Whether the money has come, and the payment that it made."""
    intent = queries.get_own_intent(principal().user_id, intent_id)
    return schemas.as_intent(intent, queries.find_payment_of_intent(intent.id))


@invoices.route("")
@require(READ_OWN_PAYMENTS)
@invoices.response(200, schemas.InvoiceSchema(many=True))
@invoices.paginate()
def list_invoices(pagination_parameters: PaginationParameters) -> Any:
    """The caller's invoices, newest first."""
    return paged(queries.own_invoices(principal().user_id), pagination_parameters)


@invoices.route("/<uuid:invoice_id>/receipt")
@require(READ_OWN_PAYMENTS)
@invoices.refuses(errors.InvoiceNotFound)
@invoices.response(200, schemas.ReceiptSchema)
def get_receipt(invoice_id: uuid.UUID) -> Any:
    """What was owed, and how it was paid; `payment` is null until it is."""
    invoice = queries.get_own_invoice(principal().user_id, invoice_id)
    return {"invoice": invoice, "payment": queries.find_settling_payment(invoice.id)}


@own.route("")
@require(READ_OWN_PAYMENTS)
@own.response(200, schemas.PaymentSchema(many=True))
@own.paginate()
def list_payments(pagination_parameters: PaginationParameters) -> Any:
    """The caller's payments, newest first."""
    return paged(queries.own_payments(principal().user_id), pagination_parameters)


@own.route("/<uuid:payment_id>")
@require(READ_OWN_PAYMENTS)
@own.refuses(errors.PaymentNotFound)
@own.response(200, schemas.PaymentSchema)
def get_payment(payment_id: uuid.UUID) -> Any:
    """One of the caller's payments."""
    return queries.get_own_payment(principal().user_id, payment_id)

"""/api/orders, /api/users/me and /api/reviews."""

from __future__ import annotations

import logging
from typing import Any

from flask import Response, request
from flask_smorest.pagination import PaginationParameters

from manga_backend.kernel.identity.errors import (
    SESSION_REFUSALS,
    Banned,
    InitDataExpired,
    InitDataInvalid,
    TelegramSignInOff,
)
from manga_backend.kernel.identity.queries import with_telegram
from manga_backend.kernel.money.chains.types import Network
from manga_backend.kernel.money.gateways.clients.cryptomus import open_page
from manga_backend.kernel.money.gateways.errors import GatewayOff, GatewayUnavailable
from manga_backend.kernel.money.payments.errors import NetworkNotWatched, TooManyIntents
from manga_backend.kernel.money.payments.service import checkouts
from manga_backend.kernel.money.payments.service.intents import open_intent_for
from manga_backend.kernel.money.payments.service.stars import open_stars_order
from manga_backend.kernel.money.payments.types import Offer
from manga_backend.kernel.telegram.clients import BotClient
from manga_backend.kernel.telegram.errors import TelegramError
from manga_backend.kernel.telegram.settings import TelegramSettings
from manga_backend.kit import clock
from manga_backend.kit.app import owns_transactions
from manga_backend.kit.db import in_transaction
from manga_backend.kit.http import Blueprint, paged
from manga_backend.kit.i18n import gettext
from manga_backend.kit.idempotency import REFUSALS, idempotent
from manga_backend.kit.live import EVENT, live, stream
from manga_backend.kit.money import decimal_string
from manga_backend.kit.principal import (
    Principal,
    caller_if_any,
    principal,
    public,
    require,
    unlimited,
)
from manga_backend.kit.qr import qr_of
from manga_backend.kit.replica import from_replica
from manga_backend.kit.settings import settings
from manga_backend.products.urgent import errors, queries, schemas
from manga_backend.products.urgent.models import Order
from manga_backend.products.urgent.permissions import (
    POST_ORDERS,
    RECHARGE,
    TAKE_ORDERS,
    USE_PROFILE,
    WRITE_REVIEWS,
)
from manga_backend.products.urgent.runner import SOURCE
from manga_backend.products.urgent.service import orders as orders_service
from manga_backend.products.urgent.service import profiles, recharge, reviews
from manga_backend.products.urgent.service.seeing import (
    order_seen_by,
    own_orders_seen,
    taken_orders_seen,
)
from manga_backend.products.urgent.service.taking import balance_of, take_order
from manga_backend.products.urgent.types import (
    RUBLE,
    Frequency,
    OrderDraft,
    OrderFilter,
    OrderStatus,
    Person,
    RechargeMethod,
)

log = logging.getLogger(__name__)

PLACE = "<string(length=12):order_id>"
IF_NONE_MATCH = {
    "in": "header",
    "name": "If-None-Match",
    "description": "The ETag of the answer before.",
    "schema": {"type": "string"},
}
OPTIONAL: list[dict[str, list[str]]] = [{}, {"bearer": []}]

orders = Blueprint(
    "urgent_orders",
    __name__,
    url_prefix="/api/orders",
    description="Orders of an hour. `Authorization: Bearer <initData>` is a credential as well.",
)
balance = Blueprint(
    "urgent_balance", __name__, url_prefix="/api/balance", description="Rubles for the wallet."
)
users = Blueprint("urgent_users", __name__, url_prefix="/api/users", description="The caller.")
words = Blueprint(
    "urgent_reviews", __name__, url_prefix="/api/reviews", description="Reviews and complaints."
)


def person_of(caller: Principal) -> Person:
    """The caller as the others of an order see them. TelegramRequired."""
    row = caller.row
    if row["telegram_id"] is None:
        raise errors.TelegramRequired
    return Person(
        user_id=caller.user_id,
        public_id=str(row["public_id"]),
        telegram_id=row["telegram_id"],
        first_name=row["first_name"] or "",
        username=row["telegram_username"],
    )


def me() -> Person:
    """The caller of a guarded route."""
    return person_of(principal())


def _seen_by(order: Order, viewer: Person | None) -> dict[str, Any]:
    viewer_id = viewer.user_id if viewer else None
    return schemas.as_order(order_seen_by(order, viewer_id), clock.now())


@orders.route("", methods=["POST"])
@require(POST_ORDERS, with_telegram, init_data=True)
@idempotent
@orders.refuses(errors.TelegramRequired, errors.TooManyOrders, *REFUSALS)
@orders.arguments(schemas.UrgentNewOrderSchema)
@orders.response(201, schemas.UrgentOrderSchema)
def post_order(body: dict[str, Any]) -> Any:
    """Ask for help within the hour, for free."""
    client = me()
    body.pop("expires_in_minutes", None)
    order = orders_service.post_order(client.user_id, OrderDraft(**body))
    return _seen_by(order, client)


@orders.route("")
@public
@orders.doc(parameters=[IF_NONE_MATCH])
@orders.alt_response(304, description="Nothing has changed since the ETag that was sent.")
@orders.arguments(schemas.UrgentOrderQuerySchema, location="query")
@orders.response(200, schemas.UrgentListedOrderSchema(many=True))
@orders.paginate()
def list_orders(query: dict[str, Any], pagination_parameters: PaginationParameters) -> Any:
    """The public list, newest first: active orders whose hour is not over, or others by status. The
    ETag changes with the orders, not with their minutes."""
    wanted = OrderFilter(
        OrderStatus(query["status"]), query.get("category"), query.get("city"), query.get("q")
    )
    since = query.get("since")
    if since is None:
        statement = queries.public_orders(wanted)
        found = from_replica(lambda: paged(statement, pagination_parameters))
    else:  # who goes on from a moment would miss what the replica does not have yet
        found = paged(queries.changed_orders(wanted.city, since), pagination_parameters)
    now = clock.now()
    headers = {
        "ETag": schemas.etag_of(found, pagination_parameters.item_count, now),
        "Cache-Control": "no-cache",
    }
    if request.if_none_match.contains_weak(headers["ETag"][3:-1]):
        return Response(status=304, headers=headers)
    clients = from_replica(lambda: queries.persons({order.client_id for order in found}))
    return schemas.as_listed_all(found, clients, now), headers


@orders.route("/events")
@live
@unlimited
@public
@orders.arguments(schemas.UrgentEventsQuerySchema, location="query")
@orders.response(200, EVENT, content_type="text/event-stream")
def listen(query: dict[str, Any]) -> Any:
    """Changes of the public list as server-sent events: `order` with the order as it is now,
    `hello` at the beginning, `reset` for who was away too long and has to read the list anew. What
    can't be served now is 200 as well, with a `retry`: browsers give up at anything else."""
    return stream(SOURCE)


@orders.route(f"/{PLACE}")
@public
@orders.refuses(
    errors.OrderNotFound,
    *SESSION_REFUSALS,
    InitDataInvalid,
    InitDataExpired,
    TelegramSignInOff,
    Banned,
)
@orders.doc(security=OPTIONAL)
@orders.response(200, schemas.UrgentOrderSchema)
def get_order(order_id: str) -> Any:
    """One order; its contact for its client, and for executors who paid to see it."""
    caller = caller_if_any(with_telegram, init_data=True)
    viewer = person_of(caller) if caller and caller.row["telegram_id"] else None
    return _seen_by(queries.get_order(order_id), viewer)


@orders.route(f"/{PLACE}", methods=["PUT"])
@require(POST_ORDERS, with_telegram, init_data=True)
@orders.refuses(
    *(errors.TelegramRequired, errors.OrderNotFound, errors.NotOwnOrder),
    *(errors.OrderNotActive, errors.OrderTaken, errors.CityLocked),
)
@orders.arguments(schemas.UrgentOrderChangesSchema)
@orders.response(200, schemas.UrgentOrderSchema)
def change_order(body: dict[str, Any], order_id: str) -> Any:
    """Other texts, before anyone took it."""
    client = me()
    return _seen_by(orders_service.change_order(client.user_id, order_id, body), client)


@orders.route(f"/{PLACE}", methods=["DELETE"])
@require(POST_ORDERS, with_telegram, init_data=True)
@orders.refuses(
    *(errors.TelegramRequired, errors.OrderNotFound, errors.NotOwnOrder),
    *(errors.OrderNotActive, errors.OrderTaken),
)
@orders.response(204)
def delete_order(order_id: str) -> Any:
    """Before anyone took it."""
    orders_service.delete_order(me().user_id, order_id)
    return Response(status=204)


@orders.route(f"/{PLACE}/take", methods=["POST"])
@require(TAKE_ORDERS, with_telegram, init_data=True)
@orders.refuses(
    *(errors.TelegramRequired, errors.OrderNotFound, errors.OwnOrder, errors.OrderNotActive),
    *(errors.MaxExecutors, errors.InsufficientBalance),
)
@orders.response(200, schemas.UrgentTakenSchema)
def take(order_id: str) -> Any:
    """Pay 2 ₽ and see the contact; once paid, the same answer again for nothing: it needs no
    Idempotency-Key. A kept answer would show the contact after the money came back."""
    executor = me()
    taken = take_order(executor.user_id, order_id)
    return {
        "order": _seen_by(taken.order, executor),
        "contact": taken.order.contact,
        "balance": taken.balance,
    }


_OWNERS_REFUSALS = (
    *(errors.TelegramRequired, errors.OrderNotFound, errors.NotOwnOrder, errors.OrderNotActive),
    *REFUSALS,
)


@orders.route(f"/{PLACE}/respond", methods=["POST"])
@require(POST_ORDERS, with_telegram, init_data=True)
@idempotent
@orders.refuses(*_OWNERS_REFUSALS, errors.NotAnExecutor)
@orders.arguments(schemas.UrgentExecutorIdSchema)
@orders.response(200, schemas.UrgentOrderSchema)
def respond(body: dict[str, Any], order_id: str) -> Any:
    """The client got in touch with this executor."""
    client = me()
    executor_id = orders_service.chosen_executor(order_id, body["executor_id"])
    order = orders_service.answer_executor(client.user_id, order_id, executor_id)
    return _seen_by(order, client)


@orders.route(f"/{PLACE}/complete", methods=["POST"])
@require(POST_ORDERS, with_telegram, init_data=True)
@idempotent
@orders.refuses(*_OWNERS_REFUSALS, errors.NotAnExecutor)
@orders.arguments(schemas.UrgentExecutorIdSchema)
@orders.response(200, schemas.UrgentOrderSchema)
def complete(body: dict[str, Any], order_id: str) -> Any:
    """This executor did it; also for a day after the hour of an order that was answered."""
    client = me()
    executor_id = orders_service.chosen_executor(order_id, body["executor_id"])
    order = orders_service.complete_order(client.user_id, order_id, executor_id)
    return _seen_by(order, client)


@orders.route(f"/{PLACE}/close", methods=["POST"])
@require(POST_ORDERS, with_telegram, init_data=True)
@idempotent
@orders.refuses(*_OWNERS_REFUSALS)
@orders.response(200, schemas.UrgentOrderSchema)
def close(order_id: str) -> Any:
    """Early; executors get their money back if nobody was answered."""
    client = me()
    return _seen_by(orders_service.close_order(client.user_id, order_id), client)


@users.route("/me")
@require(USE_PROFILE, with_telegram, init_data=True)
@users.refuses(errors.TelegramRequired)
@users.response(200, schemas.UrgentMeSchema)
def get_me() -> Any:
    """The caller's profile and balance."""
    person = me()
    profile = queries.find_profile(person.user_id)
    return schemas.as_me(person, profile, balance_of(person.user_id))


@users.route("/me/preferences", methods=["PUT"])
@require(USE_PROFILE, with_telegram, init_data=True)
@users.refuses(errors.TelegramRequired)
@users.arguments(schemas.UrgentPreferencesSchema)
@users.response(200, schemas.UrgentPreferencesSchema)
def set_preferences(body: dict[str, Any]) -> Any:
    """What the caller hears of: these categories in these cities. An empty list means all, two
    empty lists nothing."""
    profile = profiles.set_preferences(me().user_id, body["categories"], body["cities"])
    return schemas.as_preferences(profile)


@users.route("/me/notification-settings", methods=["PUT"])
@require(USE_PROFILE, with_telegram, init_data=True)
@users.refuses(errors.TelegramRequired)
@users.arguments(schemas.UrgentNotificationSettingsSchema)
@users.response(200, schemas.UrgentNotificationSettingsSchema)
def set_notification_settings(body: dict[str, Any]) -> Any:
    """How often the caller hears of new orders."""
    profile = profiles.set_frequency(me().user_id, Frequency(body["frequency"]))
    return {"frequency": profile.frequency.value}


@users.route("/me/orders")
@require(USE_PROFILE, with_telegram, init_data=True)
@users.refuses(errors.TelegramRequired)
@users.response(200, schemas.UrgentOrderSchema(many=True))
@users.paginate()
def list_own_orders(pagination_parameters: PaginationParameters) -> Any:
    """What the caller has asked for, with who took it, newest first."""
    found = paged(queries.own_orders(me().user_id), pagination_parameters)
    return [schemas.as_order(seen, clock.now()) for seen in own_orders_seen(found)]


@users.route("/me/takes")
@require(USE_PROFILE, with_telegram, init_data=True)
@users.refuses(errors.TelegramRequired)
@users.response(200, schemas.UrgentTakeSchema(many=True))
@users.paginate()
def list_own_takes(pagination_parameters: PaginationParameters) -> Any:
    """What the caller has taken, newest first; the contact unless the money came back."""
    found = paged(queries.taken_orders(me().user_id), pagination_parameters)
    return [schemas.as_take(take, seen, clock.now()) for take, seen in taken_orders_seen(found)]


@balance.route("/recharge")
@require(RECHARGE, init_data=True)
@balance.response(200, schemas.UrgentWaySchema(many=True))
def list_ways() -> Any:
    """The ways to recharge that are open now, with their rates and the least rubles."""
    return recharge.list_ways()


@balance.route("/recharge", methods=["POST"])
@require(RECHARGE, with_telegram, init_data=True)
@idempotent
@balance.refuses(
    *REFUSALS,
    *(errors.TelegramRequired, GatewayOff, GatewayUnavailable, NetworkNotWatched, TooManyIntents),
)
@balance.arguments(schemas.UrgentNewRechargeSchema)
@balance.response(201, schemas.UrgentRechargeSchema)
@owns_transactions
def open_recharge(body: dict[str, Any]) -> Any:
    """Buy rubles with Stars or USDT. The same question again gives the same invoice."""
    user_id, rubles = me().user_id, body["amount"]
    method = RechargeMethod(body["method"])
    seen: dict[str, Any] = {"status": "open", "method": method.value, "amount": rubles}
    if recharge.is_free(method):
        in_transaction(lambda: recharge.credit(user_id, rubles))
        seen["status"] = "credited"
    else:
        offer = recharge.offer_for(rubles, method)
        network = Network(body["network"]) if "network" in body else None
        ways = {
            RechargeMethod.STARS: lambda: _by_stars(user_id, offer),
            RechargeMethod.GATEWAY: lambda: _by_gateway(user_id, offer),
            RechargeMethod.CRYPTO: lambda: _by_transfer(user_id, offer, network),
        }
        price = {"price": str(offer.price), "price_currency": offer.price.currency}
        seen |= price | ways[method]()
    return seen | {"balance": in_transaction(lambda: balance_of(user_id))}


def _by_stars(user_id: int, offer: Offer) -> dict[str, Any]:
    config = settings(TelegramSettings)
    if not config.enabled:
        raise GatewayOff
    order = in_transaction(lambda: open_stars_order(user_id, offer))
    rubles = gettext("%(amount)s ₽ for your balance", amount=str(offer.item["amount"] // RUBLE))
    try:
        url = BotClient(config).create_stars_link(rubles, rubles, order.payload, order.stars)
    except TelegramError as error:
        log.error("Telegram makes no invoice: %s", error.description)
        raise GatewayUnavailable from None
    return {"invoice_id": order.invoice_id, "url": url}


def _by_gateway(user_id: int, offer: Offer) -> dict[str, Any]:
    order = in_transaction(lambda: checkouts.open_order(user_id, offer))
    page = open_page(order.order_id, order.amount, order.currency)
    in_transaction(lambda: checkouts.note_page(order.payment_id, page))
    return {"invoice_id": order.invoice_id, "url": page.url, "expires_at": page.expires_at}


def _by_transfer(user_id: int, offer: Offer, network: Network | None) -> dict[str, Any]:
    intent = in_transaction(lambda: open_intent_for(user_id, offer, network))
    return {
        "invoice_id": intent.invoice_id,
        "price": decimal_string(intent.amount, intent.currency),
        "network": intent.network.value,
        "address": intent.address,
        "qr": qr_of(intent.address),
        "expires_at": intent.expires_at,
    }


@users.route("/me/complaints")
@require(USE_PROFILE, with_telegram, init_data=True)
@users.refuses(errors.TelegramRequired)
@users.response(200, schemas.UrgentComplaintSchema(many=True))
@users.paginate()
def list_own_complaints(pagination_parameters: PaginationParameters) -> Any:
    """What the caller complained about and what came of it, newest first."""
    found = paged(queries.own_complaints(me().user_id), pagination_parameters)
    return [schemas.as_complaint(one) for one in found]


@words.route("/client", methods=["POST"])
@require(WRITE_REVIEWS, with_telegram, init_data=True)
@idempotent
@words.refuses(
    *REFUSALS,
    *(errors.TelegramRequired, errors.OrderNotFound, errors.NotOwnOrder, errors.NotAnExecutor),
    *(errors.ExecutorNeeded, errors.AlreadyReviewed),
)
@words.arguments(schemas.UrgentNewReviewSchema)
@words.response(201, schemas.UrgentReviewSchema)
def review(body: dict[str, Any]) -> Any:
    """A client rates an executor of an order of theirs."""
    client = me()
    order = orders_service.own_order(client.user_id, body["order_id"])
    executor_id = orders_service.chosen_executor(order.id, body.get("executor_id"))
    made = reviews.review_executor(
        client.user_id, order.id, executor_id, body["rating"], body.get("comment") or None
    )
    return schemas.as_review(made, queries.persons([made.client_id, made.executor_id]))


@words.route("/executor", methods=["POST"])
@require(WRITE_REVIEWS, with_telegram, init_data=True)
@idempotent
@words.refuses(
    *REFUSALS,
    *(errors.TelegramRequired, errors.OrderNotFound, errors.NotTaken, errors.AlreadyComplained),
)
@words.arguments(schemas.UrgentNewComplaintSchema)
@words.response(201, schemas.UrgentComplaintSchema)
def complain(body: dict[str, Any]) -> Any:
    """An executor complains about an order that they took; an admin decides."""
    made = reviews.complain(
        me().user_id, body["order_id"], body["reason"], body.get("comment") or None
    )
    return schemas.as_complaint(made)


@words.route("")
@public
@words.arguments(schemas.UrgentReviewQuerySchema, location="query")
@words.response(200, schemas.UrgentReviewSchema(many=True))
@words.paginate()
def list_reviews(query: dict[str, Any], pagination_parameters: PaginationParameters) -> Any:
    """What clients say of executors, newest first."""
    wanted = query.get("executor_id")
    executor_id = None if wanted is None else queries.find_executor_id(wanted) or 0
    statement = queries.reviews(query.get("rating"), executor_id)
    found = paged(statement, pagination_parameters)
    people = queries.persons({user for r in found for user in (r.client_id, r.executor_id)})
    return [schemas.as_review(one, people) for one in found]

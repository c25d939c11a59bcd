"""Nobody sees a contact, or who the client is, before they paid: every other way is tried."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import time_machine

from manga_backend.kernel.notifications.models import Notification
from manga_backend.kit import clock
from tests.kernel.factories import rows
from tests.products.urgent.factories import Person, close_due, executor, person, tell, unique
from tests.support import ADMIN_IDS, Api

SECRET = "@very_secret_name"
USERNAME = "client_name_at_telegram"


def everything_for(someone: Person, order_id: str) -> str:
    """All that somebody can read of an order."""
    paths = [
        f"/api/orders/{order_id}",
        "/api/orders",
        "/api/orders?q=secret",
        f"/api/orders?q={SECRET}",
        "/api/orders?status=closed_no_response",
        "/api/orders?status=completed",
        "/api/orders?status=expired",
        f"/api/orders?since={clock.isoformat(clock.now() - timedelta(minutes=100))}",
        "/api/orders/events",
        f"/api/orders/events?last_event_id=1-{int(clock.now().timestamp())}",
        "/api/reviews",
        "/api/users/me",
        "/api/users/me/orders",
        "/api/users/me/takes",
        "/api/balance/transactions",
    ]
    texts = [someone.get(path).get_data(as_text=True) for path in paths]
    anonymous = [someone.api.client().get(path).get_data(as_text=True) for path in paths]
    tries: list[tuple[str, str, Any]] = [
        ("PUT", "", {"category": "x"}),
        ("POST", "/respond", {"executor_id": someone.telegram_id}),
        ("POST", "/complete", {"executor_id": someone.telegram_id}),
        ("POST", "/close", None),
        ("DELETE", "", None),
    ]
    for method, path, body in tries:
        answer = someone.call(method, f"/api/orders/{order_id}{path}", body)
        assert answer.status_code >= 400
        texts.append(answer.get_data(as_text=True))
    told = [row.text for row in rows(someone.api.app, Notification)]
    found: str = json.loads(json.dumps("\n".join([*texts, *anonymous, *told])))
    return found


def hidden(someone: Person, client: Person, order_id: str) -> bool:
    seen = everything_for(someone, order_id)
    return SECRET not in seen and USERNAME not in seen and str(client.telegram_id) not in seen


def test_only_whoever_paid_sees_it(api: Api) -> None:
    client = person(api, username=USERNAME)
    stranger, taker, poor = person(api), executor(api), executor(api, rubles=1)
    taker.put("/api/users/me/preferences", {"categories": [], "cities": ["Казань"]})
    order = client.order(contact=SECRET)["id"]
    tell(api)
    assert poor.take(order).status_code == 402
    for someone in (stranger, taker, poor):
        assert hidden(someone, client, order)

    assert taker.take(order).get_json()["contact"] == SECRET
    assert SECRET in taker.get(f"/api/orders/{order}").get_data(as_text=True)
    assert client.see(order)["contact"] == SECRET
    assert hidden(stranger, client, order)

    client.post(f"/api/orders/{order}/complete", {"executor_id": taker.telegram_id})
    client.post("/api/reviews/client", {"order_id": order, "rating": 5})
    assert hidden(stranger, client, order)
    assert SECRET in taker.get("/api/users/me/takes").get_data(as_text=True)


def test_not_any_more_once_the_money_is_back(api: Api) -> None:
    client = person(api, username=USERNAME)
    taker = executor(api)
    order = client.order(contact=SECRET)["id"]
    taker.take(order)
    with time_machine.travel(clock.now() + timedelta(minutes=16)):
        close_due(api)
        assert taker.balance == 10
        assert hidden(taker, client, order)
        assert taker.take(order).get_json()["code"] == "order_not_active"
        assert hidden(taker, client, order)


def test_not_after_the_client_closed_it_either(api: Api) -> None:
    client = person(api, username=USERNAME)
    taker = executor(api)
    order = client.order(contact=SECRET)["id"]
    taker.take(order)
    client.post(f"/api/orders/{order}/close")
    assert taker.see(order)["status"] == "deleted"
    assert hidden(taker, client, order)


def test_a_complaint_that_was_upheld_takes_it_back(api: Api) -> None:
    client = person(api, username=USERNAME)
    taker = executor(api)
    order = client.order(contact=SECRET)["id"]
    taker.take(order)
    why = unique("wrong number")
    taker.post("/api/reviews/executor", {"order_id": order, "reason": why})
    api.press(ADMIN_IDS[0], why, "Approve")
    assert taker.balance == 10
    assert taker.see(order)["contact"] is None
    assert SECRET not in taker.get("/api/users/me/takes").get_data(as_text=True)


def test_one_paid_order_opens_no_other(api: Api) -> None:
    client = person(api, username=USERNAME)
    taker = executor(api)
    opened = client.order(contact="@something_else")["id"]
    order = client.order(contact=SECRET)["id"]
    taker.take(opened)
    assert SECRET not in everything_for(taker, order)
    answer = taker.post("/api/reviews/executor", {"order_id": order, "reason": "let me see"})
    assert answer.status_code == 422
    assert SECRET not in answer.get_data(as_text=True)

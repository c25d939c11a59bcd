"""An urgent order in one go, as a client, two executors and an admin live it."""

from __future__ import annotations

from datetime import timedelta

import time_machine

from manga_backend.kit import clock
from tests.products.urgent.factories import close_due, deliver, person, tell, unique
from tests.support import ADMIN_IDS, Api


def test_a_tap_bursts_and_two_plumbers_come(api: Api) -> None:
    client = person(api, "Анна", username="anna_k")
    boris, vera = person(api, "Борис"), person(api, "Вера")
    api.poll()

    # Both follow plumbing in Kazan, and buy rubles with Stars.
    for plumber in (boris, vera):
        plumber.put(
            "/api/users/me/preferences", {"categories": ["Сантехника"], "cities": ["Казань"]}
        )
        invoice = plumber.post(
            "/api/balance/recharge", {"amount": 12, "method": "telegram_stars"}
        ).get_json()
        assert (invoice["price"], invoice["price_currency"]) == ("10", "XTR")
        checkout = api.bot.pay(plumber.telegram_id, invoice["url"])
        while api.bot.pending_updates():
            api.poll()
        assert api.bot.checkout_outcome(checkout) == "paid"
        assert plumber.balance == 12

    # The client posts; both hear of it, and see no contact.
    order = client.order(contact="@anna_k")["id"]
    tell(api)
    deliver(api)
    for plumber in (boris, vera):
        news = api.bot.wait_for_message(plumber.telegram_id, contains="Новый заказ", timeout=30)
        assert "Кран сорвало" in news.text
        assert "@anna_k" not in news.text
        assert plumber.see(order)["contact"] is None

    # Both pay to see it; the client hears who comes and answers one by the button.
    for plumber in (boris, vera):
        assert plumber.take(order).get_json()["contact"] == "@anna_k"
        assert plumber.balance == 10
    deliver(api)
    told = api.bot.wait_for_message(client.telegram_id, contains="Борис берёт", timeout=30)
    press = api.bot.press(client.telegram_id, told.message_id)
    api.poll()
    assert "Отмечено" in api.bot.wait_for_callback_answer(press, timeout=30)
    deliver(api)
    assert api.bot.wait_for_message(boris.telegram_id, contains="вам ответил", timeout=30)

    # The hour passes; the client says who did it and rates him.
    with time_machine.travel(clock.now() + timedelta(minutes=61)):
        close_due(api)
    deliver(api)
    asked = api.bot.wait_for_message(client.telegram_id, contains="Кто его", timeout=30)
    press = api.bot.press(client.telegram_id, asked.message_id, text_contains="Борис")
    api.poll()
    assert "Спасибо" in api.bot.wait_for_callback_answer(press, timeout=30)
    assert client.see(order)["status"] == "completed"
    rated = client.post(
        "/api/reviews/client",
        {"order_id": order, "executor_id": boris.telegram_id, "rating": 5, "comment": "Быстро"},
    )
    assert rated.status_code == 201
    me = boris.get("/api/users/me").get_json()
    assert (me["completed_orders_count"], me["average_rating"]) == (1, 5.0)

    # The other one was there for nothing, complains, and an admin gives the 2 ₽ back.
    why = unique("Nobody opened")
    vera.post("/api/reviews/executor", {"order_id": order, "reason": why})
    assert api.press(ADMIN_IDS[0], why, "✅") == "Approved."
    assert (vera.balance, boris.balance) == (12, 10)
    assert vera.see(order)["contact"] is None
    assert [r["comment"] for r in api.client().get("/api/reviews").get_json()] == ["Быстро"]

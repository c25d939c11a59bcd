"""/orders, /myorders and the buttons below what clients are told."""

from __future__ import annotations

from datetime import timedelta

import time_machine

from manga_backend.kernel.backoffice.types import CLI
from manga_backend.kernel.identity.service.accounts import ban
from manga_backend.kernel.identity.types import Role
from manga_backend.kit import clock
from tests.kernel.factories import at_work
from tests.products.urgent.factories import CONTACT, Person, close_due, deliver, executor, person
from tests.support import Api


def say(api: Api, someone: Person, text: str) -> str:
    before = [m.message_id for m in api.bot.messages(someone.telegram_id)]
    api.bot.send_text(someone.telegram_id, text, language_code="ru")
    api.poll()
    deliver(api)
    new = [m for m in api.bot.messages(someone.telegram_id) if m.from_bot]
    return "\n".join(m.text for m in new if m.message_id not in before)


def press(api: Api, someone: Person, contains: str, button: str) -> str:
    deliver(api)
    message = api.bot.wait_for_message(someone.telegram_id, contains=contains, timeout=30)
    query = api.bot.press(someone.telegram_id, message.message_id, text_contains=button)
    api.poll()
    return api.bot.wait_for_callback_answer(query, timeout=30)


def test_orders_are_listed_and_found_without_contacts(api: Api) -> None:
    client, reader = person(api), person(api)
    client.order()
    client.order(category="Замки", description="Захлопнулась дверь, ключи внутри")
    everything = say(api, reader, "/orders")
    assert "Сантехника" in everything
    assert "Замки" in everything
    assert CONTACT not in everything
    found = say(api, reader, "/orders двери")
    assert "Замки" in found
    assert "Сантехника" not in found


def test_a_client_closes_one_of_their_orders(api: Api) -> None:
    client = person(api)
    order = client.order()["id"]
    assert "Сантехника" in say(api, client, "/myorders")
    assert press(api, client, "Ваши заказы", "Закрыть") == "Ваш заказ закрыт."
    assert client.see(order)["status"] == "deleted"
    assert "не активен" in press(api, client, "Ваши заказы", "Закрыть")


def test_whoever_has_no_account_is_told_so(api: Api) -> None:
    stranger = person(api)
    assert "Откройте приложение" in say(api, stranger, "/myorders")


def test_the_button_answers_and_the_next_one_completes(api: Api) -> None:
    client, taker = person(api), executor(api, "Борис")
    order = client.order()["id"]
    taker.take(order)
    assert "Отмечено" in press(api, client, "берёт ваш заказ", "Борис")
    assert client.see(order)["executors"][0]["answered_at"] is not None
    with time_machine.travel(clock.now() + timedelta(minutes=61)):
        close_due(api)
    assert "Спасибо" in press(api, client, "Кто его выполнил", "Борис")
    assert client.see(order)["status"] == "completed"
    assert taker.get("/api/users/me").get_json()["completed_orders_count"] == 1


def test_a_forged_button_does_nothing(api: Api) -> None:
    client, taker, stranger = person(api), executor(api), person(api)
    order = client.order()["id"]
    taker.take(order)
    stranger.get("/api/users/me")
    say(api, stranger, "/orders")
    message = api.bot.messages(stranger.telegram_id)[-1]
    for data in ("ua:1", "ud:1", f"uc:{order}", "ua:x", "ua:" + "9" * 30, "uc:zzz", "ua:"):
        query = api.bot.press_raw(stranger.telegram_id, message.message_id, data)
        api.poll()
        assert api.bot.wait_for_callback_answer(query, timeout=30)
    seen = client.see(order)
    assert (seen["status"], seen["executors"][0]["answered_at"]) == ("active", None)


def test_a_banned_client_s_buttons_do_nothing(api: Api) -> None:
    client, taker = person(api), executor(api, "Борис")
    order = client.order()["id"]
    taker.take(order)
    deliver(api)
    client_id = client.user_id
    with at_work(api.app):
        ban(client_id, CLI, Role.SUPERUSER, "spam")
    message = api.bot.wait_for_message(client.telegram_id, contains="берёт", timeout=30)
    assert message.buttons != []  # an old client still shows them
    query = api.bot.press(client.telegram_id, message.message_id)
    api.poll()
    assert "заблокирован" in api.bot.wait_for_callback_answer(query, timeout=30)
    assert "заблокирован" in say(api, client, "/myorders")
    assert taker.balance == 10


def test_balance_tells_the_rubles(api: Api) -> None:
    assert "12.00 RUB" in say(api, executor(api, rubles=12), "/balance")


def buttons(api: Api, someone: Person, contains: str) -> list[str]:
    deliver(api)
    message = api.bot.wait_for_message(someone.telegram_id, contains=contains, timeout=30)
    return [button["text"] for button in message.buttons]


def test_buttons_follow_what_was_said_and_go_with_the_order(api: Api) -> None:
    client, boris, vera = person(api), executor(api, "Борис"), executor(api, "Вера")
    order = client.order()["id"]
    boris.take(order)
    vera.take(order)
    assert buttons(api, client, "Борис берёт") == ["✅ Ответил(а): Борис"]
    press(api, client, "Борис берёт", "Борис")
    assert buttons(api, client, "Борис берёт") == ["🏁 Выполнил(а): Борис"]
    assert buttons(api, client, "Вера берёт") == ["✅ Ответил(а): Вера"]
    press(api, client, "Борис берёт", "Выполнил")
    assert buttons(api, client, "Борис берёт") == buttons(api, client, "Вера берёт") == []
    assert client.see(order)["status"] == "completed"
    told = api.bot.wait_for_message(vera.telegram_id, contains="другой исполнитель", timeout=30)
    assert told.from_bot


def test_executors_hear_that_the_client_closed_it(api: Api) -> None:
    client, boris, vera = person(api), executor(api, "Борис"), executor(api, "Вера")
    order = client.order()["id"]
    boris.take(order)
    vera.take(order)
    client.post(f"/api/orders/{order}/respond", {"executor_id": boris.telegram_id})
    client.post(f"/api/orders/{order}/close")
    deliver(api)
    for taker in (boris, vera):
        assert api.bot.wait_for_message(taker.telegram_id, contains="закрыл", timeout=30)
        assert taker.balance == 8


def test_a_search_that_finds_nothing_says_so(api: Api) -> None:
    person(api).order()
    assert "с такими словами" in say(api, person(api), "/orders слон")

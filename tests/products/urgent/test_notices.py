"""Executors hear of orders that they follow: at once, hourly, daily, or not at all."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import time_machine

from manga_backend.kernel.notifications.models import Notification
from manga_backend.kernel.notifications.types import Channel, Priority
from manga_backend.kit import clock
from manga_backend.products.urgent import jobs
from tests.kernel.factories import rows
from tests.products.urgent.factories import Person, close_due, deliver, executor, person, tell
from tests.support import Api, at_once


def follow(
    someone: Person, categories: list[str], cities: list[str], frequency: str = "instant"
) -> Person:
    wanted = {"categories": categories, "cities": cities}
    assert someone.put("/api/users/me/preferences", wanted).get_json() == wanted
    how = {"frequency": frequency}
    assert someone.put("/api/users/me/notification-settings", how).get_json() == how
    return someone


def told(api: Api, kind: str, channel: Channel = Channel.TELEGRAM) -> list[Notification]:
    return [n for n in rows(api.app, Notification) if n.kind == kind and n.channel is channel]


def digest(api: Api) -> None:
    with api.app.app_context():
        jobs.digest()


class TestPreferences:
    def test_are_kept_as_they_were_typed_each_once(self, api: Api) -> None:
        someone = person(api)
        answer = someone.put(
            "/api/users/me/preferences",
            {"categories": [" Сантехника ", "сантехника", "Замки"], "cities": []},
        )
        assert answer.get_json() == {"categories": ["Сантехника", "Замки"], "cities": []}
        me = someone.get("/api/users/me").get_json()
        assert me["preferences"] == answer.get_json()
        assert me["notification_settings"] == {"frequency": "instant"}

    @pytest.mark.parametrize(
        "body",
        [
            {"categories": ["x"] * 21, "cities": []},
            {"categories": [], "cities": [""]},
            {"categories": "x", "cities": []},
            {"cities": []},
        ],
    )
    def test_refuse_what_is_wrong(self, api: Api, body: dict[str, Any]) -> None:
        assert person(api).put("/api/users/me/preferences", body).status_code == 400

    def test_set_at_once_they_are_one_of_them(self, pg_api: Api) -> None:
        someone = person(pg_api)
        someone.get("/api/users/me")
        bodies: list[dict[str, Any]] = [
            {"categories": [f"c{n}"], "cities": ["x", "y"]} for n in range(6)
        ]
        answers = at_once(6, lambda n: someone.put("/api/users/me/preferences", bodies[n]))
        assert {answer.status_code for answer in answers} == {200}
        assert someone.get("/api/users/me").get_json()["preferences"] in bodies


class TestInstant:
    def test_tells_those_who_follow_and_nobody_twice(self, api: Api) -> None:
        wanted = [
            follow(person(api), ["сантехника"], ["КАЗАНЬ"]),
            follow(person(api), ["Сантехника"], []),
            follow(person(api), [], ["Казань"]),
        ]
        follow(person(api), ["Замки"], ["Казань"])
        follow(person(api), ["Сантехника"], ["Москва"])
        follow(person(api), [], [])
        follow(person(api), [], ["Казань"], "off")
        follow(person(api), [], ["Казань"], "hourly")
        client = follow(person(api), [], ["Казань"])
        client.order()
        for _ in range(2):
            tell(api)
        found = told(api, "urgent_new_order")
        assert sorted(n.chat_id or 0 for n in found) == sorted(p.telegram_id for p in wanted)
        assert {n.priority for n in found} == {Priority.RECEIPT}
        assert "Новый заказ" in found[0].text
        assert len(told(api, "urgent_new_order", Channel.IN_APP)) == 3

    def test_many_are_told_in_pieces(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(jobs, "TELL_BATCH", 2)
        for _ in range(5):
            follow(person(api), [], ["Казань"])
        person(api).order()
        tell(api)
        assert len({n.chat_id for n in told(api, "urgent_new_order")}) == 5

    def test_by_several_at_once_nobody_twice(self, pg_api: Api) -> None:
        for _ in range(5):
            follow(person(pg_api), [], ["Казань"])
        for _ in range(3):
            person(pg_api).order()
        at_once(6, lambda _: tell(pg_api))
        tell(pg_api)
        found = [(n.chat_id, n.subject) for n in told(pg_api, "urgent_new_order")]
        assert len(found) == len(set(found)) == 15

    def test_an_order_that_is_over_is_no_news(self, api: Api) -> None:
        follow(person(api), [], ["Казань"])
        client = person(api)
        client.call("DELETE", f"/api/orders/{client.order()['id']}")
        client.order()
        with time_machine.travel(clock.now() + timedelta(minutes=61)):
            tell(api)
        assert told(api, "urgent_new_order") == []


class TestDigest:
    def test_once_an_hour_what_came_since(self, api: Api) -> None:
        start = clock.now()
        with time_machine.travel(start, tick=False):
            reader = follow(person(api), [], ["Казань"], "hourly")
            follow(person(api), [], ["Москва"], "hourly")
            person(api).order()
        with time_machine.travel(start + timedelta(minutes=55), tick=False):
            person(api).order(description="Дверь захлопнулась, помогите")
            digest(api)
        assert told(api, "urgent_digest") == []
        with time_machine.travel(start + timedelta(minutes=60), tick=False):
            at_once(1, lambda _: digest(api))
            digest(api)
        (found,) = told(api, "urgent_digest")
        assert found.chat_id == reader.telegram_id
        assert "2" in found.text
        assert "Дверь" in found.text
        assert "Кран" not in found.text  # its hour is over
        with time_machine.travel(start + timedelta(minutes=121), tick=False):
            digest(api)
        assert len(told(api, "urgent_digest")) == 1

    def test_once_a_day_at_nine_in_the_deployment_s_zone(self, api: Api) -> None:
        zone = ZoneInfo("Asia/Tehran")
        start = datetime(2026, 6, 1, 8, 30, tzinfo=zone)
        with time_machine.travel(start, tick=False):
            follow(person(api), [], ["Казань"], "daily")
            person(api).order()
            digest(api)
        assert told(api, "urgent_digest") == []
        with time_machine.travel(start + timedelta(minutes=30), tick=False):
            digest(api)
        assert len(told(api, "urgent_digest")) == 1
        with time_machine.travel(start + timedelta(minutes=40), tick=False):
            person(api).order()
        with time_machine.travel(start + timedelta(hours=24, minutes=29), tick=False):
            digest(api)
        assert len(told(api, "urgent_digest")) == 1
        with time_machine.travel(start + timedelta(hours=24, minutes=31), tick=False):
            digest(api)
        assert len(told(api, "urgent_digest")) == 2

    def test_another_frequency_swallows_no_news(self, api: Api) -> None:
        start = clock.now()
        with time_machine.travel(start, tick=False):
            reader = follow(person(api), [], ["Казань"], "hourly")
            person(api).order()
        with time_machine.travel(start + timedelta(minutes=30), tick=False):
            follow(reader, [], ["Казань"], "daily")
        with time_machine.travel(start + timedelta(hours=30), tick=False):
            digest(api)
        (found,) = told(api, "urgent_digest")
        assert found.chat_id == reader.telegram_id


class TestClient:
    def test_hears_that_somebody_came_and_that_nobody_did(self, api: Api) -> None:
        client, taker = person(api, "Анна"), executor(api, "Борис <b>")
        first = client.order()["id"]
        client.order()
        taker.take(first)
        client.post(f"/api/orders/{first}/respond", {"executor_id": taker.telegram_id})
        with time_machine.travel(clock.now() + timedelta(minutes=61)):
            close_due(api)
        deliver(api)
        texts = [m.text for m in api.bot.messages(client.telegram_id)]
        assert any("Борис <b> берёт ваш заказ" in text for text in texts)
        assert any("никто не взял" in text for text in texts)
        assert any("Кто его выполнил" in text for text in texts)

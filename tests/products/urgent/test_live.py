"""The live list where nothing streams, and what its source tells."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
import time_machine

from manga_backend.kit import clock
from manga_backend.kit.db import session
from manga_backend.kit.live import MOST_WAITING, Listener, LiveEvent
from manga_backend.products.urgent import jobs
from manga_backend.products.urgent.models import OrderChange
from manga_backend.products.urgent.runner import AT_A_TIME, OrderFeed
from tests.conftest import Deployment
from tests.kernel.factories import at_work
from tests.products.urgent.factories import executor, person
from tests.standins.telegram import BotApiStandIn
from tests.support import Api
from tests.variants import variant_api


def blocks(api: Api, last: str | None = None) -> list[dict[str, str]]:
    headers = {} if last is None else {"Last-Event-ID": last}
    answer = api.client().get("/api/orders/events", headers=headers)
    assert answer.status_code == 200
    assert answer.content_type.startswith("text/event-stream")
    retry, *found = answer.get_data(as_text=True).strip().split("\n\n")
    assert retry == "retry: 3000"
    return [dict(line.split(": ", 1) for line in block.split("\n")) for block in found]


def events(api: Api, last: str | None = None) -> list[dict[str, str]]:
    *found, standing = blocks(api, last)
    assert standing.keys() == {"id"}
    return found


def number_of(event: dict[str, str]) -> int:
    return int(event["id"].split("-")[0])


class TestPieces:
    def test_a_new_listener_learns_where_it_stands(self, api: Api) -> None:
        person(api).order()
        (hello,) = events(api)
        assert (hello["event"], hello["data"]) == ("hello", "{}")
        assert events(api, hello["id"]) == []

    def test_then_gets_each_order_as_it_is_now(self, api: Api) -> None:
        (hello,) = events(api)
        client = person(api)
        first, second = client.order()["id"], client.order()["id"]
        executor(api).take(first)
        client.call("DELETE", f"/api/orders/{second}")
        found = {e["event"]: [] for e in events(api, hello["id"])}
        assert list(found) == ["order"]
        told = {
            data["id"]: data for data in (json.loads(e["data"]) for e in events(api, hello["id"]))
        }
        assert told[first]["executors_count"] == 1
        assert "contact" not in told[first]
        assert told[second].keys() == {"id", "status", "changed_at"}
        assert told[second]["status"] == "deleted"

    def test_whoever_was_away_too_long_reads_anew(self, api: Api) -> None:
        client = person(api)
        client.order()
        (hello,) = events(api)
        with time_machine.travel(clock.now() + timedelta(hours=3)):
            client.order()
            with api.app.app_context():
                jobs.forget()
            (reset,) = events(api, hello["id"])
        assert reset["event"] == "reset"
        assert number_of(reset) > number_of(hello)

    def test_goes_on_from_where_the_last_answer_ended(self, api: Api) -> None:
        client = person(api)
        first = client.order()["id"]
        hello, standing = blocks(api)
        assert standing["id"] == hello["id"]
        client.order()
        *_, standing = blocks(api, standing["id"])
        client.call("DELETE", f"/api/orders/{first}")
        *news, later = blocks(api, standing["id"])
        assert json.loads(news[-1]["data"])["id"] == first
        assert number_of(later) == number_of(standing) + 1

    def test_hears_of_a_change_that_was_numbered_before_and_committed_after(self, api: Api) -> None:
        order = person(api).order()["id"]
        with at_work(api.app):
            session().add(OrderChange(id=2002, order_id=order, at=clock.now()))
        (hello,) = events(api)
        assert number_of(hello) == 2002
        with at_work(api.app):
            late = clock.now() - timedelta(seconds=5)
            session().add(OrderChange(id=2001, order_id=order, at=late))
        with time_machine.travel(clock.now() + timedelta(minutes=10)):
            assert [number_of(event) for event in events(api, hello["id"])] == [2001]

    @pytest.mark.parametrize(
        "last", ["x", "-1", "7", "9" * 30, "1e3", "", "1-", f"{'9' * 18}-{'9' * 10}", "0-0"]
    )
    def test_any_id_is_answered(self, api: Api, last: str) -> None:
        answer = api.client().get("/api/orders/events", headers={"Last-Event-ID": last})
        assert answer.status_code == 200


def numbers(found: list[LiveEvent]) -> list[int]:
    return [event.number for event in found]


class TestListener:
    def test_one_that_is_too_far_behind_ends_and_comes_again(self) -> None:
        listener = Listener("x")
        chunks = listener.chunks(b"first")
        assert next(chunks) == b"first"
        for _ in range(MOST_WAITING):
            assert listener.send(b"news")
        assert not listener.send(b"one too many")
        assert len(list(chunks)) <= 1

    def test_is_told_to_come_later_while_the_database_is_away(
        self, deployment: Deployment, bot: BotApiStandIn
    ) -> None:
        away = {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing"}
        with variant_api(deployment, bot, **away) as api:
            answer = api.client().get("/api/orders/events")
            assert (answer.status_code, answer.data) == (200, b"retry: 10000\n\n")


class TestFeed:
    def test_of_many_changes_the_newest_is_told_at_once(self, api: Api) -> None:
        order = person(api).order()["id"]
        with api.app.app_context():
            feed = OrderFeed()
            feed.news()
            for first in (2000, 3000):
                now = clock.now()
                with at_work(api.app):
                    session().add_all(
                        OrderChange(id=first + n, order_id=order, at=now) for n in range(AT_A_TIME)
                    )
                assert numbers(feed.news()) == [first + AT_A_TIME - 1]

    def test_tells_each_change_once_even_one_that_was_committed_late(self, api: Api) -> None:
        client = person(api)
        order = client.order()["id"]

        def note(number: int, at: Any) -> None:
            with at_work(api.app):
                session().add(OrderChange(id=number, order_id=order, at=at))

        with api.app.app_context():
            feed = OrderFeed()
            assert feed.news() == []
            now = clock.now()
            note(1002, now)
            assert numbers(feed.news()) == [1002]
            note(1001, now - timedelta(seconds=2))  # numbered first, committed second
            assert numbers(feed.news()) == [1001]
            assert feed.news() == []
            note(1003, now)
            assert numbers(feed.news()) == [1003]

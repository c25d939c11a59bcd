"""The live list where nothing streams, and what its source tells."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
import time_machine

from manga_backend.kit import clock
from manga_backend.kit.db import session
from manga_backend.kit.live import LiveEvent
from manga_backend.products.urgent import jobs
from manga_backend.products.urgent.models import OrderChange
from manga_backend.products.urgent.runner import OrderFeed
from tests.kernel.factories import at_work
from tests.products.urgent.factories import executor, person
from tests.support import Api


def events(api: Api, last: int | None = None) -> list[dict[str, str]]:
    headers = {} if last is None else {"Last-Event-ID": str(last)}
    answer = api.client().get("/api/orders/events", headers=headers)
    assert answer.status_code == 200
    assert answer.content_type.startswith("text/event-stream")
    blocks = answer.get_data(as_text=True).strip().split("\n\n")
    assert blocks[0] == "retry: 3000"
    return [dict(line.split(": ", 1) for line in block.split("\n")) for block in blocks[1:]]


class TestPieces:
    def test_a_new_listener_learns_where_it_stands(self, api: Api) -> None:
        person(api).order()
        (hello,) = events(api)
        assert (hello["event"], hello["data"]) == ("hello", "{}")
        assert events(api, int(hello["id"]))[0]["data"] != "{}"  # a few of before may come again

    def test_then_gets_each_order_as_it_is_now(self, api: Api) -> None:
        (hello,) = events(api)
        client = person(api)
        first, second = client.order()["id"], client.order()["id"]
        executor(api).take(first)
        client.call("DELETE", f"/api/orders/{second}")
        found = {e["event"]: [] for e in events(api, int(hello["id"]))}
        assert list(found) == ["order"]
        told = {
            data["id"]: data
            for data in (json.loads(e["data"]) for e in events(api, int(hello["id"])))
        }
        assert told[first]["executors_count"] == 1
        assert "contact" not in told[first]
        assert told[second] == {"id": second, "status": "deleted"}

    def test_whoever_was_away_too_long_reads_anew(self, api: Api) -> None:
        client = person(api)
        client.order()
        (hello,) = events(api)
        with time_machine.travel(clock.now() + timedelta(hours=3)):
            client.order()
            with api.app.app_context():
                jobs.forget()
            (reset,) = events(api, int(hello["id"]))
        assert reset["event"] == "reset"
        assert int(reset["id"]) > int(hello["id"])

    @pytest.mark.parametrize("last", ["x", "-1", "9" * 30, "1e3", ""])
    def test_any_number_is_answered(self, api: Api, last: str) -> None:
        answer = api.client().get("/api/orders/events", headers={"Last-Event-ID": last})
        assert answer.status_code == 200


def numbers(found: list[LiveEvent]) -> list[int]:
    return [event.number for event in found]


class TestFeed:
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

"""The in-app inbox."""

from __future__ import annotations

import json

import pytest

from manga_backend.kernel.notifications.models import Notification
from manga_backend.kernel.notifications.service.outbox import notify_user
from manga_backend.kernel.notifications.types import Contact
from manga_backend.kernel.telegram.types import Message
from tests.kernel.factories import at_work, make_reader, new_chat, rows
from tests.support import Api, Reader, at_once, counted_queries

BASE = "/api/notifications"


def tell(api: Api, reader: Reader, count: int = 1) -> list[int]:
    """Messages to a reader; returns the ids of the inbox rows, oldest first."""
    user_id = api.user_id(reader)
    with at_work(api.app):
        for number in range(count):
            notify_user(
                Contact(user_id, reader.telegram_id, None), Message(f"<b>{number}</b>"), kind="test"
            )
    found = rows(api.app, Notification, Notification.user_id == user_id)
    return [row.id for row in found if row.channel.value == "in_app"]


def unread(reader: Reader) -> int:
    count: int = reader.get(f"{BASE}/unread-count/").get_json()["unread"]
    return count


class TestList:
    def test_is_newest_first_in_plain_text(self, api: Api) -> None:
        reader = make_reader(api)
        ids = tell(api, reader, 3)
        items = reader.get(f"{BASE}/").get_json()
        assert [item["id"] for item in items] == ids[::-1]
        assert items[0].pop("created_at").endswith("Z")
        assert items[0] == {"id": ids[2], "kind": "test", "text": "2", "is_read": False}

    def test_has_each_message_once_although_telegram_has_it_too(self, api: Api) -> None:
        reader = make_reader(api)
        tell(api, reader)
        api.deliver()
        assert len(reader.get(f"{BASE}/").get_json()) == 1

    def test_pages(self, api: Api) -> None:
        reader = make_reader(api)
        ids = tell(api, reader, 25)
        answer = reader.get(f"{BASE}/?page=2&page_size=20")
        assert [item["id"] for item in answer.get_json()] == ids[4::-1]
        assert json.loads(answer.headers["X-Pagination"])["total"] == 25

    def test_nobody_reads_anothers(self, api: Api) -> None:
        tell(api, make_reader(api))
        assert make_reader(api).get(f"{BASE}/").get_json() == []

    def test_30_messages_cost_as_many_queries_as_one(self, api: Api) -> None:
        costs = []
        for size in (1, 30):
            reader = make_reader(api)
            tell(api, reader, size)
            with counted_queries(api.app) as statements:
                assert len(reader.get(f"{BASE}/?page_size=100").get_json()) == size
            costs.append(len([s for s in statements if s.startswith("SELECT")]))
        assert costs == [3, 3]

    @pytest.mark.parametrize("path", ["/", "", "/unread-count/", "/unread-count"])
    def test_needs_a_token_with_and_without_the_slash(self, api: Api, path: str) -> None:
        assert api.client().get(f"{BASE}{path}").status_code == 401
        assert make_reader(api).get(f"{BASE}{path}").status_code == 200


class TestUnreadCount:
    def test_counts_and_costs_one_statement(self, api: Api) -> None:
        reader = make_reader(api)
        tell(api, reader, 3)
        tell(api, make_reader(api), 2)
        with counted_queries(api.app) as statements:
            assert unread(reader) == 3
        assert len(statements) == 1
        assert reader.status()["unread_notifications"] == 3


class TestMarkRead:
    def test_one_once(self, api: Api) -> None:
        reader = make_reader(api)
        ids = tell(api, reader, 3)
        answer = reader.post(f"{BASE}/mark-read/{ids[1]}/")
        assert (answer.status_code, answer.get_json()) == (200, {"marked": 1})
        assert reader.post(f"{BASE}/mark-read/{ids[1]}/").get_json() == {"marked": 0}
        assert unread(reader) == 2
        read = [item["is_read"] for item in reader.get(f"{BASE}/").get_json()]
        assert read == [False, True, False]

    def test_anothers_or_an_unknown_one_changes_nothing(self, api: Api) -> None:
        reader, other = make_reader(api), make_reader(api)
        (theirs,) = tell(api, other)
        for name in (theirs, 10**9):
            assert reader.post(f"{BASE}/mark-read/{name}/").get_json() == {"marked": 0}
        assert unread(other) == 1

    def test_the_telegram_copy_is_not_an_inbox_message(self, api: Api) -> None:
        reader = make_reader(api)
        tell(api, reader)
        (copy,) = [r.id for r in rows(api.app, Notification) if r.channel.value == "telegram"]
        assert reader.post(f"{BASE}/mark-read/{copy}/").get_json() == {"marked": 0}

    def test_a_number_beyond_64_bits_is_not_found(self, api: Api) -> None:
        answer = make_reader(api).post(f"{BASE}/mark-read/{2**70}/")
        assert answer.status_code == 404


class TestMarkAllRead:
    def test_marks_the_callers_alone(self, api: Api) -> None:
        reader, other = make_reader(api), make_reader(api)
        tell(api, reader, 3)
        tell(api, other, 2)
        assert reader.post(f"{BASE}/mark-all-read/").get_json() == {"marked": 3}
        assert reader.post(f"{BASE}/mark-all-read/").get_json() == {"marked": 0}
        assert (unread(reader), unread(other)) == (0, 2)

    def test_ten_times_at_once_marks_each_once(self, pg_api: Api) -> None:
        reader = make_reader(pg_api)
        tell(pg_api, reader, 5)
        answers = at_once(10, lambda _: reader.post(f"{BASE}/mark-all-read/"))
        assert sum(answer.get_json()["marked"] for answer in answers) == 5

    def test_a_message_to_a_chat_alone_is_in_no_inbox(self, api: Api) -> None:
        assert unread(make_reader(api, telegram_id=new_chat())) == 0

"""The in-app inbox."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from manga_backend.kernel.notifications.models import DeviceToken, Notification
from manga_backend.kernel.notifications.service.outbox import notify_user
from manga_backend.kernel.notifications.types import Contact
from manga_backend.kernel.telegram.types import Message
from manga_backend.kit import clock
from tests.kernel.factories import at_work, count, make_reader, new_chat, rows
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
            costs.append(len([s for s in statements if s.startswith(("SELECT", "EXECUTE"))]))
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


def age(api: Api, ids: list[int], days: int) -> None:
    """As if these messages had been written so long ago."""
    with at_work(api.app) as current:
        for row_id in ids:
            row = current.get_one(Notification, row_id)
            row.created_at = clock.now() - timedelta(days=days)


class TestDeleteOld:
    def test_deletes_what_was_read_and_is_older_than_the_retention(self, api: Api) -> None:
        reader = make_reader(api)
        ids = tell(api, reader, 4)
        for number in ids[:3]:
            reader.post(f"{BASE}/mark-read/{number}/")
        age(api, [ids[0], ids[1], ids[3]], 91)  # ids[2] is young, ids[3] is unread
        answer = reader.post(f"{BASE}/delete-old/")
        assert (answer.status_code, answer.get_json()) == (200, {"deleted": 2})
        assert [item["id"] for item in reader.get(f"{BASE}/").get_json()] == [ids[3], ids[2]]
        assert reader.post(f"{BASE}/delete-old").get_json() == {"deleted": 0}

    def test_of_the_caller_alone(self, api: Api) -> None:
        reader, other = make_reader(api), make_reader(api)
        ids = tell(api, other)
        other.post(f"{BASE}/mark-all-read/")
        age(api, ids, 200)
        assert reader.post(f"{BASE}/delete-old/").get_json() == {"deleted": 0}
        assert len(other.get(f"{BASE}/").get_json()) == 1

    def test_the_telegram_copy_stays(self, api: Api) -> None:
        reader = make_reader(api)
        tell(api, reader)
        reader.post(f"{BASE}/mark-all-read/")
        age(api, [row.id for row in rows(api.app, Notification)], 91)
        reader.post(f"{BASE}/delete-old/")
        assert [row.channel.value for row in rows(api.app, Notification)] == ["telegram"]

    def test_ten_times_at_once_deletes_each_once(self, pg_api: Api) -> None:
        reader = make_reader(pg_api)
        ids = tell(pg_api, reader, 6)
        reader.post(f"{BASE}/mark-all-read/")
        age(pg_api, ids, 91)
        answers = at_once(10, lambda _: reader.post(f"{BASE}/delete-old/"))
        assert sum(answer.get_json()["deleted"] for answer in answers) == 6

    def test_needs_a_token(self, api: Api) -> None:
        assert api.post(f"{BASE}/delete-old/").status_code == 401


class TestDeviceToken:
    def add(self, reader: Reader, token: str, platform: str = "android", **headers: str) -> Any:
        body = {"token": token, "platform": platform}
        return reader.post(f"{BASE}/device-token/", body, **headers)

    def test_a_new_one_is_kept_and_the_same_again_is_fine(self, api: Api) -> None:
        reader = make_reader(api)
        first, second = self.add(reader, "t1"), self.add(reader, "t1", "ios")
        assert (first.status_code, second.status_code) == (201, 200)
        assert first.get_json()["platform"] == "android"
        assert second.get_json()["platform"] == "ios"
        assert second.get_json()["created_at"] == first.get_json()["created_at"]
        (device,) = rows(api.app, DeviceToken)
        assert (device.token, device.platform) == ("t1", "ios")
        assert device.user_id == api.user_id(reader)

    def test_moves_to_whoever_sends_it_last(self, api: Api) -> None:
        reader, other = make_reader(api), make_reader(api)
        self.add(reader, "shared")
        assert self.add(other, "shared").status_code == 200
        (device,) = rows(api.app, DeviceToken)
        assert device.user_id == api.user_id(other)

    def test_the_20_registered_last_are_kept(self, api: Api) -> None:
        reader, other = make_reader(api), make_reader(api)
        self.add(other, "other")
        for number in range(21):
            self.add(reader, f"t{number}")
        self.add(reader, "t1")  # heard of again: now the youngest
        self.add(reader, "t21")
        mine = [d.token for d in rows(api.app, DeviceToken) if d.token != "other"]
        assert sorted(mine) == sorted(["t1", *(f"t{n}" for n in range(3, 22))])
        assert count(api.app, DeviceToken, DeviceToken.token == "other") == 1

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({"platform": "web"}, "token"),
            ({"token": "", "platform": "web"}, "token"),
            ({"token": "x" * 513, "platform": "web"}, "token"),
            ({"token": 5, "platform": "web"}, "token"),
            ({"token": "x"}, "platform"),
            ({"token": "x", "platform": "windows"}, "platform"),
            ({"token": "x", "platform": "web", "more": 1}, "more"),
        ],
    )
    def test_bad_input_is_named(self, api: Api, body: dict[str, Any], field: str) -> None:
        answer = make_reader(api).post(f"{BASE}/device-token/", body)
        assert answer.status_code == 400
        assert answer.mimetype == "application/problem+json"
        assert list(answer.get_json()["errors"]) == [field]
        assert count(api.app, DeviceToken) == 0

    def test_512_characters_are_kept(self, api: Api) -> None:
        assert self.add(make_reader(api), "x" * 512, "web").status_code == 201

    def test_needs_a_token_of_ours(self, api: Api) -> None:
        body = {"token": "x", "platform": "web"}
        assert api.post(f"{BASE}/device-token/", body).status_code == 401

    def test_the_same_key_is_the_same_answer(self, api: Api) -> None:
        reader = make_reader(api)
        key = {"Idempotency-Key": "k1"}
        assert [self.add(reader, "t", **key).status_code for _ in range(2)] == [201, 201]

    def test_of_one_user_20_times_at_once_is_one(self, pg_api: Api) -> None:
        reader = make_reader(pg_api)
        answers = at_once(20, lambda _: self.add(reader, "t"))
        assert sorted(answer.status_code for answer in answers) == [200] * 19 + [201]
        assert count(pg_api.app, DeviceToken) == 1

    def test_of_many_users_at_once_belongs_to_one(self, pg_api: Api) -> None:
        readers = [make_reader(pg_api) for _ in range(8)]
        answers = at_once(16, lambda n: self.add(readers[n % 8], f"t{n % 3}"))
        assert {answer.status_code for answer in answers} == {200, 201}
        assert count(pg_api.app, DeviceToken) == 3

    def test_30_tokens_of_one_user_at_once_leave_20(self, pg_api: Api) -> None:
        reader = make_reader(pg_api)
        answers = at_once(30, lambda n: self.add(reader, f"t{n}"))
        assert {answer.status_code for answer in answers} == {201}
        assert count(pg_api.app, DeviceToken) == 20

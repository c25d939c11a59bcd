"""/metrics: who may read it, and what stands there."""

from __future__ import annotations

import re

import pytest

from manga_backend.kernel.operations.settings import MetricsSettings
from manga_backend.kit.settings import ROOT
from tests.conftest import Deployment
from tests.support import Api, new_hash
from tests.variants import variant

LOOPBACK = {"REMOTE_ADDR": "127.0.0.1"}


class TestAccess:
    @pytest.mark.parametrize(
        ("address", "headers", "status"),
        [
            ("127.0.0.1", {}, 200),
            ("::1", {}, 200),
            ("203.0.113.9", {}, 403),
            ("127.0.0.1", {"X-Forwarded-For": "203.0.113.9"}, 403),
            ("127.0.0.1", {"Forwarded": "for=203.0.113.9"}, 403),
            ("127.0.0.1", {"Authorization": "Bearer anything"}, 200),
        ],
    )
    def test_without_a_token_is_this_machine_alone(
        self, api: Api, address: str, headers: dict[str, str], status: int
    ) -> None:
        answer = api.client().get(
            "/metrics", headers=headers, environ_overrides={"REMOTE_ADDR": address}
        )
        assert answer.status_code == status
        if status == 403:
            assert answer.get_json()["code"] == "forbidden"

    @pytest.mark.parametrize(
        ("sent", "status"),
        [("Bearer scrape-me-scrape-me", 200), ("Bearer scrape-me", 403), ("", 403)],
    )
    def test_with_a_token_is_who_has_it(
        self, api: Api, monkeypatch: pytest.MonkeyPatch, sent: str, status: int
    ) -> None:
        configured = api.app.extensions["settings"]
        monkeypatch.setitem(configured, MetricsSettings, MetricsSettings("scrape-me-scrape-me"))
        answer = api.client().get(
            "/metrics", headers={"Authorization": sent} if sent else {}, environ_overrides=LOOPBACK
        )
        assert answer.status_code == status


def read(api: Api) -> str:
    return api.client().get("/metrics", environ_overrides=LOOPBACK).get_data(as_text=True)


def value(text: str, name: str) -> float:
    """The number of one series, written as it stands there; 0 when there is none."""
    for line in text.splitlines():
        if line.startswith(f"{name} "):
            return float(line.rpartition(" ")[2])
    return 0.0


class TestNumbers:
    def test_of_requests(self, api: Api) -> None:
        series = (
            'manga_http_request_seconds_count{method="GET",route="/api/user/status",status="%s"}'
        )
        before = read(api)
        reader = api.reader()
        reader.get("/api/user/status")
        api.client().get("/api/user/status")
        after = read(api)
        assert value(after, series % 200) == value(before, series % 200) + 1
        assert value(after, series % 401) == value(before, series % 401) + 1
        lost = 'manga_http_request_seconds_count{method="GET",route="none",status="404"}'
        api.client().get("/nowhere/at/all")
        assert value(read(api), lost) == value(after, lost) + 1

    def test_of_what_waits(self, api: Api) -> None:
        reader = api.reader()
        reader.post("/payment/submit", json={"tx_hash": new_hash()})
        text = read(api)
        assert value(text, "manga_approvals_waiting") == 1
        assert value(text, 'manga_messages_now{state="waiting"}') > 0
        assert value(text, 'manga_business{label="",metric="users"}') == 1
        assert value(text, 'manga_check_ok{check="database"}') == 1
        assert reader.username not in text

    def test_are_left_out_while_the_database_is_away(self, on_sqlite: Deployment) -> None:
        away = "postgresql://app@127.0.0.1:1/none"
        with variant(on_sqlite.settings, DATABASE_URL=away) as app:
            answer = app.test_client().get("/metrics", environ_overrides=LOOPBACK)
        text = answer.get_data(as_text=True)
        assert value(text, 'manga_check_ok{check="database"}') == 0
        assert 'manga_check_ok{check="database"} 0.0' in text
        assert "manga_approvals_waiting" not in text


class TestDashboard:
    def test_asks_for_nothing_that_is_not_there(self, api: Api) -> None:
        api.reader().post("/payment/submit", json={"tx_hash": new_hash()})
        api.deliver()
        text = read(api)
        there = set(re.findall(r"^# TYPE (\S+) ", text, re.M))
        ends = ("bucket", "count", "sum", "total")
        known = there | {f"{name}_{end}" for name in there for end in ends}
        for file in ("grafana/manga.json", "prometheus/alerts.yml"):
            asked = set(re.findall(r"\bmanga_\w+", (ROOT / "deploy" / file).read_text()))
            asked -= {"manga_backend", "manga_backup_last_timestamp_seconds"}
            assert asked
            assert asked - known == set()

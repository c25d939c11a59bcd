"""Who reads which language, how times are written, and that refusals speak all five."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from manga_backend.kit.i18n import (
    gettext,
    in_language,
    language,
    local_digits,
    local_time,
    set_caller_language,
    supported,
)
from manga_backend.kit.settings import LANGUAGES
from tests.support import PASSWORD, Api

NOWRUZ = datetime(2025, 3, 20, 21, 0, tzinfo=UTC)
"""Still the old day in UTC, the first half hour of 1404 in Tehran."""


class TestLanguage:
    @pytest.fixture
    def asked_for_russian(self, lite: Api) -> Iterator[None]:
        with lite.app.test_request_context(headers={"Accept-Language": "ru-RU,ru;q=0.9,en;q=0.5"}):
            yield

    @pytest.mark.usefixtures("asked_for_russian")
    def test_forced_beats_profile_beats_header(self) -> None:
        assert language() == "ru"
        set_caller_language("uz")
        assert language() == "uz"
        with in_language("ar"):
            assert language() == "ar"
        assert language() == "uz"

    @pytest.mark.usefixtures("asked_for_russian")
    @pytest.mark.parametrize("unknown", [None, "", "de", "ru-RU"])
    def test_profile_in_an_unknown_language_is_no_choice(self, unknown: str | None) -> None:
        set_caller_language(unknown)
        assert language() == "ru"

    @pytest.mark.usefixtures("asked_for_russian")
    def test_reader_without_a_language_reads_the_default_not_the_callers(self) -> None:
        with in_language(None):
            assert language() == "en"

    @pytest.mark.parametrize("header", [None, "", "de-DE,de", ";;q=,"])
    def test_default_for_a_header_that_names_none_of_ours(
        self, lite: Api, header: str | None
    ) -> None:
        headers = {} if header is None else {"Accept-Language": header}
        with lite.app.test_request_context(headers=headers):
            assert language() == "en"

    def test_default_outside_of_requests(self, lite: Api) -> None:
        with lite.app.app_context():
            assert language() == "en"

    def test_codes_of_telegram(self) -> None:
        codes = ["fa", "ru-RU", "UZ-Latn", "de", "", None]
        assert [supported(code) for code in codes] == ["fa", "ru", "uz", None, None, None]


class TestTimesAndNumbers:
    @pytest.mark.parametrize(
        ("chosen", "expected"),
        [("fa", "۱۴۰۴/۰۱/۰۱ ۰۰:۳۰"), ("en", "2025-03-21 00:30"), ("uz", "2025-03-21 00:30")],
    )
    def test_time_is_of_the_time_zone_and_the_calendar(
        self, lite: Api, chosen: str, expected: str
    ) -> None:
        with lite.app.app_context(), in_language(chosen):
            assert local_time(NOWRUZ) == expected
            assert local_time(NOWRUZ, with_time=False) == expected.partition(" ")[0]
            assert local_time(None) == "—"

    def test_digits(self, lite: Api) -> None:
        written = {}
        with lite.app.app_context():
            for chosen in LANGUAGES:
                with in_language(chosen):
                    written[chosen] = local_digits("3650")
        assert written.pop("fa") == "۳۶۵۰"
        assert set(written.values()) == {"3650"}


class TestTexts:
    def test_a_refusal_is_in_the_callers_language(self, lite: Api) -> None:
        wrong = {"username": "nobody", "password": PASSWORD}
        details, codes = {}, set()
        for chosen in LANGUAGES:
            answer = lite.post("/auth/login", wrong, **{"Accept-Language": chosen})
            assert answer.status_code == 401
            details[chosen] = answer.get_json()["detail"]
            codes.add(answer.get_json()["code"])
        assert len(set(details.values())) == len(LANGUAGES)
        assert details["fa"] == "نام کاربری یا گذرواژه نادرست است."
        assert len(codes) == 1

    def test_buttons_have_the_words_of_the_order(self, lite: Api) -> None:
        with lite.app.app_context(), in_language("fa"):
            assert gettext("✅ Approve") == "✅ تایید"
            assert gettext("❌ Reject") == "❌ رد"

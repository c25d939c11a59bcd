"""Broadcasts in the panel: list, form, progress, buttons."""

from __future__ import annotations

import re
import uuid
from typing import Any

import pytest

from manga_backend.kernel.broadcasts.models import Broadcast
from manga_backend.kernel.broadcasts.types import State
from manga_backend.kernel.identity.types import Role
from tests.kernel.backoffice.test_panel import Panel
from tests.kernel.broadcasts.factories import (
    audited,
    feed,
    make_users,
    messages,
    report,
    start,
    write,
)
from tests.kernel.factories import count, rows
from tests.support import Api, Reader

ROOT = "/admin/broadcasts"
DEEDS = ("test", "start", "pause", "resume", "cancel")


@pytest.fixture
def boss(api: Api) -> Reader:
    """An admin who can sign in."""
    return api.staff()


@pytest.fixture
def panel(api: Api, boss: Reader) -> Panel:
    """The admin's browser."""
    return Panel(api, boss.username)


def typed(**more: str) -> dict[str, str]:
    """The form as a browser sends it."""
    empty = dict.fromkeys(("text_fa", "text_en", "text_ru", "text_uz", "text_ar"), "")
    return {**empty, "audience": "all", "product": "", "language": "", **more}


def state_of(api: Api, broadcast_id: uuid.UUID) -> State:
    return report(api.app, broadcast_id).state


class TestPreview:
    def test_shows_it_as_readers_see_it_and_as_it_was_typed(self, panel: Panel, api: Api) -> None:
        broadcast_id = write(api.app, '<b>New</b> &lt;3 <a href="https://manga.example">here</a>')
        page = panel.get(f"{ROOT}/{broadcast_id}").text
        assert '<b>New</b> &lt;3 <a href="https://manga.example">here</a>' in page
        assert "&lt;b&gt;New&lt;/b&gt; &amp;lt;3" in page


class TestRights:
    def test_support_reads_and_sends_nothing(self, api: Api) -> None:
        broadcast_id = write(api.app, "for your eyes")
        panel = Panel(api, api.staff(Role.SUPPORT).username)
        assert panel.get(f"{ROOT}/").status_code == 200
        page = panel.get(f"{ROOT}/{broadcast_id}")
        assert page.status_code == 200
        assert "for your eyes" in page.text
        assert f"{broadcast_id}/start" not in page.text
        assert panel.get(f"{ROOT}/{broadcast_id}/progress").status_code == 200
        for path in ("new", f"{broadcast_id}/edit"):
            assert panel.get(f"{ROOT}/{path}").status_code == 403
            assert panel.post(f"{ROOT}/{path}", **typed(text_en="x")).status_code == 403
        for deed in DEEDS:
            assert panel.post(f"{ROOT}/{broadcast_id}/{deed}").status_code == 403
        assert len(audited(api.app)) == count(api.app, Broadcast) == 1

    def test_every_form_needs_its_token(self, api: Api, panel: Panel) -> None:
        broadcast_id = write(api.app)
        for path in ("new", f"{broadcast_id}/edit", *(f"{broadcast_id}/{deed}" for deed in DEEDS)):
            answer = panel.client.post(f"{ROOT}/{path}", data=typed(text_en="x"))
            assert answer.status_code == 400, path
        assert len(audited(api.app)) == count(api.app, Broadcast) == 1
        assert report(api.app, broadcast_id).texts == {"en": "hello"}

    def test_a_button_that_does_not_exist(self, api: Api, panel: Panel) -> None:
        broadcast_id = write(api.app)
        assert panel.post(f"{ROOT}/{broadcast_id}/explode").status_code == 404
        for path in ("", "/progress", "/edit"):
            assert panel.get(f"{ROOT}/{uuid.uuid4()}{path}").status_code == 404
        assert panel.post(f"{ROOT}/{uuid.uuid4()}/start").status_code == 404


class TestForm:
    def test_a_draft_is_written_and_changed(self, api: Api, panel: Panel) -> None:
        page = panel.post(
            f"{ROOT}/new",
            **typed(text_fa="<b>سلام</b>", text_en="hi", audience="active", language="fa"),
        )
        (row,) = rows(api.app, Broadcast)
        assert row.texts == {"fa": "<b>سلام</b>", "en": "hi"}
        assert (row.audience, row.product, row.language) == ("active", None, "fa")
        assert "&lt;b&gt;سلام&lt;/b&gt;" in page.text
        form = panel.get(f"{ROOT}/{row.id}/edit").text
        assert "&lt;b&gt;سلام&lt;/b&gt;</textarea>" in form
        assert '<option value="active" selected>' in form
        panel.post(f"{ROOT}/{row.id}/edit", **typed(text_en="bye", product="manga"))
        (row,) = rows(api.app, Broadcast)
        assert (row.texts, row.product, row.language) == ({"en": "bye"}, "manga", None)

    @pytest.mark.parametrize("path", ["new", "{id}/edit"])
    def test_what_was_typed_stays_when_it_is_refused(
        self, api: Api, panel: Panel, path: str
    ) -> None:
        broadcast_id = write(api.app)
        answer = panel.post(
            f"{ROOT}/{path.format(id=broadcast_id)}",
            **typed(text_en="<b>kept", text_ru="хорошо", audience="expired"),
        )
        assert answer.status_code == 400
        assert "&lt;b&gt;kept</textarea>" in answer.text
        assert "хорошо</textarea>" in answer.text
        assert '<option value="expired" selected>' in answer.text
        assert "&lt;b&gt; is never closed." in answer.text
        assert [row.texts for row in rows(api.app, Broadcast)] == [{"en": "hello"}]

    def test_nothing_typed_is_refused(self, api: Api, panel: Panel) -> None:
        answer = panel.post(f"{ROOT}/new", **typed())
        assert answer.status_code == 400
        assert "at least one language" in answer.text
        assert panel.post(f"{ROOT}/new", text_en="x", audience="some").status_code == 400
        assert count(api.app, Broadcast) == 0

    def test_what_was_started_is_not_edited(self, api: Api, panel: Panel) -> None:
        broadcast_id = start(api.app)
        assert panel.get(f"{ROOT}/{broadcast_id}/edit").status_code == 302
        panel.post(f"{ROOT}/{broadcast_id}/edit", **typed(text_en="other"))
        assert report(api.app, broadcast_id).texts == {"en": "hello"}


class TestButtons:
    def test_each_does_its_step_and_says_what_may_come_next(
        self, api: Api, panel: Panel, boss: Reader
    ) -> None:
        broadcast_id = write(api.app)

        def press(deed: str) -> set[str]:
            page = panel.post(f"{ROOT}/{broadcast_id}/{deed}")
            assert page.status_code == 200
            return set(re.findall(rf"{broadcast_id}/(\w+)\"", page.text)) & set(DEEDS)

        assert press("test") == {"start", "test", "cancel"}
        assert press("start") == {"pause", "test", "cancel"}
        assert press("pause") == {"resume", "test", "cancel"}
        assert press("resume") == {"pause", "test", "cancel"}
        assert press("cancel") == {"test"}
        assert state_of(api, broadcast_id) is State.CANCELLED
        assert {who for who, _action in audited(api.app)[1:]} == {boss.username}

    def test_one_that_comes_too_late_says_why(self, api: Api, panel: Panel) -> None:
        broadcast_id = start(api.app)
        page = panel.post(f"{ROOT}/{broadcast_id}/start")
        assert "the broadcast is running" in page.text
        assert state_of(api, broadcast_id) is State.RUNNING


class TestProgress:
    def test_the_script_reads_what_the_page_shows(self, api: Api, panel: Panel) -> None:
        make_users(api.app, 3)
        broadcast_id = start(api.app)
        feed(api.app)
        page = panel.get(f"{ROOT}/{broadcast_id}")
        assert f'data-progress="{ROOT}/{broadcast_id}/progress"' in page.text
        script = re.search(
            r'<script nonce="[\w-]+" src="(/static/backoffice/broadcasts\.js)"', page.text
        )
        assert script
        with api.client().get(script.group(1)) as file:
            assert file.status_code == 200
        news: dict[str, Any] = panel.get(f"{ROOT}/{broadcast_id}/progress").get_json()
        assert (news["state"], news["percent"]) == ("running", 0)
        assert set(re.findall(r'data-number="(\w+)"', page.text)) == set(news["shown"])
        assert (news["shown"]["audience"], news["shown"]["waiting"]) == ("4", "4")
        assert len(messages(api.app, broadcast_id)) == 4

    def test_in_persian_the_digits_are_persian(self, api: Api, panel: Panel) -> None:
        make_users(api.app, 11)
        broadcast_id = start(api.app)
        panel.post("/admin/sign-in/language", language="fa")
        news = panel.get(f"{ROOT}/{broadcast_id}/progress").get_json()
        assert news["shown"]["audience"] == "۱۲"
        page = panel.get(f"{ROOT}/{broadcast_id}").text
        assert 'dir="rtl"' in page
        assert "۱۲" in page

    def test_a_stranger_is_led_to_the_door(self, api: Api) -> None:
        assert api.client().get(f"{ROOT}/{write(api.app)}/progress").status_code == 302


class TestList:
    def test_states_and_progress(self, api: Api, panel: Panel) -> None:
        assert "There is nothing here." in panel.get(f"{ROOT}/").text
        write(api.app)
        start(api.app, language="uz")
        feed(api.app)
        start(api.app)
        page = panel.get(f"{ROOT}/").text
        cells = re.findall(r"<td>(Draft|Running|Finished)</td>\s*<td>([^<]+)</td>", page)
        assert cells == [("Running", "0%"), ("Finished", "100%"), ("Draft", "—")]

    def test_is_paged(self, api: Api, panel: Panel, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("manga_backend.kernel.broadcasts.admin.PAGE_SIZE", 2)
        ids = [str(write(api.app)) for _ in range(3)]
        for page, shown in (("", ids[:0:-1]), ("?page=2", ids[:1]), ("?page=x", ids[:0:-1])):
            text = panel.get(f"{ROOT}/{page}").text
            assert [i for i in reversed(ids) if i in text] == shown

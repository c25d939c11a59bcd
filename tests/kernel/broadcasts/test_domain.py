"""What Telegram takes as HTML, who reads which text, and percents."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from markupsafe import escape

from manga_backend.kernel.broadcasts.domain import (
    MarkupFault,
    check_html,
    percent_done,
    text_for,
    utf16_units,
)
from manga_backend.kernel.broadcasts.types import Counts
from tests.standins.telegram.entities import parse_text

GOOD = (
    "plain",
    "1 > 0 & so on",
    "&lt;b&gt; &amp; &#1587; &quot;",
    "<b>b</b><strong>s</strong><i>i</i><em>e</em><u>u</u><ins>i</ins>",
    "<s>s</s><strike>s</strike><del>d</del><code>c</code><pre>p</pre>",
    "<blockquote>q</blockquote><tg-spoiler>t</tg-spoiler>",
    '<a href="https://example.com/?a=1&amp;b=2">x</a>',
    "<a href='tg://user?id=1'>x</a>",
    '<A HREF="mailto:a@b.example">x</A>',
    "<b>a <i>b</i> c</b>\n\n<b>فصل تازه</b>",
    "x" * 4096,
    "<b>" + "x" * 4096 + "</b>",
    "&lt;" * 4096,
    "🙂" * 2048,
)
BAD = (
    ("", "empty"),
    (" \n\t\u200b ", "empty"),
    ("<b></b>", "empty"),
    ("<b> </b>", "empty"),
    ("x" * 4097, "4097"),
    ("🙂" * 2049, "4098"),
    ("<b>x" * 9000, "too long"),
    ("<b>x", "never closed"),
    ("x</b>", "closes"),
    ("<b><i>x</b></i>", "closes"),
    ('<a href="https://a.example">x</a href="https://b.example">', "closes"),
    ("1 < 2", "no tag"),
    ("<", "no tag"),
    ("<script>x</script>", "no tag"),
    ("<br>", "no tag"),
    ("<b/>", "no tag"),
    ("<b class='x'>x</b>", "no tag"),
    ("<b onclick=x>x</b>", "no tag"),
    ('<span class="tg-spoiler">x</span>', "no tag"),
    ("<a>x</a>", "address"),
    ('<a href="">x</a>', "address"),
    ('<a href="javascript:alert(1)">x</a>', "address"),
    ('<a href="example">x</a>', "address"),
    ('<b href="https://a.example">x</b>', "Only <a>"),
    ("a\x00b", "stored"),
    ("a\ud800b", "stored"),
)


class TestCheckHtml:
    @pytest.mark.parametrize("text", GOOD)
    def test_what_telegram_shows_is_taken(self, text: str) -> None:
        check_html(text)
        shown, _entities = parse_text(text, "HTML")
        assert 0 < utf16_units(shown) <= 4096

    @pytest.mark.parametrize(("text", "why"), BAD)
    def test_what_it_would_refuse_or_drop_is_not(self, text: str, why: str) -> None:
        with pytest.raises(MarkupFault) as refused:
            check_html(text)
        assert why in refused.value.words % refused.value.places

    @given(st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=200))
    def test_typed_text_is_taken_once_it_is_escaped(self, typed: str) -> None:
        assume(any(c.isprintable() and not c.isspace() for c in typed))
        check_html(str(escape(typed)))
        shown, _entities = parse_text(str(escape(typed)), "HTML")
        assert shown == typed.strip()

    @given(
        st.lists(
            st.sampled_from(
                [
                    "<b>",
                    "</b>",
                    "<i>",
                    "</i>",
                    "<",
                    ">",
                    "&lt;",
                    "x",
                    '<a href="https://a.b">',
                    "</a>",
                ]
            ),
            max_size=12,
        )
    )
    def test_whatever_is_taken_telegram_can_parse(self, parts: list[str]) -> None:
        text = "".join(parts)
        try:
            check_html(text)
        except MarkupFault:
            return
        shown, _entities = parse_text(text, "HTML")
        assert shown


class TestTextFor:
    @pytest.mark.parametrize(
        ("given", "language", "default", "expected"),
        [
            ({"fa": "f", "en": "e", "ru": "r"}, "ru", "fa", "r"),
            ({"fa": "f", "en": "e"}, "ru", "fa", "f"),
            ({"en": "e", "ru": "r"}, "uz", "fa", "e"),
            ({"uz": "u", "ru": "r"}, "ar", "fa", "r"),
            ({"fa": "f", "en": "e"}, None, "fa", "f"),
            ({"fa": "f", "en": "e"}, "xx", "en", "e"),
        ],
    )
    def test_falls_back_in_order(
        self, given: dict[str, str], language: str | None, default: str, expected: str
    ) -> None:
        assert text_for(given, language, default) == expected


class TestPercent:
    @given(*[st.integers(0, 1000)] * 4, st.booleans())
    def test_is_100_for_what_is_finished_alone(
        self, audience: int, left: int, waiting: int, cancelled: int, finished: bool
    ) -> None:
        counts = Counts(audience, 0, 0, 0, 0, waiting, cancelled, left)
        percent = percent_done(counts, finished=finished)
        assert 0 <= percent <= 100
        assert (percent == 100) is finished

    def test_counts_whoever_has_it_in_the_inbox_alone(self) -> None:
        counts = Counts(
            audience=10, queued=2, sent=1, blocked=0, failed=0, waiting=1, cancelled=0, left=4
        )
        assert percent_done(counts, finished=False) == 50

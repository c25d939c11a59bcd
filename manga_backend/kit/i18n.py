"""Texts in five languages: which one a caller reads, and how times and templates are written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import date, datetime
from functools import lru_cache
from typing import Any

from babel.support import NullTranslations, Translations
from flask import Flask, current_app, has_app_context, has_request_context, request
from flask_babel import Babel
from flask_babel.speaklater import LazyString
from markupsafe import Markup
from persiantools import digits

from manga_backend.kit.later import Later
from manga_backend.kit.money import decimal_string
from manga_backend.kit.settings import LANGUAGES, ROOT, CoreSettings, settings

jdatetime = Later("persiantools.jdatetime")

SOURCE_LANGUAGE = "en"
RIGHT_TO_LEFT = frozenset({"fa", "ar"})
LANGUAGES_BY_CODE = {
    "fa": "فارسی",
    "en": "English",
    "ru": "Русский",
    "uz": "Oʻzbekcha",
    "ar": "العربية",
}

_forced: ContextVar[str | None] = ContextVar("language", default=None)
_CALLER = "manga.language"


def N_(message: str) -> str:
    """Mark a text for translation where it is defined; it is translated where it is shown."""
    return message


@lru_cache(maxsize=len(LANGUAGES))
def _catalog(language: str) -> NullTranslations:
    return Translations.load(str(ROOT / "manga_backend" / "translations"), [language])


def gettext(message: str, **params: Any) -> str:
    """`message` in the language of the moment."""
    text = str(_catalog(language()).ugettext(message))
    return text % params if params else text


def gettext_lazy(message: str) -> LazyString:
    """For titles made at the start: translated each time they are shown."""
    return LazyString(gettext, message)


def language() -> str:
    """The forced language, else the caller's profile, else Accept-Language, else the default."""
    forced = _forced.get()
    if forced:
        return forced
    if not has_app_context():
        return SOURCE_LANGUAGE  # a title is looked at while the app is put together
    default = settings(CoreSettings).default_language
    if not has_request_context():
        return default
    chosen = request.environ.get(_CALLER)
    if chosen:
        return str(chosen)
    return asked_language() or default


def asked_language() -> str | None:
    """The best of our languages that Accept-Language names; None when it names none."""
    return request.accept_languages.best_match(LANGUAGES)


def set_caller_language(chosen: str | None) -> None:
    """Remember the language of the profile of whoever sent this request."""
    if chosen in LANGUAGES:
        request.environ[_CALLER] = chosen


@contextmanager
def in_language(chosen: str | None) -> Iterator[None]:
    """Write texts for a reader other than the caller; None means the default language."""
    token = _forced.set(chosen or settings(CoreSettings).default_language)
    try:
        yield
    finally:
        _forced.reset(token)


def supported(code: str | None) -> str | None:
    """`ru-RU` → `ru`; None for a language that we don't have."""
    short = (code or "").lower().partition("-")[0]
    return short if short in LANGUAGES else None


def render(template: str, chosen: str | None, **context: Any) -> str:
    """A template from `templates/` in one language, without the blanks around it."""
    with in_language(chosen):
        return current_app.jinja_env.get_template(template).render(**context).strip()


def local_digits(text: str) -> str:
    """Persian digits in Persian, ASCII digits elsewhere."""
    return str(digits.en_to_fa(text)) if language() == "fa" else text


def local_time(moment: datetime | None, *, with_time: bool = True) -> str:
    """A time as the reader says it: in TIMEZONE, Jalali with Persian digits in Persian."""
    if moment is None:
        return "—"
    local = moment.astimezone(settings(CoreSettings).timezone)
    shape = "%Y/%m/%d %H:%M" if with_time else "%Y/%m/%d"
    if language() == "fa":
        return str(jdatetime.JalaliDateTime(local).strftime(shape, locale="fa"))
    written = local.strftime(shape.replace("/", "-"))
    # After Arabic letters a bare date would be laid out day first (UAX #9).
    return (
        f"\N{LEFT-TO-RIGHT ISOLATE}{written}\N{POP DIRECTIONAL ISOLATE}"
        if (language() in RIGHT_TO_LEFT)
        else written
    )


def local_day(day: date) -> str:
    """A day as the reader says it, without its year: Jalali with Persian digits in Persian."""
    if language() == "fa":
        return str(jdatetime.JalaliDate(day).strftime("%m/%d", locale="fa"))
    return f"{day:%m-%d}"


def left_to_right(text: Any) -> Markup:
    """Isolate a hash, an address or a name from right-to-left text around it (UAX #9)."""
    return Markup("\N{LEFT-TO-RIGHT ISOLATE}{}\N{POP DIRECTIONAL ISOLATE}").format(text)


def init_app(app: Flask) -> None:
    """Flask-Babel for Flask-Admin's own texts; ours through the same catalogs in templates."""
    app.config["BABEL_TRANSLATION_DIRECTORIES"] = str(ROOT / "manga_backend" / "translations")
    Babel(app, locale_selector=language)
    app.jinja_env.add_extension("jinja2.ext.i18n")
    app.jinja_env.install_gettext_callables(  # type: ignore[attr-defined]
        gettext, _plural_for_templates, newstyle=True
    )
    app.jinja_env.filters.update(
        local_time=local_time,
        ltr=left_to_right,
        local_digits=lambda v: local_digits(str(v)),
        money=decimal_string,
    )
    app.jinja_env.globals.update(
        language=language, RIGHT_TO_LEFT=RIGHT_TO_LEFT, LANGUAGES=LANGUAGES_BY_CODE
    )


def _plural_for_templates(singular: str, plural: str, number: int) -> str:
    return str(_catalog(language()).ungettext(singular, plural, number))

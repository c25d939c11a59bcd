"""/start, /help, /language, /admin, /users."""

from __future__ import annotations

from manga_backend.kernel.identity import queries
from manga_backend.kernel.identity.errors import LinkCodeInvalid, TelegramIdTaken
from manga_backend.kernel.identity.messages import REACHABILITY_WORDS
from manga_backend.kernel.identity.service.accounts import set_language
from manga_backend.kernel.identity.service.telegram import verify_telegram_id
from manga_backend.kernel.telegram.queries import find_reachability
from manga_backend.kernel.telegram.service.menu import commands_for
from manga_backend.kernel.telegram.types import Button, Command, Message, Press
from manga_backend.kit.i18n import (
    LANGUAGES_BY_CODE,
    gettext,
    in_language,
    language,
    render,
    supported,
)
from manga_backend.kit.settings import CoreSettings, settings

NEWEST = 5


def start(command: Command) -> Message:
    """`/start CODE` verifies; a bare /start greets."""
    if not command.argument:
        return _page("messages/start.html")
    try:
        user = verify_telegram_id(command.argument, command.sender.id)
    except (LinkCodeInvalid, TelegramIdTaken) as refusal:
        return Message(refusal.message())
    return _page("messages/linked.html", username=user.label)


def help_(command: Command) -> Message:
    """What this sender may use. Also the answer to commands that don't exist."""
    return _page("messages/help.html", commands=commands_for(command.sender.id))


def choose_language(command: Command) -> Message:
    """`/language`: a button for each language, in its own words."""
    if queries.find_user_by_verified_telegram_id(command.sender.id) is None:
        return _page("messages/not_linked.html")
    buttons = [
        Button(name, data=f"{LANGUAGE_PRESS}:{code}") for code, name in LANGUAGES_BY_CODE.items()
    ]
    rows = [buttons[:2], buttons[2:4], buttons[4:]]
    return Message(render("messages/language.html", language()), rows)


LANGUAGE_PRESS = "lang"


def language_chosen(press: Press) -> str:
    """`lang:ru` is kept in the account that proved this Telegram id."""
    code = supported(press.argument)
    user = queries.find_user_by_verified_telegram_id(press.sender.id)
    if code is None:
        return gettext("This button does nothing any more.")
    if user is None:
        return gettext("This chat is not linked with an account yet.")
    set_language(user.id, code)
    with in_language(code):
        return gettext("From now on: %(language)s.", language=LANGUAGES_BY_CODE[code])


def admin(command: Command) -> Message:
    """`/admin`: what staff may use."""
    found = [(name, c) for name, c in commands_for(command.sender.id) if c.permission]
    return Message(render("messages/admin.html", language(), commands=found))


def users(command: Command) -> Message:
    """`/users` tells how many there are, `/users NAME` about one of them; UserNotFound."""
    if not command.argument:
        newest = queries.list_newest_users(NEWEST)
        totals = queries.count_users()
        return Message(render("messages/users.html", language(), newest=newest, totals=totals))
    user = queries.get_user_called(command.argument.removeprefix("@"))
    words = None
    if user.telegram_id is not None:
        words = gettext(REACHABILITY_WORDS[find_reachability(user.telegram_id)])
    return Message(render("messages/user.html", language(), user=user, reachability=words))


def _page(template: str, **context: object) -> Message:
    url = settings(CoreSettings).web_app_url
    buttons = [[Button(gettext("Open the site"), url=url)]] if url else []
    return Message(render(template, language(), **context), buttons)

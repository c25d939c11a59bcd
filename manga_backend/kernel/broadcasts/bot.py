"""/broadcast and the buttons below its answer."""

from __future__ import annotations

import uuid

from markupsafe import Markup, escape

from manga_backend.kernel.broadcasts import messages, queries
from manga_backend.kernel.broadcasts.domain import MAX_UNITS, text_for, utf16_units
from manga_backend.kernel.broadcasts.errors import BroadcastNotFound, StepNotAllowed
from manga_backend.kernel.broadcasts.events import BroadcastEnded
from manga_backend.kernel.broadcasts.models import STEPS
from manga_backend.kernel.broadcasts.permissions import SEND_BROADCASTS
from manga_backend.kernel.broadcasts.service import drafts
from manga_backend.kernel.broadcasts.service.commands import COMMANDS
from manga_backend.kernel.broadcasts.types import Audience, Draft, Report, State
from manga_backend.kernel.identity.service.telegram import staff_actor
from manga_backend.kernel.notifications.queries import list_told
from manga_backend.kernel.notifications.service.edits import edit_anew
from manga_backend.kernel.notifications.service.outbox import notify_chat
from manga_backend.kernel.notifications.types import Priority
from manga_backend.kernel.telegram.types import Button, Command, Message, Press
from manga_backend.kit.i18n import gettext, in_language, language, local_digits, render
from manga_backend.kit.principal import Forbidden
from manga_backend.kit.settings import CoreSettings, settings

WORD = "bc"
QUESTIONS = {"ask": "start", "ask_cancel": "cancel"}
AFTER = {"start": State.RUNNING, "cancel": State.CANCELLED}
SHOWN_UNITS = MAX_UNITS - 700
"""What the numbers and headings around the text leave of one message."""
CUT_CHARACTERS = 500


def write(command: Command) -> Message | None:
    """`/broadcast TEXT` makes a draft for everyone, the text as it was typed; alone it explains
    itself."""
    if command.actor is None:
        raise Forbidden
    if not command.argument:
        return Message(render(messages.HELP, language()))
    default = settings(CoreSettings).default_language
    draft = Draft({default: str(escape(command.argument))})
    broadcast = drafts.create_broadcast(draft, command.actor)
    _send_card(command.sender.id, queries.report(broadcast))
    return None


def press(press: Press) -> str:
    """`bc:WORD:HEX`: the right is asked anew for each press, then the message says what is now."""
    actor = staff_actor(press.sender.id, SEND_BROADCASTS)
    if actor is None:
        raise Forbidden
    word, _, number = press.argument.partition(":")
    try:
        broadcast_id = uuid.UUID(hex=number)
    except ValueError:
        raise BroadcastNotFound from None
    report = queries.report(queries.get_broadcast(broadcast_id))
    if word in QUESTIONS:
        return _ask(press.sender.id, report, word)
    command, _, seen = word.partition("-")
    if seen and seen != report.audience.value:
        return _ask(press.sender.id, report, command)  # it was changed since it was shown
    if command in COMMANDS:
        COMMANDS[command](broadcast_id, actor)
    elif word in list(Audience):
        drafts.edit_broadcast(broadcast_id, {"audience": Audience(word)}, actor)
    elif word != "refresh":
        return gettext("This button does nothing any more.")
    if word == "test":
        return gettext("Sent to you.")
    _refresh_card(press.sender.id, queries.report(queries.get_broadcast(broadcast_id)))
    return gettext("Done.")


def _ask(chat_id: int, report: Report, word: str) -> str:
    """Really? StepNotAllowed when it may not be done any more."""
    command = QUESTIONS.get(word, word)
    if AFTER[command] not in STEPS[report.state]:
        _refresh_card(chat_id, report)
        raise StepNotAllowed(report.state)
    _refresh_card(chat_id, report, asks=command)
    return gettext(messages.REALLY[command])


def show_end(ended: BroadcastEnded) -> None:
    """Every admin's last card of it shows how it ended."""
    cards = {c.chat_id: c for c in list_told(messages.card_key(ended.broadcast_id))}
    if not cards:
        return
    report = queries.report(queries.get_broadcast(ended.broadcast_id))
    for card in cards.values():
        with in_language(card.language):
            edit_anew(card, _card(report))


def _send_card(chat_id: int, report: Report) -> None:
    notify_chat(
        chat_id,
        _card(report),
        kind=messages.CARD_KIND,
        subject=messages.card_key(report.id),
        priority=Priority.DECISION,
        language=language(),
    )


def _refresh_card(chat_id: int, report: Report, *, asks: str = "") -> None:
    """Where it stands; anew for an admin who has none. `asks` whether to do that, really."""
    cards = [c for c in list_told(messages.card_key(report.id)) if c.chat_id == chat_id]
    if cards:
        edit_anew(cards[-1], _card(report, asks=asks))
    else:
        _send_card(chat_id, report)


def _card(report: Report, *, asks: str = "") -> Message:
    text = text_for(report.texts, None, settings(CoreSettings).default_language)
    if utf16_units(text) > SHOWN_UNITS:
        plain = Markup(text).striptags()  # noqa: S704  # checked when it was written
        text = f"{escape(plain[:CUT_CHARACTERS])}…"
    shown = render(
        messages.CARD,
        language(),
        report=report,
        text=Markup(text),  # noqa: S704  # checked when it was written
        state=gettext(messages.STATE_NAMES[report.state]),
        audience=gettext(messages.AUDIENCE_NAMES[report.audience]),
    )
    return Message(shown, _buttons(report, asks=asks))


def _buttons(report: Report, *, asks: str) -> list[list[Button]]:
    def button(words: str, word: str) -> Button:
        return Button(words, data=f"{WORD}:{word}:{report.id.hex}")

    def choice(audience: Audience) -> Button:
        mark = "✅ " if audience is report.audience else ""
        return button(mark + gettext(messages.AUDIENCE_NAMES[audience]), audience.value)

    steps = STEPS[report.state]
    may_cancel = State.CANCELLED in steps
    cancel = [button(gettext("Cancel the broadcast"), "ask_cancel")] if may_cancel else []
    if asks == "start":
        number = local_digits(str(report.counts.audience))
        really = gettext("Yes, send it (audience: %(number)s)", number=number)
        sends = button(really, f"start-{report.audience.value}")
        return [[sends], [button(gettext("Not yet"), "refresh")]]
    if asks == "cancel":
        really = gettext("Yes, cancel it for good")
        return [[button(really, "cancel")], [button(gettext("Back"), "refresh")]]
    if report.state is State.DRAFT:
        every = [[choice(audience)] for audience in Audience]
        test = button(gettext("Test to me"), "test")
        begin = button(gettext("Start sending"), "ask")
        return [*every, [test, begin], cancel]
    if report.state is State.RUNNING:
        step = button(gettext("Pause"), "pause")
    elif report.state is State.PAUSED:
        step = button(gettext("Resume"), "resume")
    else:
        return []
    return [[step, button(gettext("Refresh"), "refresh")], cancel]

"""Writing a broadcast, and trying it on oneself."""

from __future__ import annotations

import re
import uuid
from dataclasses import asdict, replace
from typing import Any

from sqlalchemy import update

from manga_backend.kernel.backoffice.service import record_audit
from manga_backend.kernel.backoffice.types import Actor
from manga_backend.kernel.broadcasts.domain import MarkupFault, check_html
from manga_backend.kernel.broadcasts.errors import BotIsOff, NoTelegramChat, StepNotAllowed
from manga_backend.kernel.broadcasts.messages import TEST_KIND, test_key
from manga_backend.kernel.broadcasts.models import Broadcast
from manga_backend.kernel.broadcasts.queries import get_broadcast
from manga_backend.kernel.broadcasts.types import Draft, State
from manga_backend.kernel.identity.queries import get_contact
from manga_backend.kernel.memberships.queries import is_product
from manga_backend.kernel.notifications.service.outbox import notify_chat
from manga_backend.kernel.notifications.types import Priority
from manga_backend.kernel.telegram.types import Message
from manga_backend.kit import clock
from manga_backend.kit.db import session
from manga_backend.kit.i18n import gettext, local_digits
from manga_backend.kit.problems import InvalidInput
from manga_backend.kit.settings import LANGUAGES

_BARE_LINE_ENDS = re.compile("\r\n?")


def create_broadcast(draft: Draft, actor: Actor) -> Broadcast:
    """Keep a new draft. InvalidInput names each text that Telegram would not take."""
    checked = _checked(draft)
    broadcast = Broadcast(
        **asdict(checked),
        state=State.DRAFT,
        created_by=actor.key,
        created_by_label=actor.label,
        created_at=clock.now(),
    )
    current = session()
    current.add(broadcast)
    current.flush()
    record_audit(actor, "broadcast.created", "broadcast", broadcast.id, after=_facts(checked))
    return broadcast


def edit_broadcast(broadcast_id: uuid.UUID, changes: dict[str, Any], actor: Actor) -> Broadcast:
    """Change fields of a Draft; the same changes again change nothing.

    InvalidInput as for a new one; StepNotAllowed once it was started or cancelled.
    """
    broadcast = get_broadcast(broadcast_id)
    before = _draft_of(broadcast)
    after = _checked(replace(before, **changes))
    if after == before and broadcast.state is State.DRAFT:
        return broadcast
    current = session()
    changed = current.execute(
        update(Broadcast)
        .where(Broadcast.id == broadcast_id, Broadcast.state == State.DRAFT)
        .values(**asdict(after))
        .execution_options(synchronize_session=False)
    )
    broadcast = get_broadcast(broadcast_id)
    if changed.rowcount == 0:  # type: ignore[attr-defined]
        raise StepNotAllowed(broadcast.state)
    record_audit(
        actor,
        "broadcast.edited",
        "broadcast",
        broadcast_id,
        before=_facts(before),
        after=_facts(after),
    )
    return broadcast


def send_test(broadcast_id: uuid.UUID, actor: Actor) -> int:
    """Each of its texts to the chat of whoever acts; returns how many. No count includes them.

    NoTelegramChat, BotIsOff.
    """
    broadcast = get_broadcast(broadcast_id)
    chat_id = _chat_of(actor)
    for language in sorted(broadcast.texts, key=LANGUAGES.index):
        queued = notify_chat(
            chat_id,
            Message(broadcast.texts[language]),
            kind=TEST_KIND,
            subject=test_key(broadcast_id),
            priority=Priority.RECEIPT,
            language=language,
            user_id=actor.user_id,
        )
        if queued is None:
            raise BotIsOff
    record_audit(actor, "broadcast.tested", "broadcast", broadcast_id)
    return len(broadcast.texts)


def _chat_of(actor: Actor) -> int:
    """A listed admin without an account is known by the Telegram id alone."""
    if actor.user_id is not None:
        chat_id = get_contact(actor.user_id).chat_id
        if chat_id is not None:
            return chat_id
    kind, _, number = actor.key.partition(":")
    if kind == "telegram":
        return int(number)
    raise NoTelegramChat


def _checked(draft: Draft) -> Draft:
    """With bare line ends and no blanks around the texts; InvalidInput names what is wrong."""
    errors: dict[str, list[str]] = {}
    texts = {code: _BARE_LINE_ENDS.sub("\n", t).strip() for code, t in draft.texts.items()}
    if not texts:
        errors["texts"] = [gettext("Write the text in at least one language.")]
    for code, text in texts.items():
        if code not in LANGUAGES:
            errors[f"texts.{code}"] = [gettext("There is no such language.")]
            continue
        try:
            check_html(text)
        except MarkupFault as fault:
            places = {name: _written(place) for name, place in fault.places.items()}
            errors[f"texts.{code}"] = [gettext(fault.words, **places)]
    if draft.language is not None and draft.language not in LANGUAGES:
        errors["language"] = [gettext("There is no such language.")]
    if draft.product is not None and not is_product(draft.product):
        errors["product"] = [gettext("There is no such product.")]
    if errors:
        raise InvalidInput(errors)
    return replace(draft, texts=texts)


def _written(place: object) -> str:
    return local_digits(str(place)) if isinstance(place, int) else str(place)


def _draft_of(broadcast: Broadcast) -> Draft:
    return Draft(
        broadcast.texts, broadcast.audience, product=broadcast.product, language=broadcast.language
    )


def _facts(draft: Draft) -> dict[str, Any]:
    return {**asdict(draft), "audience": draft.audience.value}

"""Questions to the admins, and what a kind of question must be able to do."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from manga_backend.kernel.backoffice.types import Actor


class Decision(StrEnum):
    """What an admin may say."""

    APPROVE = "approve"
    REJECT = "reject"


OPTION = "option"
"""The button that approves in another way than was asked for."""


class State(StrEnum):
    """pending → approved | rejected, once."""

    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class Fact:
    """One line of what an admin must know. `code` values are shown left to right in one piece.
    `is_private` ones are not for the log channel."""

    label: str
    value: str
    code: bool = False
    url: str | None = None
    is_private: bool = False


class Asker(Protocol):
    """A user, as far as admins must know one to decide."""

    @property
    def label(self) -> str:
        """What people call the account."""

    @property
    def first_name(self) -> str | None:
        """As Telegram told it."""

    @property
    def telegram_username(self) -> str | None:
        """The same."""

    @property
    def telegram_id(self) -> int | None:
        """A claim, as long as it is not verified."""

    @property
    def telegram_verified_at(self) -> datetime | None:
        """When it was proved."""

    @property
    def banned_at(self) -> datetime | None:
        """None: not banned."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, in the language of the moment."""

    title: str
    facts: list[Fact]
    user_id: int | None = None
    """Whose page in the panel has more."""


@dataclass(frozen=True, slots=True)
class Option:
    """Another way to approve: `key` (at most 20 letters and digits) changes when what is offered
    does; `label` is in the language of the moment."""

    key: str
    label: str


@dataclass(frozen=True, slots=True)
class Look:
    """What is known of one question now, in the language of the moment. `option` is another way to
    approve it; `is_clear`: nothing speaks against it, so that it may be approved with others."""

    question: Question
    option: Option | None = None
    is_clear: bool = False


Sight = Callable[[], Look]
"""What was read of one question, to be put into the language of the moment."""


class Subject(Protocol):
    """A kind of thing that is approved; all methods run inside the decision's transaction."""

    def look_at(self, subject_ids: Collection[str]) -> dict[str, Sight]:
        """What admins read and may do, read once for all languages; as many queries for many as for
        one."""

    def needs_two(self, subject_id: str) -> bool:
        """Whether two different admins must approve it (FOUR_EYES_ABOVE)."""

    def approve(self, subject_id: str, actor: Actor, option: str | None = None) -> None:
        """Do what was asked for; with `option`, which was checked to be that of its Look now,
        that instead."""

    def reject(self, subject_id: str, actor: Actor, reason: str | None) -> None:
        """Say no."""

"""Questions to the admins, and what a kind of question must be able to do."""

from __future__ import annotations

from dataclasses import dataclass
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
    """One line of what an admin must know. `code` values are shown left to right in one piece."""

    label: str
    value: str
    code: bool = False
    url: str | None = None


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


class Subject(Protocol):
    """A kind of thing that is approved; all methods run inside the decision's transaction."""

    def describe(self, subject_id: str) -> Question:
        """What admins read, in the language of the moment."""

    def needs_two(self, subject_id: str) -> bool:
        """Whether two different admins must approve it (FOUR_EYES_ABOVE)."""

    def is_clear(self, subject_id: str) -> bool:
        """Whether nothing speaks against it, so that it may be approved together with others."""

    def find_option(self, subject_id: str) -> Option | None:
        """Another way to approve it, if there is one now."""

    def approve(self, subject_id: str, actor: Actor, option: str | None = None) -> None:
        """Do what was asked for; with `option`, which was checked to be the key of find_option()
        now, that instead."""

    def reject(self, subject_id: str, actor: Actor, reason: str | None) -> None:
        """Say no."""

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


class Subject(Protocol):
    """A kind of thing that is approved; all methods run inside the decision's transaction."""

    def describe(self, subject_id: str) -> Question:
        """What admins read, in the language of the moment."""

    def needs_two(self, subject_id: str) -> bool:
        """Whether two different admins must approve it (FOUR_EYES_ABOVE)."""

    def approve(self, subject_id: str, actor: Actor) -> None:
        """Do what was asked for."""

    def reject(self, subject_id: str, actor: Actor, reason: str | None) -> None:
        """Say no."""

"""What happens at the desk."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class QuestionDecided:
    """A person, or the user who took it back, decided; `waited_seconds` since it was filed."""

    kind: str
    waited_seconds: int

"""What a check of the deployment says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Check:
    """`vital`: without it no request can be served."""

    ok: bool
    detail: str
    vital: bool = False


Checker = Callable[[], Check]

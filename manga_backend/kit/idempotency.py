"""`Idempotency-Key`: the same request twice is done once and answered alike."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import wraps
from typing import Any, TypeVar

from flask import Response, request
from sqlalchemy import Text, UniqueConstraint, delete, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, mapped_column

from manga_backend.kit import clock
from manga_backend.kit.app import OWNS
from manga_backend.kit.db import BigId, Model, in_transaction, rollback, session, transaction
from manga_backend.kit.i18n import N_
from manga_backend.kit.principal import principal
from manga_backend.kit.problems import (
    DomainError,
    InvalidInput,
    from_domain_error,
    request_id,
)

F = TypeVar("F", bound=Callable[..., Any])

KEEP = timedelta(hours=24)
LEASE = timedelta(seconds=60)
_KEY = re.compile(r"[\x21-\x7e]{1,255}")


class IdempotencyKey(Model):
    """One key of one user: what was asked, and the answer once there is one."""

    __tablename__ = "idempotency_keys"
    __table_args__ = (UniqueConstraint("user_id", "key"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    user_id: Mapped[int]
    key: Mapped[str] = mapped_column(Text)
    fingerprint: Mapped[str]
    status: Mapped[int | None]
    body: Mapped[str | None]
    content_type: Mapped[str | None]
    leased_until: Mapped[datetime]
    created_at: Mapped[datetime] = mapped_column(index=True)


class KeyReused(DomainError):
    """The key was used for another request."""

    status = 422
    code = "idempotency_key_reused"
    detail = N_("This Idempotency-Key was used for another request.")


class StillRunning(DomainError):
    """The first request with this key has not ended yet."""

    status = 409
    code = "idempotency_key_running"
    detail = N_("The first request with this Idempotency-Key is still running.")
    headers = {"Retry-After": "1"}


REFUSALS = (KeyReused, StillRunning)
FAULTS = frozenset({400, 401, 429, 500, 503})
"""Answers that are not kept: the same key may try again."""


def idempotent(view: F) -> F:
    """Below `require(...)`: honours the optional Idempotency-Key header of a signed-in POST.

    The answer is stored in the transaction of the change itself. A refusal by the business is an
    answer as well and is kept; a fault or a bad input is not, and the same key may try again.
    """

    @wraps(view)
    def once(*args: Any, **kwargs: Any) -> Any:
        key = request.headers.get("Idempotency-Key")
        if key is None:
            return view(*args, **kwargs)
        if not _KEY.fullmatch(key):
            raise InvalidInput({"Idempotency-Key": ["1 to 255 printable ASCII characters."]})
        user_id = principal().user_id
        row_id, answer = _claim(user_id, key, _fingerprint())
        if answer is not None:
            return answer
        try:
            response: Response = view(*args, **kwargs)
        except Exception as error:
            _end_refused(row_id, error)
            raise
        if getattr(view, OWNS, False):  # nothing is open any more
            in_transaction(lambda: _store(row_id, response))
        else:
            _store(row_id, response)
        return response

    once.__dict__.setdefault("_apidoc", {})["idempotent"] = True
    return once  # type: ignore[return-value]


def _fingerprint() -> str:
    parts = (request.method, request.path.rstrip("/"), request.get_data().decode("latin-1"))
    return hashlib.sha256("\n".join(parts).encode("latin-1", "replace")).hexdigest()


def _claim(user_id: int, key: str, fingerprint: str) -> tuple[int, Response | None]:
    """Take the key in a short transaction of its own, or find the answer that it already has."""
    now = clock.now()
    row = IdempotencyKey(
        user_id=user_id,
        key=key,
        fingerprint=fingerprint,
        leased_until=now + LEASE,
        created_at=now,
    )
    try:
        with transaction() as current:
            current.add(row)
            current.flush()
        return row.id, None
    except IntegrityError:
        pass
    with transaction() as current:
        found = current.scalar(
            select(IdempotencyKey)
            .where(IdempotencyKey.user_id == user_id, IdempotencyKey.key == key)
            .with_for_update()
        )
        if found is None:
            raise StillRunning  # it was just released; the caller may try at once
        if found.created_at + KEEP < now:
            found.fingerprint, found.status, found.created_at = fingerprint, None, now
        elif found.fingerprint != fingerprint:
            raise KeyReused
        elif found.status is not None:
            return found.id, _replay(found)
        elif found.leased_until > now:
            raise StillRunning
        found.leased_until = now + LEASE
        return found.id, None


def _replay(row: IdempotencyKey) -> Response:
    body = row.body or ""
    if row.status is not None and row.status >= 400:
        body = json.dumps({**json.loads(body), "request_id": request_id()})
    response = Response(body, row.status, content_type=row.content_type)
    response.headers["Idempotency-Replayed"] = "true"
    return response


def _store(row_id: int, response: Response) -> None:
    session().execute(
        update(IdempotencyKey)
        .where(IdempotencyKey.id == row_id)
        .values(
            status=response.status_code,
            body=response.get_data(as_text=True),
            content_type=response.content_type,
        )
    )


def _end_refused(row_id: int, error: Exception) -> None:
    if not getattr(error, "keeps_changes", False):
        rollback()
    with transaction() as current:
        if isinstance(error, DomainError) and error.status not in FAULTS:
            _store(row_id, from_domain_error(error))
        else:
            current.execute(delete(IdempotencyKey).where(IdempotencyKey.id == row_id))


def purge_idempotency_keys() -> None:
    """Forget keys after 24 h; may run at any time."""
    with transaction() as current:
        current.execute(
            delete(IdempotencyKey).where(IdempotencyKey.created_at < clock.now() - KEEP)
        )

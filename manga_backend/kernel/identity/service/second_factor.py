"""Authenticator apps: set up, asked for, lost."""

from __future__ import annotations

import uuid

from sqlalchemy import delete, update

from manga_backend.kernel.backoffice.service import record_audit
from manga_backend.kernel.backoffice.types import Actor
from manga_backend.kernel.identity import domain, queries
from manga_backend.kernel.identity.errors import CodeWrong, SecondFactorOn
from manga_backend.kernel.identity.models import RecoveryCode, SecondFactor
from manga_backend.kernel.identity.service.sessions import end_sessions, lock_user
from manga_backend.kernel.identity.types import EndReason
from manga_backend.kit import clock
from manga_backend.kit import db as database
from manga_backend.kit.codes import grouped
from manga_backend.kit.settings import CoreSettings, settings


def begin(user_id: int) -> str:
    """A new secret that counts once `confirm` was called, in place of one that never did: whoever
    saw that one has nothing. SecondFactorOn. Locks the user."""
    lock_user(user_id)
    found = queries.find_second_factor(user_id)
    if found is not None and found.confirmed_at is not None:
        raise SecondFactorOn
    secret = domain.new_totp_secret()
    sealed = domain.seal(secret, settings(CoreSettings).secret_key)
    current = database.session()
    if found is None:
        current.add(SecondFactor(user_id=user_id, sealed_secret=sealed, last_step=0))
    else:
        found.sealed_secret = sealed
    current.flush()
    return secret


def find_secret_to_confirm(user_id: int) -> str | None:
    """What `begin` made, as long as it was not confirmed."""
    found = queries.find_second_factor(user_id)
    return _secret_of(found) if found is not None and found.confirmed_at is None else None


def confirm(user_id: int, code: str, actor: Actor, session_id: uuid.UUID) -> list[str]:
    """The app makes right codes: from now on it is asked for, and all sessions but this one, which
    a password alone may have opened, end. Returns the recovery codes, which are shown this once.
    CodeWrong, SecondFactorOn. Locks the user. Audited."""
    user = lock_user(user_id)
    found = queries.find_second_factor(user_id)
    if found is None:
        raise CodeWrong
    if found.confirmed_at is not None:
        raise SecondFactorOn
    _take(found, code)
    found.confirmed_at = clock.now()
    end_sessions(user_id, EndReason.SIGNED_OUT, but=session_id)
    made = _new_recovery_codes(user_id)
    record_audit(actor, "user.second_factor_on", "user", user.public_id)
    return made


def prove(user_id: int, code: str) -> None:
    """A code of the app, or a recovery code, each once. CodeWrong. Locks the user."""
    lock_user(user_id)
    found = queries.find_second_factor(user_id)
    if found is None or found.confirmed_at is None:
        raise CodeWrong
    hashed = domain.recovery_hash(code)
    if hashed is not None and _use_recovery_code(user_id, hashed):
        return
    _take(found, code)


def renew_recovery_codes(user_id: int, actor: Actor) -> list[str]:
    """New ones in place of all that there are. Audited. CodeWrong without a second factor."""
    user = lock_user(user_id)
    if not queries.has_second_factor(user_id):
        raise CodeWrong
    made = _new_recovery_codes(user_id)
    record_audit(actor, "user.recovery_codes_renewed", "user", user.public_id)
    return made


def turn_off(user_id: int, actor: Actor) -> None:
    """A password is enough again. Twice changes nothing. Audited."""
    user = lock_user(user_id)
    current = database.session()
    gone = current.execute(delete(SecondFactor).where(SecondFactor.user_id == user_id))
    current.execute(delete(RecoveryCode).where(RecoveryCode.user_id == user_id))
    if gone.rowcount:  # type: ignore[attr-defined]
        record_audit(actor, "user.second_factor_off", "user", user.public_id)


def _secret_of(found: SecondFactor) -> str:
    """CodeWrong when it was sealed with another SECRET_KEY: `flask user reset-second-factor`."""
    try:
        return domain.unseal(found.sealed_secret, settings(CoreSettings).secret_key)
    except ValueError:
        raise CodeWrong from None


def _take(found: SecondFactor, code: str) -> None:
    step = domain.totp_step(_secret_of(found), code, clock.now())
    if step is None or step <= found.last_step:
        raise CodeWrong
    found.last_step = step
    database.session().flush()


def _use_recovery_code(user_id: int, hashed: str) -> bool:
    used = database.session().execute(
        update(RecoveryCode)
        .where(
            RecoveryCode.code_hash == hashed,
            RecoveryCode.user_id == user_id,
            RecoveryCode.used_at.is_(None),
        )
        .values(used_at=clock.now())
    )
    return bool(used.rowcount)  # type: ignore[attr-defined]


def _new_recovery_codes(user_id: int) -> list[str]:
    current = database.session()
    current.execute(delete(RecoveryCode).where(RecoveryCode.user_id == user_id))
    made = [domain.new_recovery_code() for _ in range(domain.RECOVERY_CODES)]
    current.add_all(
        RecoveryCode(code_hash=str(domain.recovery_hash(code)), user_id=user_id) for code in made
    )
    current.flush()
    return [grouped(code) for code in made]

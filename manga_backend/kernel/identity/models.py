"""Users, sessions and link codes."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, Text
from sqlalchemy.orm import Mapped, mapped_column

from manga_backend.kernel.identity.types import EndReason, Role, SessionKind
from manga_backend.kit.db import BigId, Model, enum_type, new_id, partial_index


class User(Model):
    """An account with at least one way in; `id` is ours alone, `public_id` is shown outside."""

    __tablename__ = "users"
    __table_args__ = (
        CheckConstraint(
            "username_key IS NOT NULL OR phone IS NOT NULL OR telegram_id IS NOT NULL",
            name="has_a_way_in",
        ),
        CheckConstraint(
            "(username IS NULL) = (username_key IS NULL)", name="username_with_its_key"
        ),
        CheckConstraint(
            "telegram_verified_at IS NULL OR telegram_id IS NOT NULL", name="verified_telegram_id"
        ),
        CheckConstraint("phone_verified_at IS NULL OR phone IS NOT NULL", name="verified_phone"),
        Index(None, "created_at"),
        partial_index("ix_users_staff", "role", where="role <> 'user'"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    public_id: Mapped[uuid.UUID] = mapped_column(unique=True, default=new_id)
    username: Mapped[str | None]
    username_key: Mapped[str | None] = mapped_column(Text, unique=True)
    """The username in lower case: what uniqueness and sign-in go by."""
    password_hash: Mapped[str | None]
    phone: Mapped[str | None] = mapped_column(Text, unique=True)
    """E.164."""
    phone_verified_at: Mapped[datetime | None]
    telegram_id: Mapped[int | None] = mapped_column(BigInteger, unique=True)
    """A claim until `telegram_verified_at` is set."""
    telegram_verified_at: Mapped[datetime | None]
    first_name: Mapped[str | None]
    telegram_username: Mapped[str | None]
    """As Telegram called the person when it last vouched for it, at `profile_at`."""
    profile_at: Mapped[datetime | None]
    role: Mapped[Role] = mapped_column(enum_type(Role, "role"), default=Role.USER)
    language: Mapped[str | None]
    banned_at: Mapped[datetime | None] = mapped_column(index=True)
    ban_reason: Mapped[str | None]
    created_at: Mapped[datetime]

    @property
    def label(self) -> str:
        """What people call this account."""
        return self.username or self.phone or f"telegram:{self.telegram_id}"


class Session(Model):
    """One sign-in on one device; its salt is inside every token it issued."""

    __tablename__ = "sessions"
    __table_args__ = (
        CheckConstraint("(ended_at IS NULL) = (end_reason IS NULL)", name="ended_for_a_reason"),
        CheckConstraint("generation >= 0", name="generation_not_negative"),
        partial_index("ix_sessions_live", "user_id", "kind", "product", where="ended_at IS NULL"),
        Index(None, "expires_at"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    kind: Mapped[SessionKind] = mapped_column(enum_type(SessionKind, "kind"))
    product: Mapped[str]
    salt: Mapped[str]
    generation: Mapped[int] = mapped_column(default=0)
    address: Mapped[str | None]
    user_agent: Mapped[str | None]
    created_at: Mapped[datetime]
    refreshed_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    proven_at: Mapped[datetime | None]
    """Of a panel session: when whoever holds it last showed who it is."""
    ended_at: Mapped[datetime | None]
    end_reason: Mapped[EndReason | None] = mapped_column(enum_type(EndReason, "end_reason"))


class SecondFactor(Model):
    """An authenticator app of one user (RFC 6238); it counts once `confirmed_at` is set."""

    __tablename__ = "second_factors"

    user_id: Mapped[int] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    sealed_secret: Mapped[str]
    """Encrypted with a key made of SECRET_KEY: a copy of the database alone makes no codes."""
    confirmed_at: Mapped[datetime | None]
    last_step: Mapped[int] = mapped_column(BigInteger, default=0)
    """Of the last code that was taken: neither it nor an older one is taken again."""


class RecoveryCode(Model):
    """A one-use code for whoever lost the authenticator; stored hashed."""

    __tablename__ = "recovery_codes"

    code_hash: Mapped[str] = mapped_column(Text, primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    used_at: Mapped[datetime | None]


class UsedLogin(Model):
    """A payload of the Login Widget that has signed somebody in."""

    __tablename__ = "used_logins"

    proof: Mapped[str] = mapped_column(Text, primary_key=True)
    expires_at: Mapped[datetime] = mapped_column(index=True)


class LinkCode(Model):
    """A one-use code that ties a Telegram id to an account; stored hashed."""

    __tablename__ = "link_codes"

    code_hash: Mapped[str] = mapped_column(Text, primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)
    used_at: Mapped[datetime | None]

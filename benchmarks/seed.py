"""A database with so many users, and tokens of some of them."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass

import psycopg2
from flask_migrate import upgrade
from sqlalchemy import or_, select, text

from manga_backend.app import create_app
from manga_backend.kernel.identity.domain import hash_password
from manga_backend.kernel.identity.models import Session, User
from manga_backend.kernel.identity.service.tokens import issue_tokens
from manga_backend.kernel.identity.types import Role
from manga_backend.kit.db import db, transaction

PASSWORD = "correct horse battery"
ACTIVE = 600
"""Readers who ask: their tokens are used again and again, as those of real readers are. As many
with a thousand users as with a million, or it would not be the users that are compared."""
ADMINS = 50
MOST_NAMES = 20_000
ORDERS = 20_000
"""Open ones, on each page of twenty clients whatever the number of users, none of them a reader;
and one for each user that is past."""
DECIDE = """
UPDATE payments SET status = 'rejected', decided_at = now(), decided_by = 'bench'
WHERE status = 'pending'
"""
USERS = """
INSERT INTO users (public_id, username, username_key, password_hash, telegram_id, role, created_at,
                   telegram_verified_at)
SELECT gen_random_uuid(), 'reader' || n, 'reader' || n, :hash, 900000000 + n, 'user',
       now() - interval '1 day' * (n % 365), now()
FROM generate_series(1, :count) n
"""
AROUND = (
    """INSERT INTO sessions (id, user_id, kind, product, salt, generation, created_at, refreshed_at,
                             expires_at)
       SELECT gen_random_uuid(), id, 'token', 'manga', md5(id::text), 1, now(), now(),
              now() + interval '30 days' FROM users""",
    """INSERT INTO subscriptions (id, user_id, product, plan_code, started_at, expires_at)
       SELECT gen_random_uuid(), id, 'manga', 'monthly', now() - interval '10 days',
              now() + interval '1 day' * (id % 30 + 1) FROM users WHERE id % 5 > 0""",
    """INSERT INTO invoices (id, user_id, product, item_code, item, title, fulfilment, amount,
                             currency, status, created_at, paid_at)
       SELECT gen_random_uuid(), id, 'manga', 'monthly', '{}', 'Monthly', 'memberships.days',
              5000000, 'USDT', 'paid', now(), now() FROM users""",
    """INSERT INTO payments (id, invoice_id, user_id, method, status, amount, currency, network,
                             tx_hash, submitted_at, decided_at)
       SELECT gen_random_uuid(), id, user_id, 'crypto', 'approved', amount, currency, 'tron',
              md5(id::text) || md5(user_id::text), now(), now() FROM invoices""",
    """INSERT INTO urgent_orders (id, client_id, category, category_key, description, city,
                                  city_key, contact, status, executors_count, created_at,
                                  expires_at, changed_at)
       SELECT 'bench' || lpad(CAST(n AS text), 7, '0'),
              (n / 600 % 20 * 10 + n % 10) % (:count / 5) * 5 + 5,
              'Plumbing', 'plumbing',
              'The tap has burst, please come now',
              'City ' || n % 50, 'city ' || n % 50, '@client' || n, 'active', 0,
              now() - interval '1 second' * (n % 600), now() + interval '50 minutes', now()
       FROM generate_series(1, :orders) n""",
    """INSERT INTO urgent_orders (id, client_id, category, category_key, description, city,
                                  city_key, contact, status, executors_count, created_at,
                                  expires_at, changed_at)
       SELECT 'past' || lpad(CAST(n AS text), 8, '0'), n, 'Plumbing', 'plumbing',
              'The tap has burst, please come now',
              'City ' || n % 50, 'city ' || n % 50, '@client' || n, 'expired', 0,
              now() - interval '2 hours' - interval '20 seconds' * n,
              now() - interval '1 hour' - interval '20 seconds' * n, now() - interval '1 hour'
       FROM generate_series(1, :count) n""",
    r"""INSERT INTO ledger_accounts (code, kind, currency, user_id, debits_posted, credits_posted,
                                    debits_pending, credits_pending, created_at)
       SELECT format('wallet\:%s\:RUB', id), 'wallet', 'RUB', id, 0, 100000000, 0, 0, now()
       FROM users""",
    "CREATE TABLE peer_payments (id bigserial PRIMARY KEY, user_id bigint NOT NULL,"
    " tx_hash text UNIQUE NOT NULL, status text NOT NULL)",
    "CREATE TABLE peer_outbox (id bigserial PRIMARY KEY, kind text NOT NULL,"
    " payload jsonb NOT NULL)",
    "CREATE TABLE peer_logins (id bigserial PRIMARY KEY, user_id bigint NOT NULL,"
    " salt text NOT NULL)",
)


@dataclass(frozen=True)
class Reader:
    """Somebody who asks."""

    username: str
    access: str
    refresh: str


@dataclass(frozen=True)
class Seeded:
    """What the load needs."""

    readers: list[Reader]
    names: list[str]
    """Others, who sign in: it would end the sessions of those above."""
    admins: list[str]
    seconds: float
    dsn: str

    def decide_all(self) -> None:
        """Nobody has a payment that waits any more: each may have three."""
        with closing(psycopg2.connect(self.dsn)) as connection, connection:
            connection.cursor().execute(DECIDE)


def seed(settings: dict[str, str], count: int) -> Seeded:
    """Migrate and fill an empty database; `count` users, each with a session and a payment."""
    began = time.monotonic()
    app = create_app(settings)
    with app.app_context():
        upgrade()
        with db.engine.begin() as connection:
            connection.execute(text("SET LOCAL session_replication_role = replica"))
            given = {"count": count, "hash": hash_password(PASSWORD)}
            connection.execute(text(USERS), given)
            for statement in AROUND:
                bound = text(statement)
                named = {"count": count, "orders": ORDERS}
                used = {name: named[name] for name in bound._bindparams}
                connection.execute(bound, used)
        with db.engine.connect() as connection:
            connection.execution_options(isolation_level="AUTOCOMMIT").execute(
                text("VACUUM ANALYZE")
            )
        with transaction() as current:
            # Off Telegram: each of them would be asked about each payment.
            many = text(
                "UPDATE users SET role = 'admin', telegram_id = NULL, telegram_verified_at = NULL"
                " WHERE id <= :admins"
            )
            current.execute(many, {"admins": ADMINS})
        with transaction() as current:
            rows = current.execute(
                select(User, Session)
                .join(Session, Session.user_id == User.id)
                .where(or_(User.id <= ADMINS, User.id % 5 > 0))  # all of them have paid
                .order_by(User.id)
                .limit(ADMINS + min(ACTIVE, count * 3 // 5))
            ).all()
            made = [(user, issue_tokens(user, session)) for user, session in rows]
        readers = [
            Reader(str(user.username), tokens.access_token, tokens.refresh_token)
            for user, tokens in made
            if user.role is Role.USER
        ]
        for engine in db.engines.values():
            engine.dispose()
    admins = [tokens.access_token for user, tokens in made if user.role is Role.ADMIN]
    last = max(user.id for user, _ in made)
    names = [f"reader{n}" for n in range(last + 1, min(count, last + MOST_NAMES) + 1)]
    seconds = time.monotonic() - began
    return Seeded(readers, names, admins, seconds, settings["DATABASE_URL"])

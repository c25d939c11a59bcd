"""Broadcasts, reachability of chats, notices and reminders, device tokens.

Revision: 0002, after 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = '0002'
down_revision = '0001'
branch_labels = None
depends_on = None

OLD_STATES = "'new', 'sent', 'failed', 'dead', 'cancelled'"
NEW_STATES = "'new', 'sent', 'failed', 'dead', 'unreachable', 'held', 'cancelled'"


def change_states(old: str, new: str) -> None:
    """Other words in the CHECK of notifications.status; no row is touched or copied.

    SQLite cannot alter a constraint, and copying the table would cascade through its foreign key
    to itself. Its documentation ("Making Other Kinds Of Table Schema Changes") has the way taken
    here for changes that leave the rows as they are.
    """
    if op.get_bind().dialect.name == "postgresql":
        op.drop_constraint(op.f("ck_notifications_status"), "notifications", type_="check")
        op.create_check_constraint(op.f("ck_notifications_status"), "notifications", f"status IN ({new})")
        return
    version = op.get_bind().scalar(sa.text("PRAGMA schema_version"))
    op.execute("PRAGMA writable_schema = ON")
    op.get_bind().execute(
        sa.text(
            "UPDATE sqlite_master SET sql = replace(sql, :old, :new)"
            " WHERE type = 'table' AND name = 'notifications'"
        ),
        {"old": f"status IN ({old})", "new": f"status IN ({new})"},
    )
    op.execute(f"PRAGMA schema_version = {version + 1}")
    op.execute("PRAGMA writable_schema = OFF")


def upgrade() -> None:
    change_states(OLD_STATES, NEW_STATES)
    op.create_table('broadcasts',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('texts', sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), 'postgresql'), nullable=False),
    sa.Column('audience', sa.Enum('all', 'active', 'expiring', 'expired', name='audience', native_enum=False, create_constraint=True, length=32), nullable=False),
    sa.Column('product', sa.Text(), nullable=True),
    sa.Column('language', sa.Text(), nullable=True),
    sa.Column('state', sa.Enum('draft', 'running', 'paused', 'finished', 'cancelled', name='state', native_enum=False, create_constraint=True, length=32), nullable=False),
    sa.Column('cursor', sa.BigInteger(), nullable=False),
    sa.Column('audience_size', sa.Integer(), nullable=True),
    sa.Column('outcome', sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), 'postgresql'), nullable=True),
    sa.Column('created_by', sa.Text(), nullable=False),
    sa.Column('created_by_label', sa.Text(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('started_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('finished_at', sa.DateTime(timezone=True), nullable=True),
    sa.CheckConstraint("state IN ('draft', 'cancelled') OR started_at IS NOT NULL", name=op.f('ck_broadcasts_started_has_time')),
    sa.CheckConstraint("(state IN ('finished', 'cancelled')) = (finished_at IS NOT NULL)", name=op.f('ck_broadcasts_ended_has_time')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_broadcasts'))
    )
    with op.batch_alter_table('broadcasts', schema=None) as batch_op:
        batch_op.create_index('ix_broadcasts_running', ['id'], unique=False, postgresql_where=sa.text("state = 'running'"), sqlite_where=sa.text("state = 'running'"))

    op.create_table('telegram_chats',
    sa.Column('chat_id', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('reachability', sa.Enum('unknown', 'enabled', 'needs_start', 'blocked', 'deactivated', name='reachability', native_enum=False, create_constraint=True, length=32), nullable=False),
    sa.Column('changed_at', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('chat_id', name=op.f('pk_telegram_chats'))
    )
    op.create_table('device_tokens',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('user_id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('token', sa.Text(), nullable=False),
    sa.Column('platform', sa.Text(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('seen_at', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['user_id'], ['users.id'], name=op.f('fk_device_tokens_user_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_device_tokens')),
    sa.UniqueConstraint('token', name=op.f('uq_device_tokens_token'))
    )
    with op.batch_alter_table('device_tokens', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_device_tokens_user_id'), ['user_id'], unique=False)

    op.create_table('subscription_notices',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('subscription_id', sa.Uuid(), nullable=False),
    sa.Column('stage', sa.Enum('three_days', 'one_day', 'ended', name='stage', native_enum=False, create_constraint=True, length=32), nullable=False),
    sa.Column('expires_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('at', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['subscription_id'], ['subscriptions.id'], name=op.f('fk_subscription_notices_subscription_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_subscription_notices')),
    sa.UniqueConstraint('subscription_id', 'stage', 'expires_at', name=op.f('uq_subscription_notices_subscription_id_stage_expires_at'))
    )
    with op.batch_alter_table('subscription_notices', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_subscription_notices_expires_at'), ['expires_at'], unique=False)

    with op.batch_alter_table('approvals', schema=None) as batch_op:
        batch_op.add_column(sa.Column('reminders', sa.SmallInteger(), server_default='0', nullable=False))
        batch_op.add_column(sa.Column('asked_at', sa.DateTime(timezone=True), nullable=True))

    with op.batch_alter_table('notifications', schema=None) as batch_op:
        batch_op.drop_index('ix_notifications_waiting')
        batch_op.create_index('ix_notifications_waiting', ['priority', 'due_at', 'id'], unique=False, postgresql_where=sa.text("status IN ('new', 'failed')"), sqlite_where=sa.text("status IN ('new', 'failed')"))
        batch_op.drop_index(batch_op.f('ix_notifications_subject'))
        batch_op.create_index(batch_op.f('ix_notifications_subject_status'), ['subject', 'status'], unique=False)

    with op.batch_alter_table('subscriptions', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_subscriptions_expires_at'), ['expires_at'], unique=False)

    with op.batch_alter_table('telegram_poller', schema=None) as batch_op:
        batch_op.add_column(sa.Column('menu_digest', sa.Text(), nullable=True))



def downgrade() -> None:
    op.execute("UPDATE notifications SET status = 'dead' WHERE status IN ('unreachable', 'held')")
    change_states(NEW_STATES, OLD_STATES)
    with op.batch_alter_table('telegram_poller', schema=None) as batch_op:
        batch_op.drop_column('menu_digest')

    with op.batch_alter_table('subscriptions', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_subscriptions_expires_at'))

    with op.batch_alter_table('notifications', schema=None) as batch_op:
        batch_op.drop_index('ix_notifications_waiting')
        batch_op.create_index('ix_notifications_waiting', ['priority', 'due_at'], unique=False, postgresql_where=sa.text("status IN ('new', 'failed')"), sqlite_where=sa.text("status IN ('new', 'failed')"))
        batch_op.drop_index(batch_op.f('ix_notifications_subject_status'))
        batch_op.create_index(batch_op.f('ix_notifications_subject'), ['subject'], unique=False)

    with op.batch_alter_table('approvals', schema=None) as batch_op:
        batch_op.drop_column('asked_at')
        batch_op.drop_column('reminders')

    with op.batch_alter_table('subscription_notices', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_subscription_notices_expires_at'))

    op.drop_table('subscription_notices')
    with op.batch_alter_table('device_tokens', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_device_tokens_user_id'))

    op.drop_table('device_tokens')
    op.drop_table('telegram_chats')
    with op.batch_alter_table('broadcasts', schema=None) as batch_op:
        batch_op.drop_index('ix_broadcasts_running', postgresql_where=sa.text("state = 'running'"), sqlite_where=sa.text("state = 'running'"))

    op.drop_table('broadcasts')

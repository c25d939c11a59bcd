"""Withdrawals, and what the first of two admins chose.

Revision: 0008, after 0007
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = '0008'
down_revision = '0007'
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table('approvals', schema=None) as batch_op:
        batch_op.add_column(sa.Column('first_option', sa.Text(), nullable=True))

    op.create_table('payouts',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('user_id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('amount', sa.BigInteger(), nullable=False),
    sa.Column('currency', sa.Text(), nullable=False),
    sa.Column('network', sa.Enum('tron', 'ethereum', 'bsc', 'polygon', 'ton', 'bitcoin', name='network', native_enum=False, create_constraint=True, length=32), nullable=False),
    sa.Column('address', sa.Text(), nullable=False),
    sa.Column('status', sa.Enum('pending', 'processing', 'paid', 'failed', 'cancelled', name='status', native_enum=False, create_constraint=True, length=32), nullable=False),
    sa.Column('requested_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('decided_by_label', sa.Text(), nullable=True),
    sa.Column('ask_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('attempts', sa.SmallInteger(), nullable=False),
    sa.Column('tried_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('told_to', sa.Text(), nullable=True),
    sa.Column('is_given_up', sa.Boolean(), nullable=False),
    sa.Column('problem', sa.Text(), nullable=True),
    sa.Column('reason', sa.Text(), nullable=True),
    sa.Column('reference', sa.Text(), nullable=True),
    sa.Column('tx_hash', sa.Text(), nullable=True),
    sa.Column('finished_at', sa.DateTime(timezone=True), nullable=True),
    sa.CheckConstraint("(status IN ('paid', 'failed', 'cancelled')) = (finished_at IS NOT NULL)", name=op.f('ck_payouts_finished_has_time')),
    sa.CheckConstraint('amount > 0', name=op.f('ck_payouts_amount_positive')),
    sa.ForeignKeyConstraint(['user_id'], ['users.id'], name=op.f('fk_payouts_user_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_payouts'))
    )
    with op.batch_alter_table('payouts', schema=None) as batch_op:
        batch_op.create_index('ix_payouts_due', ['ask_at'], unique=False, postgresql_where=sa.text("status = 'processing' AND ask_at IS NOT NULL"), sqlite_where=sa.text("status = 'processing' AND ask_at IS NOT NULL"))
        batch_op.create_index(batch_op.f('ix_payouts_status_id'), ['status', 'id'], unique=False)
        batch_op.create_index(batch_op.f('ix_payouts_user_id_id'), ['user_id', 'id'], unique=False)

    op.create_table('payout_history',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('payout_id', sa.Uuid(), nullable=False),
    sa.Column('from_status', sa.Text(), nullable=True),
    sa.Column('to_status', sa.Text(), nullable=False),
    sa.Column('actor', sa.Text(), nullable=False),
    sa.Column('reason', sa.Text(), nullable=True),
    sa.Column('at', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['payout_id'], ['payouts.id'], name=op.f('fk_payout_history_payout_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_payout_history'))
    )
    with op.batch_alter_table('payout_history', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_payout_history_payout_id'), ['payout_id'], unique=False)



def downgrade() -> None:
    with op.batch_alter_table('payout_history', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_payout_history_payout_id'))

    op.drop_table('payout_history')
    with op.batch_alter_table('payouts', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_payouts_user_id_id'))
        batch_op.drop_index(batch_op.f('ix_payouts_status_id'))
        batch_op.drop_index('ix_payouts_due', postgresql_where=sa.text("status = 'processing' AND ask_at IS NOT NULL"), sqlite_where=sa.text("status = 'processing' AND ask_at IS NOT NULL"))

    op.drop_table('payouts')
    with op.batch_alter_table('approvals', schema=None) as batch_op:
        batch_op.drop_column('first_option')

"""Intents, what came to our addresses, and what the chain says of a payment.

Revision: 0005, after 0004
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = '0005'
down_revision = '0004'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('chain_cursors',
    sa.Column('network', sa.Enum('tron', 'ethereum', 'bsc', 'polygon', 'ton', 'bitcoin', name='network', native_enum=False, create_constraint=True, length=32), nullable=False),
    sa.Column('address', sa.Text(), nullable=False),
    sa.Column('cursor', sa.Text(), nullable=False),
    sa.Column('read_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('problem', sa.Text(), nullable=True),
    sa.PrimaryKeyConstraint('network', 'address', name=op.f('pk_chain_cursors'))
    )
    op.create_table('payment_intents',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('user_id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('invoice_id', sa.Uuid(), nullable=False),
    sa.Column('network', sa.Enum('tron', 'ethereum', 'bsc', 'polygon', 'ton', 'bitcoin', name='network', native_enum=False, create_constraint=True, length=32), nullable=False),
    sa.Column('address', sa.Text(), nullable=False),
    sa.Column('amount', sa.BigInteger(), nullable=False),
    sa.Column('currency', sa.Text(), nullable=False),
    sa.Column('status', sa.Enum('open', 'settled', 'expired', 'cancelled', name='status', native_enum=False, create_constraint=True, length=32), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('expires_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('settled_at', sa.DateTime(timezone=True), nullable=True),
    sa.CheckConstraint("(status = 'settled') = (settled_at IS NOT NULL)", name=op.f('ck_payment_intents_settled_has_time')),
    sa.CheckConstraint('amount > 0', name=op.f('ck_payment_intents_amount_positive')),
    sa.ForeignKeyConstraint(['invoice_id'], ['invoices.id'], name=op.f('fk_payment_intents_invoice_id')),
    sa.ForeignKeyConstraint(['user_id'], ['users.id'], name=op.f('fk_payment_intents_user_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_payment_intents'))
    )
    with op.batch_alter_table('payment_intents', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_payment_intents_invoice_id'), ['invoice_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_payment_intents_network_amount_created_at'), ['network', 'amount', 'created_at'], unique=False)
        batch_op.create_index('ix_payment_intents_open', ['expires_at'], unique=False, postgresql_where=sa.text("status = 'open'"), sqlite_where=sa.text("status = 'open'"))
        batch_op.create_index('ix_payment_intents_open_amount', ['network', 'amount'], unique=True, postgresql_where=sa.text("status = 'open'"), sqlite_where=sa.text("status = 'open'"))
        batch_op.create_index(batch_op.f('ix_payment_intents_user_id_id'), ['user_id', 'id'], unique=False)

    op.create_table('chain_transfers',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('network', sa.Enum('tron', 'ethereum', 'bsc', 'polygon', 'ton', 'bitcoin', name='network', native_enum=False, create_constraint=True, length=32), nullable=False),
    sa.Column('tx_hash', sa.Text(), nullable=False),
    sa.Column('log_index', sa.Integer(), nullable=False),
    sa.Column('address', sa.Text(), nullable=False),
    sa.Column('sender', sa.Text(), nullable=False),
    sa.Column('raw_amount', sa.Text(), nullable=False),
    sa.Column('amount', sa.BigInteger(), nullable=False),
    sa.Column('block_time', sa.DateTime(timezone=True), nullable=False),
    sa.Column('seen_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('payment_id', sa.Uuid(), nullable=True),
    sa.ForeignKeyConstraint(['payment_id'], ['payments.id'], name=op.f('fk_chain_transfers_payment_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_chain_transfers')),
    sa.UniqueConstraint('network', 'tx_hash', 'log_index', name=op.f('uq_chain_transfers_network_tx_hash_log_index'))
    )
    with op.batch_alter_table('chain_transfers', schema=None) as batch_op:
        batch_op.create_index('ix_chain_transfers_payment', ['payment_id'], unique=False, postgresql_where=sa.text('payment_id IS NOT NULL'), sqlite_where=sa.text('payment_id IS NOT NULL'))
        batch_op.create_index('ix_chain_transfers_unmatched', ['seen_at'], unique=False, postgresql_where=sa.text('payment_id IS NULL'), sqlite_where=sa.text('payment_id IS NULL'))

    op.add_column('payments', sa.Column('address', sa.Text(), nullable=True))
    # A batch would copy the table on SQLite, and with it drop what its history points to.
    if op.get_bind().dialect.name == "postgresql":
        op.add_column('payments', sa.Column('intent_id', sa.Uuid(), nullable=True))
        op.create_foreign_key(op.f('fk_payments_intent_id'), 'payments', 'payment_intents', ['intent_id'], ['id'])
    else:
        op.execute(
            "ALTER TABLE payments ADD COLUMN intent_id CHAR(32)"
            " CONSTRAINT fk_payments_intent_id REFERENCES payment_intents (id)"
        )
    op.add_column('payments', sa.Column('verify_at', sa.DateTime(timezone=True), nullable=True))
    op.add_column('payments', sa.Column('verify_attempts', sa.SmallInteger(), server_default='0', nullable=False))
    op.create_index('ix_payments_intent', 'payments', ['intent_id'], unique=False, postgresql_where=sa.text('intent_id IS NOT NULL'), sqlite_where=sa.text('intent_id IS NOT NULL'))
    op.create_index('ix_payments_to_verify', 'payments', ['verify_at'], unique=False, postgresql_where=sa.text("status = 'pending' AND verify_at IS NOT NULL"), sqlite_where=sa.text("status = 'pending' AND verify_at IS NOT NULL"))


def downgrade() -> None:
    op.drop_index('ix_payments_to_verify', 'payments')
    op.drop_index('ix_payments_intent', 'payments')
    if op.get_bind().dialect.name == "postgresql":
        op.drop_constraint(op.f('fk_payments_intent_id'), 'payments', type_='foreignkey')
    for column in ('verify_attempts', 'verify_at', 'intent_id', 'address'):
        op.execute(f"ALTER TABLE payments DROP COLUMN {column}")

    with op.batch_alter_table('chain_transfers', schema=None) as batch_op:
        batch_op.drop_index('ix_chain_transfers_unmatched', postgresql_where=sa.text('payment_id IS NULL'), sqlite_where=sa.text('payment_id IS NULL'))
        batch_op.drop_index('ix_chain_transfers_payment', postgresql_where=sa.text('payment_id IS NOT NULL'), sqlite_where=sa.text('payment_id IS NOT NULL'))

    op.drop_table('chain_transfers')
    with op.batch_alter_table('payment_intents', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_payment_intents_user_id_id'))
        batch_op.drop_index('ix_payment_intents_open_amount', postgresql_where=sa.text("status = 'open'"), sqlite_where=sa.text("status = 'open'"))
        batch_op.drop_index('ix_payment_intents_open', postgresql_where=sa.text("status = 'open'"), sqlite_where=sa.text("status = 'open'"))
        batch_op.drop_index(batch_op.f('ix_payment_intents_network_amount_created_at'))
        batch_op.drop_index(batch_op.f('ix_payment_intents_invoice_id'))

    op.drop_table('payment_intents')
    op.drop_table('chain_cursors')

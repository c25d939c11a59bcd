"""The book: accounts and transfers, whose numbers nobody changes afterwards.

Revision: 0004, after 0003
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = '0004'
down_revision = '0003'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('ledger_accounts',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('code', sa.Text(), nullable=False),
    sa.Column('kind', sa.Enum('wallet', 'received', 'revenue', 'gifts', 'correction', name='kind', native_enum=False, create_constraint=True, length=32), nullable=False),
    sa.Column('currency', sa.Text(), nullable=False),
    sa.Column('user_id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=True),
    sa.Column('debits_posted', sa.BigInteger(), nullable=False),
    sa.Column('credits_posted', sa.BigInteger(), nullable=False),
    sa.Column('debits_pending', sa.BigInteger(), nullable=False),
    sa.Column('credits_pending', sa.BigInteger(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.CheckConstraint("(kind = 'wallet') = (user_id IS NOT NULL)", name=op.f('ck_ledger_accounts_wallet_has_user')),
    sa.CheckConstraint("kind <> 'wallet' OR credits_posted - debits_posted - debits_pending >= 0", name=op.f('ck_ledger_accounts_wallet_not_negative')),
    sa.CheckConstraint('debits_posted >= 0 AND credits_posted >= 0 AND debits_pending >= 0 AND credits_pending >= 0', name=op.f('ck_ledger_accounts_sums_not_negative')),
    sa.ForeignKeyConstraint(['user_id'], ['users.id'], name=op.f('fk_ledger_accounts_user_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_ledger_accounts')),
    sa.UniqueConstraint('code', name=op.f('uq_ledger_accounts_code')),
    sa.UniqueConstraint('id', 'currency', name=op.f('uq_ledger_accounts_id_currency'))
    )
    with op.batch_alter_table('ledger_accounts', schema=None) as batch_op:
        batch_op.create_index('ix_ledger_accounts_wallet', ['user_id', 'currency'], unique=True, postgresql_where=sa.text("kind = 'wallet'"), sqlite_where=sa.text("kind = 'wallet'"))

    op.create_table('ledger_transfers',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('key', sa.Text(), nullable=False),
    sa.Column('kind', sa.Enum('sale', 'top_up', 'excess', 'gift', 'refund', 'payout', 'correction', name='kind', native_enum=False, create_constraint=True, length=32), nullable=False),
    sa.Column('state', sa.Enum('pending', 'posted', 'voided', name='state', native_enum=False, create_constraint=True, length=32), nullable=False),
    sa.Column('debit_account_id', sa.BigInteger(), nullable=False),
    sa.Column('credit_account_id', sa.BigInteger(), nullable=False),
    sa.Column('amount', sa.BigInteger(), nullable=False),
    sa.Column('currency', sa.Text(), nullable=False),
    sa.Column('subject', sa.Text(), nullable=False),
    sa.Column('debit_after', sa.BigInteger(), nullable=True),
    sa.Column('credit_after', sa.BigInteger(), nullable=True),
    sa.Column('note', sa.Text(), nullable=True),
    sa.Column('actor', sa.Text(), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('settled_at', sa.DateTime(timezone=True), nullable=True),
    sa.CheckConstraint("(state = 'pending') = (settled_at IS NULL)", name=op.f('ck_ledger_transfers_settled_has_time')),
    sa.CheckConstraint('amount > 0', name=op.f('ck_ledger_transfers_amount_positive')),
    sa.CheckConstraint('debit_account_id <> credit_account_id', name=op.f('ck_ledger_transfers_two_accounts')),
    sa.ForeignKeyConstraint(['credit_account_id', 'currency'], ['ledger_accounts.id', 'ledger_accounts.currency'], name=op.f('fk_ledger_transfers_credit_account_id_currency')),
    sa.ForeignKeyConstraint(['debit_account_id', 'currency'], ['ledger_accounts.id', 'ledger_accounts.currency'], name=op.f('fk_ledger_transfers_debit_account_id_currency')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_ledger_transfers')),
    sa.UniqueConstraint('key', name=op.f('uq_ledger_transfers_key'))
    )
    with op.batch_alter_table('ledger_transfers', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_ledger_transfers_credit_account_id_id'), ['credit_account_id', 'id'], unique=False)
        batch_op.create_index(batch_op.f('ix_ledger_transfers_debit_account_id_id'), ['debit_account_id', 'id'], unique=False)
        batch_op.create_index('ix_ledger_transfers_pending', ['id'], unique=False, postgresql_where=sa.text("state = 'pending'"), sqlite_where=sa.text("state = 'pending'"))
        batch_op.create_index(batch_op.f('ix_ledger_transfers_subject'), ['subject'], unique=False)

    _refuse_changes()


def _refuse_changes() -> None:
    """Of a transfer only the state moves, and none is deleted; accounts are not deleted either."""
    words = "the book is only added to"
    fixed = ('id', 'key', 'kind', 'debit_account_id', 'credit_account_id', 'amount', 'currency', 'created_at')
    if op.get_bind().dialect.name == "postgresql":
        same = " AND ".join(f"NEW.{name} = OLD.{name}" for name in fixed)
        op.execute(
            "CREATE FUNCTION refuse_ledger_change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            f" IF TG_OP = 'UPDATE' AND OLD.state = 'pending' AND {same} THEN RETURN NEW; END IF;"
            f" RAISE EXCEPTION '{words}'; END $$"
        )
        op.execute(
            "CREATE TRIGGER ledger_transfers_keep BEFORE UPDATE OR DELETE ON ledger_transfers"
            " FOR EACH ROW EXECUTE FUNCTION refuse_ledger_change()"
        )
        op.execute(
            "CREATE TRIGGER ledger_accounts_keep BEFORE DELETE ON ledger_accounts"
            " FOR EACH ROW EXECUTE FUNCTION refuse_ledger_change()"
        )
        return
    differs = " OR ".join(f"NEW.{name} IS NOT OLD.{name}" for name in fixed)
    for table, verb, when in (
        ("ledger_transfers", "UPDATE", f"WHEN OLD.state <> 'pending' OR {differs}"),
        ("ledger_transfers", "DELETE", ""),
        ("ledger_accounts", "DELETE", ""),
    ):
        op.execute(
            f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} FOR EACH ROW {when}"
            f" BEGIN SELECT RAISE(ABORT, '{words}'); END"
        )


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP TRIGGER ledger_transfers_keep ON ledger_transfers")
        op.execute("DROP TRIGGER ledger_accounts_keep ON ledger_accounts")
        op.execute("DROP FUNCTION refuse_ledger_change")
    with op.batch_alter_table('ledger_transfers', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_ledger_transfers_subject'))
        batch_op.drop_index('ix_ledger_transfers_pending', postgresql_where=sa.text("state = 'pending'"), sqlite_where=sa.text("state = 'pending'"))
        batch_op.drop_index(batch_op.f('ix_ledger_transfers_debit_account_id_id'))
        batch_op.drop_index(batch_op.f('ix_ledger_transfers_credit_account_id_id'))

    op.drop_table('ledger_transfers')
    with op.batch_alter_table('ledger_accounts', schema=None) as batch_op:
        batch_op.drop_index('ix_ledger_accounts_wallet', postgresql_where=sa.text("kind = 'wallet'"), sqlite_where=sa.text("kind = 'wallet'"))

    op.drop_table('ledger_accounts')

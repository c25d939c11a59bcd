"""Telegram Stars, and one currency for another.

Revision: 0016, after 0015
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from manga_backend.kit.migrating import replace_check


revision = '0016'
down_revision = '0015'
branch_labels = None
depends_on = None

ACCOUNTS = ('wallet', 'received', 'revenue', 'gifts', 'correction')
TRANSFERS = ('sale', 'top_up', 'excess', 'gift', 'refund', 'payout', 'correction')
METHODS = ('crypto', 'coupon', 'wallet', 'gateway')
CHANGES = (
    ('ledger_accounts', 'kind', ACCOUNTS, 'exchange'),
    ('ledger_transfers', 'kind', TRANSFERS, 'exchange'),
    ('payments', 'method', METHODS, 'telegram_stars'),
)


def change_words(table: str, column: str, old: tuple[str, ...], new: tuple[str, ...]) -> None:
    """Other words in a CHECK; no row is touched or copied (as in 0002)."""
    before, after = (f"{column} IN ({', '.join(repr(word) for word in words)})" for words in (old, new))
    if op.get_bind().dialect.name == 'postgresql':
        replace_check(table, f'ck_{table}_{column}', after)
        return
    version = op.get_bind().scalar(sa.text('PRAGMA schema_version'))
    op.execute('PRAGMA writable_schema = ON')
    op.get_bind().execute(
        sa.text("UPDATE sqlite_master SET sql = replace(sql, :old, :new) WHERE type = 'table' AND name = :name"),
        {'old': before, 'new': after, 'name': table},
    )
    op.execute(f'PRAGMA schema_version = {version + 1}')
    op.execute('PRAGMA writable_schema = OFF')


def upgrade() -> None:
    for table, column, words, word in CHANGES:
        change_words(table, column, words, (*words, word))
    op.create_table('stars_refunds',
    sa.Column('charge_id', sa.Text(), nullable=False),
    sa.Column('payment_id', sa.Uuid(), nullable=False),
    sa.Column('payer_id', sa.BigInteger(), nullable=False),
    sa.Column('is_surplus', sa.Boolean(), nullable=False),
    sa.Column('reason', sa.Text(), nullable=False),
    sa.Column('actor', sa.Text(), nullable=False),
    sa.Column('requested_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('due_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('attempts', sa.SmallInteger(), nullable=False),
    sa.Column('times', sa.SmallInteger(), nullable=False),
    sa.Column('problem', sa.Text(), nullable=True),
    sa.Column('settled_at', sa.DateTime(timezone=True), nullable=True),
    sa.ForeignKeyConstraint(['payment_id'], ['payments.id'], name=op.f('fk_stars_refunds_payment_id')),
    sa.PrimaryKeyConstraint('charge_id', name=op.f('pk_stars_refunds'))
    )
    with op.batch_alter_table('stars_refunds', schema=None) as batch_op:
        batch_op.create_index('ix_stars_refunds_due', ['due_at'], unique=False, postgresql_where=sa.text('settled_at IS NULL'), sqlite_where=sa.text('settled_at IS NULL'))
        batch_op.create_index(batch_op.f('ix_stars_refunds_payment_id'), ['payment_id'], unique=False)

    with op.batch_alter_table('payments', schema=None) as batch_op:
        batch_op.add_column(sa.Column('charge_id', sa.Text(), nullable=True))



def downgrade() -> None:
    for table, column, _words, word in CHANGES:
        rows = sa.text(f'SELECT count(*) FROM {table} WHERE {column} = :word')
        if op.get_bind().scalar(rows, {'word': word}):
            raise RuntimeError(f'{table} has rows of {word!r}: the book is never rewritten')
    op.drop_column('payments', 'charge_id')
    with op.batch_alter_table('stars_refunds', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_stars_refunds_payment_id'))
        batch_op.drop_index('ix_stars_refunds_due', postgresql_where=sa.text('settled_at IS NULL'), sqlite_where=sa.text('settled_at IS NULL'))

    op.drop_table('stars_refunds')
    for table, column, words, word in CHANGES:
        change_words(table, column, (*words, word), words)

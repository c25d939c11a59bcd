"""Decisions, how long they waited, and messages that were given up are counted too.

Revision: 0010, after 0009
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = '0010'
down_revision = '0009'
branch_labels = None
depends_on = None

OLD = ('users', 'banned', 'payments', 'rejected', 'revenue', 'coupons_issued', 'coupons_redeemed', 'subscriptions', 'ends')
NEW = (*OLD[:-1], 'decisions', 'decision_seconds', 'given_up', 'ends')
TABLES = ('statistics_buckets', 'statistics_totals')


def change(before: tuple[str, ...], after: tuple[str, ...]) -> None:
    for table in TABLES:
        with op.batch_alter_table(table, schema=None) as batch_op:
            batch_op.drop_constraint(op.f(f'ck_{table}_metric'), type_='check')
            batch_op.create_check_constraint(op.f(f'ck_{table}_metric'), sa.column('metric').in_(after))


def upgrade() -> None:
    change(OLD, NEW)


def downgrade() -> None:
    for table in TABLES:
        op.execute(sa.text(f"DELETE FROM {table} WHERE metric IN ('decisions', 'decision_seconds', 'given_up')"))
    change(NEW, OLD)

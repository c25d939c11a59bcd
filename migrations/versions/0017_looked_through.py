"""What 0015 and 0016 left to be done while people work: old rows are looked through, payments indexed.

Revision: 0017, after 0016
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from manga_backend.kit.migrating import add_index, on_postgresql, validate_check

revision = '0017'
down_revision = '0016'
branch_labels = None
depends_on = None

CHECKS = (
    *(('statistics_buckets', 'metric'), ('statistics_totals', 'metric')),
    *(('ledger_accounts', 'kind'), ('ledger_transfers', 'kind'), ('payments', 'method')),
)
HAS_CHARGE = sa.text('charge_id IS NOT NULL')


def upgrade() -> None:
    if on_postgresql():
        for table, column in CHECKS:
            validate_check(table, f'ck_{table}_{column}')
    add_index(
        'ix_payments_charge', 'payments', ['charge_id'], unique=True, postgresql_where=HAS_CHARGE, sqlite_where=HAS_CHARGE
    )


def downgrade() -> None:
    op.drop_index('ix_payments_charge', 'payments')

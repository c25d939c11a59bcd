"""How Telegram calls a user.

Revision: 0014, after 0013
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op


revision = '0014'
down_revision = '0013'
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table('users', schema=None) as batch_op:
        batch_op.add_column(sa.Column('first_name', sa.Text(), nullable=True))
        batch_op.add_column(sa.Column('telegram_username', sa.Text(), nullable=True))
        batch_op.add_column(sa.Column('profile_at', sa.DateTime(timezone=True), nullable=True))



def downgrade() -> None:
    for column in ('profile_at', 'telegram_username', 'first_name'):
        op.drop_column('users', column)


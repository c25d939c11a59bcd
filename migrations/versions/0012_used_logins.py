"""Payloads of the Login Widget that have signed somebody in.

Revision: 0012, after 0011
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = '0012'
down_revision = '0011'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('used_logins',
    sa.Column('proof', sa.Text(), nullable=False),
    sa.Column('expires_at', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('proof', name=op.f('pk_used_logins'))
    )
    with op.batch_alter_table('used_logins', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_used_logins_expires_at'), ['expires_at'], unique=False)



def downgrade() -> None:
    with op.batch_alter_table('used_logins', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_used_logins_expires_at'))

    op.drop_table('used_logins')

"""Receiving addresses as superusers set them.

Revision: 0007, after 0006
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = '0007'
down_revision = '0006'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('receiving_addresses',
    sa.Column('network', sa.Enum('tron', 'ethereum', 'bsc', 'polygon', 'ton', 'bitcoin', name='network', native_enum=False, create_constraint=True, length=32), nullable=False),
    sa.Column('address', sa.Text(), nullable=False),
    sa.Column('changed_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('changed_by', sa.Text(), nullable=False),
    sa.Column('changed_by_label', sa.Text(), nullable=False),
    sa.PrimaryKeyConstraint('network', name=op.f('pk_receiving_addresses'))
    )


def downgrade() -> None:
    op.drop_table('receiving_addresses')

"""Settings that were changed while the app ran.

Revision: 0011, after 0010
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = '0011'
down_revision = '0010'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('changed_settings',
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('value', sa.Text(), nullable=False),
    sa.Column('changed_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('changed_by_label', sa.Text(), nullable=False),
    sa.PrimaryKeyConstraint('name', name=op.f('pk_changed_settings'))
    )


def downgrade() -> None:
    op.drop_table('changed_settings')

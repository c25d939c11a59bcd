"""What payment providers told us, and the first of two approvals.

Revision: 0006, after 0005
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = '0006'
down_revision = '0005'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('gateway_webhooks',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('source', sa.Text(), nullable=False),
    sa.Column('event_id', sa.Text(), nullable=False),
    sa.Column('order_id', sa.Text(), nullable=False),
    sa.Column('body', sa.Text(), nullable=False),
    sa.Column('received_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('deliveries', sa.Integer(), nullable=False),
    sa.Column('attempts', sa.Integer(), nullable=False),
    sa.Column('handled_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('outcome', sa.Text(), nullable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_gateway_webhooks')),
    sa.UniqueConstraint('source', 'event_id', name=op.f('uq_gateway_webhooks_source_event_id'))
    )
    with op.batch_alter_table('gateway_webhooks', schema=None) as batch_op:
        batch_op.create_index('ix_gateway_webhooks_waiting', ['id'], unique=False, postgresql_where=sa.text('handled_at IS NULL'), sqlite_where=sa.text('handled_at IS NULL'))

    with op.batch_alter_table('approvals', schema=None) as batch_op:
        batch_op.add_column(sa.Column('first_by', sa.Text(), nullable=True))
        batch_op.add_column(sa.Column('first_by_label', sa.Text(), nullable=True))



def downgrade() -> None:
    with op.batch_alter_table('approvals', schema=None) as batch_op:
        batch_op.drop_column('first_by_label')
        batch_op.drop_column('first_by')

    with op.batch_alter_table('gateway_webhooks', schema=None) as batch_op:
        batch_op.drop_index('ix_gateway_webhooks_waiting', postgresql_where=sa.text('handled_at IS NULL'), sqlite_where=sa.text('handled_at IS NULL'))

    op.drop_table('gateway_webhooks')

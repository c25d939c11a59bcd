"""Fewer index entries for each message: those for chats and edits hold only what is looked for.

Revision: 0003, after 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = '0003'
down_revision = '0002'
branch_labels = None
depends_on = None

WAITING = sa.text("status IN ('new', 'failed')")
IS_EDIT = sa.text("edits_id IS NOT NULL")


def upgrade() -> None:
    op.drop_index(op.f('ix_notifications_chat_id_status'), 'notifications')
    op.drop_index(op.f('ix_notifications_edits_id'), 'notifications')
    op.create_index('ix_notifications_waiting_for_chat', 'notifications', ['chat_id'], postgresql_where=WAITING, sqlite_where=WAITING)
    op.create_index('ix_notifications_edits', 'notifications', ['edits_id'], postgresql_where=IS_EDIT, sqlite_where=IS_EDIT)


def downgrade() -> None:
    op.drop_index('ix_notifications_edits', 'notifications')
    op.drop_index('ix_notifications_waiting_for_chat', 'notifications')
    op.create_index(op.f('ix_notifications_edits_id'), 'notifications', ['edits_id'])
    op.create_index(op.f('ix_notifications_chat_id_status'), 'notifications', ['chat_id', 'status'])

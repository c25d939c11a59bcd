"""Urgent orders: their tables, their text search, and what products count.

Revision: 0015, after 0014
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from manga_backend.kit.migrating import replace_check

revision = '0015'
down_revision = '0014'
branch_labels = None
depends_on = None

METRICS = (
    *('users', 'banned', 'payments', 'rejected', 'revenue', 'coupons_issued', 'coupons_redeemed'),
    *('subscriptions', 'decisions', 'decision_seconds', 'given_up', 'ends'),
)
STATISTICS = ('statistics_buckets', 'statistics_totals')

INDEXED_BY_POSTGRESQL = """
CREATE INDEX ix_urgent_orders_search ON urgent_orders
USING gin (to_tsvector('russian', category || ' ' || description))
"""
INDEXED_BY_SQLITE = (
    """
    CREATE VIRTUAL TABLE urgent_orders_search
    USING fts5(order_id UNINDEXED, words, tokenize = 'unicode61')
    """,
    """
    CREATE TRIGGER urgent_orders_search_insert AFTER INSERT ON urgent_orders BEGIN
        INSERT INTO urgent_orders_search (order_id, words)
        VALUES (new.id, replace(replace(new.category || ' ' || new.description, 'ё', 'е'), 'Ё', 'Е'));
    END
    """,
    """
    CREATE TRIGGER urgent_orders_search_update
    AFTER UPDATE OF category, description ON urgent_orders BEGIN
        DELETE FROM urgent_orders_search WHERE order_id = old.id;
        INSERT INTO urgent_orders_search (order_id, words)
        VALUES (new.id, replace(replace(new.category || ' ' || new.description, 'ё', 'е'), 'Ё', 'Е'));
    END
    """,
)


def on_sqlite() -> bool:
    return op.get_bind().dialect.name == 'sqlite'


def count(what: tuple[str, ...]) -> None:
    if not on_sqlite():
        for table in STATISTICS:
            replace_check(table, f'ck_{table}_metric', f"metric IN ({', '.join(map(repr, what))})")
        return
    for table in STATISTICS:
        with op.batch_alter_table(table, schema=None) as batch_op:
            batch_op.drop_constraint(op.f(f'ck_{table}_metric'), type_='check')
            batch_op.create_check_constraint(op.f(f'ck_{table}_metric'), sa.column('metric').in_(what))


def upgrade() -> None:
    count((*METRICS, 'facts'))
    op.create_table('urgent_interests',
    sa.Column('user_id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), autoincrement=False, nullable=False),
    sa.Column('category_key', sa.Text(), nullable=False),
    sa.Column('city_key', sa.Text(), nullable=False),
    sa.ForeignKeyConstraint(['user_id'], ['users.id'], name=op.f('fk_urgent_interests_user_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('user_id', 'category_key', 'city_key', name=op.f('pk_urgent_interests'))
    )
    with op.batch_alter_table('urgent_interests', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_urgent_interests_city_key_category_key_user_id'), ['city_key', 'category_key', 'user_id'], unique=False)

    op.create_table('urgent_orders',
    sa.Column('id', sa.Text(), nullable=False),
    sa.Column('client_id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('category', sa.Text(), nullable=False),
    sa.Column('category_key', sa.Text(), nullable=False),
    sa.Column('description', sa.Text(), nullable=False),
    sa.Column('city', sa.Text(), nullable=False),
    sa.Column('city_key', sa.Text(), nullable=False),
    sa.Column('contact', sa.Text(), nullable=False),
    sa.Column('status', sa.Enum('active', 'expired', 'deleted', 'closed_no_response', 'completed', name='status', native_enum=False, create_constraint=True, length=32), nullable=False),
    sa.Column('executors_count', sa.SmallInteger(), nullable=False),
    sa.Column('first_taken_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('answered_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('completed_by', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('expires_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('changed_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('told_upto', sa.BigInteger(), nullable=True),
    sa.CheckConstraint("(status = 'completed') = (completed_by IS NOT NULL)", name=op.f('ck_urgent_orders_done_by')),
    sa.CheckConstraint('(executors_count = 0) = (first_taken_at IS NULL)', name=op.f('ck_urgent_orders_taken_has_time')),
    sa.CheckConstraint('answered_at IS NULL OR executors_count > 0', name=op.f('ck_urgent_orders_answered_is_taken')),
    sa.CheckConstraint('executors_count BETWEEN 0 AND 3', name=op.f('ck_urgent_orders_at_most_three_executors')),
    sa.ForeignKeyConstraint(['client_id'], ['users.id'], name=op.f('fk_urgent_orders_client_id')),
    sa.ForeignKeyConstraint(['completed_by'], ['users.id'], name=op.f('fk_urgent_orders_completed_by')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_urgent_orders'))
    )
    with op.batch_alter_table('urgent_orders', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_urgent_orders_changed_at'), ['changed_at'], unique=False)
        batch_op.create_index(batch_op.f('ix_urgent_orders_client_id_created_at'), ['client_id', 'created_at'], unique=False)
        batch_op.create_index('ix_urgent_orders_completed_by', ['completed_by'], unique=False, postgresql_where=sa.text('completed_by IS NOT NULL'), sqlite_where=sa.text('completed_by IS NOT NULL'))
        batch_op.create_index(batch_op.f('ix_urgent_orders_status_category_key_created_at'), ['status', 'category_key', 'created_at'], unique=False)
        batch_op.create_index(batch_op.f('ix_urgent_orders_status_city_key_category_key_created_at'), ['status', 'city_key', 'category_key', 'created_at'], unique=False)
        batch_op.create_index(batch_op.f('ix_urgent_orders_status_city_key_created_at'), ['status', 'city_key', 'created_at'], unique=False)
        batch_op.create_index(batch_op.f('ix_urgent_orders_status_created_at'), ['status', 'created_at'], unique=False)
        batch_op.create_index('ix_urgent_orders_to_tell', ['created_at'], unique=False, postgresql_where=sa.text('told_upto IS NOT NULL'), sqlite_where=sa.text('told_upto IS NOT NULL'))
        batch_op.create_index('ix_urgent_orders_unanswered', ['first_taken_at'], unique=False, postgresql_where=sa.text("status = 'active' AND first_taken_at IS NOT NULL AND answered_at IS NULL"), sqlite_where=sa.text("status = 'active' AND first_taken_at IS NOT NULL AND answered_at IS NULL"))

    op.create_table('urgent_profiles',
    sa.Column('user_id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), autoincrement=False, nullable=False),
    sa.Column('completed_orders_count', sa.BigInteger(), nullable=False),
    sa.Column('rating_sum', sa.BigInteger(), nullable=False),
    sa.Column('ratings_count', sa.BigInteger(), nullable=False),
    sa.Column('categories', sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), 'postgresql'), nullable=False),
    sa.Column('cities', sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), 'postgresql'), nullable=False),
    sa.Column('frequency', sa.Enum('instant', 'hourly', 'daily', 'off', name='frequency', native_enum=False, create_constraint=True, length=32), nullable=False),
    sa.Column('digest_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('digested_at', sa.DateTime(timezone=True), nullable=True),
    sa.CheckConstraint('ratings_count >= 0 AND rating_sum >= 0', name=op.f('ck_urgent_profiles_ratings_not_negative')),
    sa.ForeignKeyConstraint(['user_id'], ['users.id'], name=op.f('fk_urgent_profiles_user_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('user_id', name=op.f('pk_urgent_profiles'))
    )
    with op.batch_alter_table('urgent_profiles', schema=None) as batch_op:
        batch_op.create_index('ix_urgent_profiles_digest', ['digest_at'], unique=False, postgresql_where=sa.text('digest_at IS NOT NULL'), sqlite_where=sa.text('digest_at IS NOT NULL'))

    op.create_table('urgent_changes',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('order_id', sa.Text(), nullable=False),
    sa.Column('at', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['order_id'], ['urgent_orders.id'], name=op.f('fk_urgent_changes_order_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_urgent_changes'))
    )
    with op.batch_alter_table('urgent_changes', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_urgent_changes_at'), ['at'], unique=False)
        batch_op.create_index(batch_op.f('ix_urgent_changes_order_id'), ['order_id'], unique=False)

    op.create_table('urgent_complaints',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('order_id', sa.Text(), nullable=False),
    sa.Column('executor_id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('reason', sa.Text(), nullable=False),
    sa.Column('comment', sa.Text(), nullable=True),
    sa.Column('status', sa.Enum('pending', 'upheld', 'dismissed', name='status', native_enum=False, create_constraint=True, length=32), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('decided_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('note', sa.Text(), nullable=True),
    sa.ForeignKeyConstraint(['executor_id'], ['users.id'], name=op.f('fk_urgent_complaints_executor_id')),
    sa.ForeignKeyConstraint(['order_id'], ['urgent_orders.id'], name=op.f('fk_urgent_complaints_order_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_urgent_complaints')),
    sa.UniqueConstraint('order_id', 'executor_id', name=op.f('uq_urgent_complaints_order_id_executor_id'))
    )
    with op.batch_alter_table('urgent_complaints', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_urgent_complaints_executor_id_id'), ['executor_id', 'id'], unique=False)

    op.create_table('urgent_reviews',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('order_id', sa.Text(), nullable=False),
    sa.Column('client_id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('executor_id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('rating', sa.SmallInteger(), nullable=False),
    sa.Column('comment', sa.Text(), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('hidden_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('hidden_reason', sa.Text(), nullable=True),
    sa.CheckConstraint('rating BETWEEN 1 AND 5', name=op.f('ck_urgent_reviews_one_to_five')),
    sa.ForeignKeyConstraint(['client_id'], ['users.id'], name=op.f('fk_urgent_reviews_client_id')),
    sa.ForeignKeyConstraint(['executor_id'], ['users.id'], name=op.f('fk_urgent_reviews_executor_id')),
    sa.ForeignKeyConstraint(['order_id'], ['urgent_orders.id'], name=op.f('fk_urgent_reviews_order_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_urgent_reviews')),
    sa.UniqueConstraint('order_id', 'client_id', name=op.f('uq_urgent_reviews_order_id_client_id'))
    )
    with op.batch_alter_table('urgent_reviews', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_urgent_reviews_client_id'), ['client_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_urgent_reviews_executor_id_id'), ['executor_id', 'id'], unique=False)
        batch_op.create_index(batch_op.f('ix_urgent_reviews_rating_id'), ['rating', 'id'], unique=False)

    op.create_table('urgent_takes',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('order_id', sa.Text(), nullable=False),
    sa.Column('executor_id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('price', sa.BigInteger(), nullable=False),
    sa.Column('taken_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('answered_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('refunded_at', sa.DateTime(timezone=True), nullable=True),
    sa.ForeignKeyConstraint(['executor_id'], ['users.id'], name=op.f('fk_urgent_takes_executor_id')),
    sa.ForeignKeyConstraint(['order_id'], ['urgent_orders.id'], name=op.f('fk_urgent_takes_order_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_urgent_takes')),
    sa.UniqueConstraint('order_id', 'executor_id', name=op.f('uq_urgent_takes_order_id_executor_id'))
    )
    with op.batch_alter_table('urgent_takes', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_urgent_takes_executor_id_id'), ['executor_id', 'id'], unique=False)

    for statement in INDEXED_BY_SQLITE if on_sqlite() else (INDEXED_BY_POSTGRESQL,):
        op.execute(statement)


def downgrade() -> None:
    for table in ('urgent_takes', 'urgent_complaints'):
        if op.get_bind().scalar(sa.text(f'SELECT count(*) FROM {table}')):
            raise RuntimeError(f'{table} has rows: the book and the desk know them by their numbers')
    if on_sqlite():
        op.execute('DROP TABLE urgent_orders_search')  # the triggers go with their table
    with op.batch_alter_table('urgent_takes', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_urgent_takes_executor_id_id'))

    op.drop_table('urgent_takes')
    with op.batch_alter_table('urgent_reviews', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_urgent_reviews_rating_id'))
        batch_op.drop_index(batch_op.f('ix_urgent_reviews_executor_id_id'))
        batch_op.drop_index(batch_op.f('ix_urgent_reviews_client_id'))

    op.drop_table('urgent_reviews')
    with op.batch_alter_table('urgent_complaints', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_urgent_complaints_executor_id_id'))

    op.drop_table('urgent_complaints')
    with op.batch_alter_table('urgent_changes', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_urgent_changes_order_id'))
        batch_op.drop_index(batch_op.f('ix_urgent_changes_at'))

    op.drop_table('urgent_changes')
    with op.batch_alter_table('urgent_profiles', schema=None) as batch_op:
        batch_op.drop_index('ix_urgent_profiles_digest', postgresql_where=sa.text('digest_at IS NOT NULL'), sqlite_where=sa.text('digest_at IS NOT NULL'))

    op.drop_table('urgent_profiles')
    with op.batch_alter_table('urgent_orders', schema=None) as batch_op:
        batch_op.drop_index('ix_urgent_orders_unanswered', postgresql_where=sa.text("status = 'active' AND first_taken_at IS NOT NULL AND answered_at IS NULL"), sqlite_where=sa.text("status = 'active' AND first_taken_at IS NOT NULL AND answered_at IS NULL"))
        batch_op.drop_index('ix_urgent_orders_to_tell', postgresql_where=sa.text('told_upto IS NOT NULL'), sqlite_where=sa.text('told_upto IS NOT NULL'))
        batch_op.drop_index(batch_op.f('ix_urgent_orders_status_created_at'))
        batch_op.drop_index(batch_op.f('ix_urgent_orders_status_city_key_created_at'))
        batch_op.drop_index(batch_op.f('ix_urgent_orders_status_city_key_category_key_created_at'))
        batch_op.drop_index(batch_op.f('ix_urgent_orders_status_category_key_created_at'))
        batch_op.drop_index('ix_urgent_orders_completed_by', postgresql_where=sa.text('completed_by IS NOT NULL'), sqlite_where=sa.text('completed_by IS NOT NULL'))
        batch_op.drop_index(batch_op.f('ix_urgent_orders_client_id_created_at'))
        batch_op.drop_index(batch_op.f('ix_urgent_orders_changed_at'))

    op.drop_table('urgent_orders')
    with op.batch_alter_table('urgent_interests', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_urgent_interests_city_key_category_key_user_id'))

    op.drop_table('urgent_interests')

    for table in STATISTICS:
        op.execute(sa.text(f"DELETE FROM {table} WHERE metric = 'facts'"))
    count(METRICS)

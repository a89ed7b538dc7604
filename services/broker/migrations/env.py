"""Alembic's entry: `kernel.db.upgrade_schema` hands the open connection over."""

from alembic import context

from services.broker.tables import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()

"""Alembic's entry: migrates over the connection that `recgpt.store.session` hands in."""

from alembic import context

from recgpt.store.tables import Base

context.configure(
    connection=context.config.attributes["connection"], target_metadata=Base.metadata, render_as_batch=True
)
with context.begin_transaction():
    context.run_migrations()

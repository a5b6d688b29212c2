"""Alembic's entry: it runs migrations on the connection that `gristmill.db.migrate` has opened and locked."""

from alembic import context

from gristmill.db.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()

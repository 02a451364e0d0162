"""The entry point of Alembic. Runs the missing migrations in the caller's transaction."""

from alembic import context

context.configure(connection=context.config.attributes["connection"])
context.run_migrations()

"""What alembic runs: the migrations, on the connection and in the transaction of `bring_up_to_date`."""

from alembic import context

from backend.adapters.sql.migrations import all_tables

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=all_tables(),
    # SQLite changes a column by making the table anew.
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()

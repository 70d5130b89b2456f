"""What alembic runs: on the connection, and in the transaction, that `migrate.py` hands over."""

from alembic import context

from fluxtrail.ledger.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    transactional_ddl=False,
)
context.run_migrations()

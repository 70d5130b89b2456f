"""Bring a database to this version's schema, in one transaction.

Alembic is only imported where there is something to do: it costs a third of a start.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, inspect, text
from sqlalchemy.ext.asyncio import AsyncConnection

from fluxtrail.ledger.session import finish
from fluxtrail.model.errors import StoreError

HEAD = "0010"
"""The newest revision in `migrations/versions`."""
_SCRIPTS = Path(__file__).parent / "migrations"


async def upgrade(connection: AsyncConnection, subject: str) -> bool:
    """Run what is missing; returns whether anything was.

    The caller's transaction holds it: a failure leaves the old schema.

    Raises:
        StoreError: it is no ledger, or one of a newer version.
    """
    current = await finish(connection.run_sync(find_revision))
    if current == HEAD:
        return False
    if current is None and await finish(connection.run_sync(_has_tables)):
        raise StoreError(
            "it holds other tables and is no ledger; name another file, database or schema", subject=subject
        )
    await finish(connection.run_sync(_run, current, subject))
    return True


def find_revision(connection: Connection) -> str | None:
    """Return the revision a database is at, or None for one without a ledger."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _has_tables(connection: Connection) -> bool:
    return bool(inspect(connection).get_table_names())


def _run(connection: Connection, current: str | None, subject: str) -> None:
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if current is not None and current not in known:
        raise StoreError(
            f"it was written by a newer Fluxtrail (schema {current}, this version knows up to {HEAD}); "
            "install that version or restore an older backup",
            subject=subject,
        )
    config.attributes["connection"] = connection
    command.upgrade(config, "head")

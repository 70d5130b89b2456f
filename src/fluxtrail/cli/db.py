"""`fluxtrail db`: care of the ledger. These open it themselves: run them where `fluxtrail run` reaches it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])
DEFAULT_LEDGER = "fluxtrail.sqlite"


@click.group()
def db() -> None:
    """Upgrade or back up the ledger."""


def ledger_option(function: F) -> F:
    return click.option(
        "--ledger",
        metavar="PATH|URL",
        envvar="FLUXTRAIL_LEDGER__PATH",
        default=DEFAULT_LEDGER,
        show_default=True,
        show_envvar=True,
        help="The ledger's file, or postgresql://….",
    )(function)


@db.command()
@ledger_option
def upgrade(*, ledger: str) -> None:
    """Bring the ledger to this version's schema. `fluxtrail run` does so too when it starts."""
    from fluxtrail.ledger.ledger import SqlLedger, parse_place
    from fluxtrail.ledger.place import is_postgres

    if not is_postgres(ledger) and not parse_place(ledger).exists():
        raise click.UsageError(f"there is no ledger at {parse_place(ledger)}; name its file by --ledger")

    async def open_and_close() -> tuple[str, str]:
        opened = await SqlLedger.open(ledger, clock=_Clock())
        await opened.close()
        return opened.address, opened.instance_id

    address, instance = asyncio.run(open_and_close())
    click.echo(f"{address} has this version's schema (instance {instance})", err=True)


@db.command()
@ledger_option
@click.argument("destination", type=click.Path(dir_okay=False, path_type=Path))
def backup(*, ledger: str, destination: Path) -> None:
    """Copy the ledger to DESTINATION, of one instant and checked, also while `fluxtrail run` writes to it.

    PostgreSQL has its own: pg_dump --format=custom --file=DESTINATION "$FLUXTRAIL_LEDGER__PATH"
    """
    from fluxtrail.ledger.backup import copy_ledger
    from fluxtrail.ledger.ledger import parse_place
    from fluxtrail.ledger.place import is_postgres

    if is_postgres(ledger):
        raise click.UsageError(
            "the ledger is in PostgreSQL; copy it with pg_dump --format=custom, and bring it back with pg_restore"
        )

    def progress(copied: int, total: int) -> None:
        click.echo(f"\r{100 * copied // max(total, 1)} %", nl=False, err=True)

    asyncio.run(copy_ledger(parse_place(ledger), destination, progress if sys.stderr.isatty() else None))
    start = "\r" if sys.stderr.isatty() else ""
    click.echo(f"{start}copied to {destination}", err=True)


class _Clock:
    def now(self) -> datetime:
        return datetime.now(UTC)

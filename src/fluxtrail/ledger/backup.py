"""A copy of a ledger that is in use: whole, of one instant, and checked before it gets its name."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

from fluxtrail.ledger.faults import translate
from fluxtrail.ledger.session import finish
from fluxtrail.ledger.sqlite import connect_reader
from fluxtrail.model.errors import StoreError

Progress = Callable[[int, int], None]
"""Called from another thread with (pages copied, pages in all)."""

_PAGES_PER_STEP = 2048


async def copy_ledger(source: Path, destination: Path, progress: Progress | None = None) -> None:
    """Copy the ledger at `source` to `destination`, also while another process writes to it.

    Cancelling stops the copy and leaves nothing behind.

    Raises:
        StoreError: there is no such ledger, the destination exists or cannot be written, or the copy is not whole.
    """
    stop = False

    def on_step(_status: int, remaining: int, total: int) -> None:
        if stop:
            raise _StoppedError
        if progress is not None:
            progress(total - remaining, total)

    copying = asyncio.ensure_future(asyncio.to_thread(_copy, source, destination, on_step))
    try:
        await asyncio.shield(copying)
    except asyncio.CancelledError:
        stop = True
        with contextlib.suppress(StoreError, _StoppedError):
            await finish(copying)
        raise


class _StoppedError(Exception):
    """Ends the copying thread; never leaves this module."""


def _copy(source: Path, destination: Path, on_step: Callable[[int, int, int], None]) -> None:
    if not source.exists():
        raise StoreError("there is no ledger; name its file", subject=str(source))
    if destination.exists():
        raise StoreError("the file exists; name another or remove it", subject=str(destination))
    part = destination.with_name(f"{destination.name}.part")
    try:
        os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600))
        _copy_pages(source, part, on_step)
        with part.open("rb") as written:
            os.fsync(written.fileno())
        os.link(part, destination)  # unlike a rename, this never replaces what came there meanwhile
    except sqlite3.Error as exc:
        raise translate(exc, str(destination)) from exc
    except OSError as exc:
        raise StoreError(f"the copy cannot be written ({exc.strerror})", subject=str(destination)) from exc
    finally:
        part.unlink(missing_ok=True)


def _copy_pages(source: Path, part: Path, on_step: Callable[[int, int, int], None]) -> None:
    with contextlib.closing(connect_reader(source)) as reading, contextlib.closing(sqlite3.connect(part)) as writing:
        # Without a transaction of ours each step would see a newer state, and begin from the start again.
        reading.execute("BEGIN")
        reading.execute("SELECT instance_id FROM meta").fetchone()
        reading.backup(writing, pages=_PAGES_PER_STEP, progress=on_step)
        reading.execute("ROLLBACK")
        writing.execute("PRAGMA journal_mode=DELETE")
        [verdict] = writing.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise StoreError(f"the copy is damaged ({verdict}); the ledger itself may be too", subject=str(source))

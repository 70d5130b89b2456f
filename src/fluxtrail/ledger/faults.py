"""What the database says when it fails, as a StoreError that tells what to do.

No SQLAlchemy or sqlite3 exception leaves this folder.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import SQLAlchemyError

from fluxtrail.model.errors import StoreError
from fluxtrail.model.redaction import redact

_REMEDIES: dict[str, tuple[str, bool]] = {
    "SQLITE_FULL": ("the disk (or the quota) is full; free some space: nothing committed is lost", True),
    "SQLITE_READONLY": (
        "the file or its folder cannot be written; mount it read-write and let this user own it",
        False,
    ),
    "SQLITE_CANTOPEN": ("the file cannot be opened; check that its folder exists and belongs to this user", False),
    "SQLITE_PERM": ("access is denied; check who owns the file", False),
    "SQLITE_AUTH": ("access is denied; check who owns the file", False),
    "SQLITE_CORRUPT": ("the file is damaged; restore a backup made by `fluxtrail db backup`, or move it away", False),
    "SQLITE_NOTADB": (
        "the file is no ledger (or is encrypted or damaged); name another file or restore a backup",
        False,
    ),
    "SQLITE_BUSY": ("another process holds the file; stop it, or wait", True),
    "SQLITE_LOCKED": ("another connection holds the file; try again", True),
    "SQLITE_IOERR": ("the disk failed or refused the operation; look at the system's log and at quotas", True),
    "SQLITE_NOMEM": ("memory is short; raise the limit", True),
    "SQLITE_CONSTRAINT": ("the record contradicts what is kept", False),
}


def translate(exc: BaseException, subject: str) -> StoreError:
    """Return the StoreError for a failure of the database; `subject` is the ledger's path or address."""
    cause = getattr(exc, "orig", None) or exc
    code = getattr(cause, "sqlite_errorname", "") or ""
    said = redact(str(cause), limit_bytes=300)
    for prefix, (remedy, retryable) in _REMEDIES.items():
        if code.startswith(prefix):
            return StoreError(f"{remedy} ({code}: {said})", retryable=retryable, subject=subject)
    return StoreError(f"the ledger failed: {said or type(cause).__name__}", subject=subject)


@contextmanager
def translated(subject: str) -> Iterator[None]:
    """Turn any exception of the database inside the block into a StoreError.

    Raises:
        StoreError: in place of every SQLAlchemyError and sqlite3.Error.
    """
    try:
        yield
    except (SQLAlchemyError, sqlite3.Error) as exc:
        raise translate(exc, subject) from exc

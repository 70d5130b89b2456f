"""What the database says when it fails, as a StoreError that tells what to do.

No SQLAlchemy or sqlite3 exception leaves this folder.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

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


_STATES: dict[str, tuple[str, bool]] = {
    "08": ("there is no connection to the database; look at address, login, network, and whether it runs", True),
    "28": ("the database refused the login; check user, password and pg_hba.conf", False),
    "3D": ("there is no such database; create it first", False),
    "42501": ("the user may not do this; let it own the database's schema", False),
    "42": ("the tables are not those of this version; is the schema (search_path) the right one?", False),
    "23": ("the record contradicts what is kept", False),
    "25P03": ("the unit took too long, and the database gave it up", True),
    "25006": ("the database is read-only: a standby, or one being taken over; name the one that is written", True),
    "53": ("the database is short of disk, memory or connections", True),
    "57014": ("the database took too long for this", True),
    "57": ("the database is stopping or starting", True),
    "58": ("the database's system failed; look at its log", True),
    "XX": ("the database is damaged; look at its log", False),
}
"""By SQLSTATE or its class. Source: https://www.postgresql.org/docs/current/errcodes-appendix.html"""
_COLLISIONS = ("40001", "40P01", "55P03")
_ATTEMPTS = 10

P = ParamSpec("P")
T = TypeVar("T")


class CollisionError(StoreError):
    """Another transaction got in the way, and nothing was kept: the same again succeeds."""

    retryable_by_default = True


def again(method: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    """Let a whole transaction be tried again after a collision; it must do nothing but that."""

    @wraps(method)
    async def attempt(*args: P.args, **kwargs: P.kwargs) -> T:
        for _ in range(_ATTEMPTS - 1):
            try:
                return await method(*args, **kwargs)
            except CollisionError:
                continue
        return await method(*args, **kwargs)

    return attempt


def translate(exc: BaseException, subject: str) -> StoreError:
    """Return the StoreError for a failure of the database; `subject` is the ledger's path or address."""
    cause = getattr(exc, "orig", None) or exc
    if isinstance(cause, PoolTimeoutError):
        return StoreError("all connections are busy; try again", retryable=True, subject=subject)
    code = getattr(cause, "sqlite_errorname", "") or ""
    said = redact(str(cause), limit_bytes=300)
    if state := getattr(cause, "sqlstate", None) or _state_of(cause):
        return _of_state(state, said, subject)
    for prefix, (remedy, retryable) in _REMEDIES.items():
        if code.startswith(prefix):
            return StoreError(f"{remedy} ({code}: {said})", retryable=retryable, subject=subject)
    return StoreError(f"the ledger failed: {said or type(cause).__name__}", subject=subject)


def _state_of(cause: BaseException) -> str | None:
    """A connection that was never made, or broke, has no SQLSTATE; neither has what psycopg itself refuses."""
    return "08" if type(cause).__module__.startswith("psycopg") and type(cause).__name__ == "OperationalError" else None


def _of_state(state: str, said: str, subject: str) -> StoreError:
    if state in _COLLISIONS:
        return CollisionError(
            f"another process was writing the same, or for too long; try again ({state})", subject=subject
        )
    remedy, retryable = _STATES.get(state) or _STATES.get(state[:2]) or ("the ledger failed", False)
    return StoreError(f"{remedy} ({state}: {said})", retryable=retryable, subject=subject)


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

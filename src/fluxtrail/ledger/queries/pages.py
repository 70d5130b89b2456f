"""Pages of lists and the cursors between them.

A cursor holds the key of the last row seen, so a list goes on behind it whatever was added before it.
"""

import base64
import binascii
from typing import Generic, TypeVar

import msgspec

from fluxtrail.model.errors import ConfigError

T = TypeVar("T")
K = TypeVar("K")

LIMIT = 1000
"""The most that one page holds, whatever was asked for."""


class Page(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """One piece of a list. `next` continues it; None at its end."""

    items: list[T]
    next: str | None = None


def write_cursor(key: tuple[object, ...]) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(key)).decode().rstrip("=")


def read_cursor(cursor: str, key: type[K]) -> K:
    """Return the key in a cursor.

    Raises:
        ConfigError: it is no cursor of this list; `subject` is `cursor`.
    """
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        return msgspec.json.decode(base64.b64decode(padded, altchars=b"-_", validate=True), type=key)
    except (ValueError, binascii.Error, msgspec.DecodeError) as exc:
        raise ConfigError(
            f"{cursor[:80]!r} is no cursor of this list; start again without one", subject="cursor"
        ) from exc


def bounded(limit: int) -> int:
    return max(1, min(limit, LIMIT))

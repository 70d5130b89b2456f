"""Statements are compiled once in a process, whatever the number of engines that run them.

SQLAlchemy keeps what it has compiled by engine; a ledger has one that writes and one that reads, and is asked much the
same by both. To compile a statement takes longer than to run it. The keys of that cache have the dialect, of which each
engine has its own; so dialects are equal here that compile alike: of one kind, for one version of the server.

Source: https://docs.sqlalchemy.org/en/21/core/connections.html#sql-compilation-caching
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import URL
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.postgresql.psycopg import PGDialectAsync_psycopg
from sqlalchemy.dialects.sqlite.aiosqlite import SQLiteDialect_aiosqlite
from sqlalchemy.util import LRUCache

SQLITE, POSTGRES = "sqlite+fluxtrail", "postgresql+fluxtrail"
"""What URLs of engines begin with."""
STATEMENTS = 1000
COMPILED: LRUCache[Any, Any] = LRUCache(STATEMENTS)
"""For the execution option `compiled_cache`."""


class _Alike:
    server_version_info: tuple[Any, ...] | None

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self._version() == other._version()

    def __hash__(self) -> int:
        return hash(type(self))

    def _version(self) -> tuple[Any, ...] | None:
        """Return the server's version; None until the first connection is made."""
        return getattr(self, "server_version_info", None)


class SqliteCompiler(_Alike, SQLiteDialect_aiosqlite):
    supports_statement_cache = True


class PostgresCompiler(_Alike, PGDialectAsync_psycopg):
    supports_statement_cache = True

    @classmethod
    def get_async_dialect_cls(cls, url: URL) -> type[PostgresCompiler]:
        return cls  # of itself, psycopg's dialect would take its own


registry.register(SQLITE.replace("+", "."), __name__, SqliteCompiler.__name__)
registry.register(POSTGRES.replace("+", "."), __name__, PostgresCompiler.__name__)

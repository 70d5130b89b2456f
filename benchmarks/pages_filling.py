"""Writes a planned world into a ledger in bulk: into a file as it is made, into PostgreSQL by copying that file.

What the ledger would keep row by row is written at once, without its indexes, which are made behind it. Nothing else is
different: migrations made the tables, and the statistics are those that the product has, none in SQLite.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable
from contextlib import closing
from itertools import chain, islice
from pathlib import Path

import psycopg
from benchmarks import pages_rows_around as around
from benchmarks.pages_rows import Row, Rows, name_of, uid_of
from benchmarks.pages_world import CLUSTERS, REPOSITORIES, SERVICES, World, digits, sha_of
from psycopg import sql
from sqlalchemy import Boolean, Table

from fluxtrail.ledger import schema
from fluxtrail.ledger.ledger import SqlLedger
from fluxtrail.runtime.clock import SystemClock

BATCH = 20_000
_PRAGMAS = ("journal_mode=OFF", "synchronous=OFF", "foreign_keys=OFF", "cache_size=-262144", "temp_store=MEMORY")
_TRANSITIONS = """
INSERT INTO transitions (at, kind, target_id, commit_id, sync_id, before, after, detail)
SELECT at, kind, target_id, commit_id, sync_id, before, after, '{}' FROM (
    SELECT at, 'commit_seen' AS kind, NULL AS target_id, id AS commit_id, NULL AS sync_id, '' AS before, '' AS after
    FROM commits
    UNION ALL
    SELECT at + 420000000, 'built', NULL, id, NULL, '', build_state FROM commits WHERE build_state IS NOT NULL
    UNION ALL
    SELECT started_at, 'sync', target_id, NULL, id, 'running', outcome FROM syncs WHERE NOT is_unchanged
    UNION ALL
    SELECT since, 'verdict', target_id, commit_id, applied_sync, 'pending', 'deployed' FROM deliveries
    WHERE verdict = 1
) ORDER BY at
"""
_LISTED = """
UPDATE images SET listed_at = found.at, is_running = found.runs
FROM (SELECT head, max(since) AS at, max(until IS NULL) AS runs FROM image_runs GROUP BY head) AS found
WHERE images.digest = found.head
"""
_SECONDARY = """
SELECT indexname, indexdef FROM pg_indexes
WHERE schemaname = 'public' AND indexname NOT IN (SELECT conname FROM pg_constraint)
"""


async def fill(path: Path, deliveries: int) -> None:
    """Make a ledger at `path` with about so many deliveries, the newest of them of now."""
    began = time.monotonic()
    clock = SystemClock()
    await (await SqlLedger.open(path, clock=clock)).close()
    world = World(deliveries, now=int(clock.now().timestamp() * 1_000_000))
    rows = Rows(world)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")
        indexes = _drop_indexes(connection)
        connection.execute("BEGIN")
        for table, found in _tables(rows):
            _insert(connection, table, iter(found))
        connection.execute(_TRANSITIONS)
        for statement in indexes:
            connection.execute(statement)
        connection.execute(_LISTED)
        connection.execute("COMMIT")
    await (await SqlLedger.open(path, clock=clock)).close()  # back to the write-ahead log
    megabytes = size_of(path) // 2**20
    print(f"# a ledger of {megabytes:,} MiB made in {time.monotonic() - began:.0f} s", flush=True)


def size_of(path: Path) -> int:
    return path.stat().st_size


def _tables(rows: Rows) -> Iterable[tuple[Table, Iterable[Row]]]:
    now = rows.world.now
    fleets = [(number + 1, len(SERVICES) + number % 5 + 1) for number in range(len(SERVICES))]
    heads = {chain_: changes[-1].decider for chain_, changes in rows.world.branches.items() if changes}
    named = list(enumerate(REPOSITORIES))
    yield schema.clusters, ((uid_of(n), name, now) for n, name in enumerate(CLUSTERS))
    kinds = ("Kustomization", "HelmRelease", "GitRepository")
    yield schema.stream_marks, ((uid_of(n), kind, now) for n in range(len(CLUSTERS)) for kind in kinds)
    yield schema.repositories, ((n + 1, name_of(n), f"https://{name_of(n)}", "main") for n, _ in named)
    yield schema.repository_exports, fleets
    shas = ((sha_of(heads[n]) if n in heads else digits("head", n), digits("first", n)) for n, _ in named)
    yield (
        schema.branches,
        ((n + 1, "main", head, now, base, None) for (n, _), (head, base) in zip(named, shas, strict=True)),
    )
    yield schema.commits, rows.commits()
    yield schema.aliases, rows.aliases()
    yield schema.chains, ((n + 1, n + 1, "main", length) for n, length in enumerate(rows.lengths()))
    yield schema.links, rows.links()
    yield schema.exports, rows.exports()
    yield schema.ci_runs, around.ci_runs(rows)
    yield schema.pull_requests, around.pull_requests(rows)
    yield schema.sources, rows.sources()
    yield schema.fetches, rows.fetches()
    yield schema.targets, rows.target_rows()
    yield schema.syncs, rows.sync_rows()
    yield schema.deliveries, rows.deliveries()
    yield schema.images, around.images(rows)
    yield schema.image_runs, around.image_runs(rows)
    yield schema.workloads, around.workloads(rows)
    yield schema.rollouts, around.rollouts(rows)
    yield schema.reports, around.reports(rows)
    yield schema.deployment_records, around.records(rows)
    yield schema.said, around.said(rows)


def _drop_indexes(connection: sqlite3.Connection) -> list[str]:
    """Return what makes the indexes again that are dropped: all that no constraint needs."""
    wanted = "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
    found = connection.execute(wanted).fetchall()
    for name, _ in found:
        connection.execute(f'DROP INDEX "{name}"')
    return [statement for _, statement in found]


def _insert(connection: sqlite3.Connection, table: Table, found: Iterable[Row]) -> None:
    remaining = iter(found)
    head = next(remaining, None)
    if head is None:
        return
    names = ", ".join(f'"{column.name}"' for column in list(table.columns)[: len(head)])
    places = ", ".join("?" * len(head))
    connection.executemany(
        f"INSERT INTO {table.name} ({names}) VALUES ({places})",
        chain([head], remaining),
    )


async def copy_to_postgres(path: Path, url: str) -> None:
    """Copy a ledger's file into an empty database, and let the statistics be made as autovacuum would."""
    began = time.monotonic()
    await (await SqlLedger.open(url, clock=SystemClock())).close()
    with closing(sqlite3.connect(path)) as source, psycopg.connect(url, autocommit=True) as target:
        target.execute("SET session_replication_role = replica")
        indexes = target.execute(_SECONDARY).fetchall()
        for name, _ in indexes:
            target.execute(sql.SQL("DROP INDEX {}").format(sql.Identifier(name)))
        for table in schema.metadata.sorted_tables:
            if table.name not in ("meta", "notes"):
                _copy(source, target, table)
        for _, statement in indexes:
            target.execute(statement)
        target.execute("VACUUM ANALYZE")
    print(f"# copied to PostgreSQL in {time.monotonic() - began:.0f} s", flush=True)


def _copy(source: sqlite3.Connection, target: psycopg.Connection, table: Table) -> None:
    names = [column.name for column in table.columns]
    flags = [number for number, column in enumerate(table.columns) if isinstance(column.type, Boolean)]
    wanted = ", ".join(f'"{name}"' for name in names)
    found = source.execute(f"SELECT {wanted} FROM {table.name}")
    columns = sql.SQL(", ").join(map(sql.Identifier, names))
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(table.name), columns)
    with target.cursor() as cursor, cursor.copy(statement) as copy:
        while batch := list(islice(found, BATCH)):
            for given in batch:
                row = list(given)
                for number in flags:
                    row[number] = None if row[number] is None else bool(row[number])
                copy.write_row(row)
    if table.name != "notes" and "id" in table.columns and table.columns["id"].primary_key:
        target.execute(
            sql.SQL("SELECT setval(pg_get_serial_sequence({}, 'id'), greatest((SELECT max(id) FROM {}), 1))").format(
                sql.Literal(table.name), sql.Identifier(table.name)
            )
        )

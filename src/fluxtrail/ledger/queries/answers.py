"""Every question the ledger answers, each on one snapshot of everything committed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

from sqlalchemy import select

from fluxtrail.ledger import rows, schema
from fluxtrail.ledger.queries import commits, deliveries, events, outlines, targets, telling, trails
from fluxtrail.ledger.queries.asking import LIMIT, Instant
from fluxtrail.ledger.queries.board import read_board
from fluxtrail.ledger.queries.board_rows import BoardFilter
from fluxtrail.ledger.queries.ci import CiAnswers
from fluxtrail.ledger.queries.counts import count
from fluxtrail.ledger.queries.deliveries import DeliveryFilter
from fluxtrail.ledger.queries.feed import read_feed
from fluxtrail.ledger.queries.pages import Page, bounded
from fluxtrail.ledger.queries.record_answers import RecordAnswers
from fluxtrail.ledger.queries.rendering import Renderer
from fluxtrail.ledger.queries.resolving import find_targets
from fluxtrail.ledger.queries.running_answers import RunningAnswers
from fluxtrail.ledger.queries.search import search
from fluxtrail.model.counts import Counts
from fluxtrail.model.environments import Grouping
from fluxtrail.model.errors import ConfigError
from fluxtrail.model.feed import FeedPage
from fluxtrail.model.records import CommitId, SyncId, Transition
from fluxtrail.model.standing import CommitTrail, Outline
from fluxtrail.model.telling import BuiltImage, CommitTelling, DeliveryTelling, TellingKey
from fluxtrail.model.verdict import Verdict
from fluxtrail.model.views import (
    BoardView,
    Candidate,
    ClusterView,
    CommitView,
    DeliveryView,
    FoundView,
    SyncView,
    TargetView,
    TrailView,
)

NO_GROUPING = Grouping()


class Answers(RecordAnswers, RunningAnswers, CiAnswers):
    """The reading side of a ledger. Answers run beside each other and beside the unit that writes.

    Every method raises StoreError where the ledger cannot be read; lists raise ConfigError for a cursor that is
    none of theirs (subject `cursor`) and for a verdict that does not exist.
    """

    @asynccontextmanager
    async def at_one_instant(self) -> AsyncIterator[Answers]:
        """Yield answers that are all of one snapshot, and on one connection: ask one question after another."""
        async with self._engine.read() as session:
            yield Answers(self._engine, self._catalog, Instant(session))

    async def find_trail(
        self, query: str, *, now: datetime, settle_after: timedelta, limit_targets: int | None = None
    ) -> TrailView | list[Candidate] | None:
        """Return the trail of what `query` means, its candidates where it means several things, None for nothing.

        Args:
            query: a sha, a prefix of one (4 digits or more), `owner/repo@<sha>`, `#12`, `owner/repo#12`,
                `kind/name` or `kind/namespace/name` (what is applied there).
            limit_targets: shows no more deliveries than this; whether it is settled goes by all.
        """
        async with self._situation() as (session, situation):
            renderer = Renderer(situation, now=now, settle_after=settle_after)
            return await trails.find_trail(session, renderer, query, now=now, limit_targets=limit_targets)

    async def trails(
        self, ids: Sequence[CommitId], *, now: datetime, settle_after: timedelta, is_whole: bool = False
    ) -> dict[CommitId, CommitTrail]:
        """Return the trails of these commits; those that are gone are left out.

        Args:
            is_whole: with the targets that they do not affect.
        """
        async with self._situation() as (session, situation):
            renderer = Renderer(situation, now=now, settle_after=settle_after)
            return await trails.read_trails(session, renderer, ids, now=now, is_whole=is_whole)

    async def outlines(self, ids: Sequence[CommitId]) -> dict[CommitId, Outline]:
        """Return what of the trails of these commits costs little; those that are gone are left out."""
        async with self._situation() as (session, situation):
            return await outlines.read_outlines(session, situation, ids)

    async def list_commits(
        self,
        *,
        now: datetime,
        settle_after: timedelta | None = None,
        repository: str | None = None,
        branch: str | None = None,
        author: str | None = None,
        verdict: str | None = None,
        since: datetime | None = None,
        carriers: bool = True,
        limit: int = LIMIT,
        cursor: str | None = None,
    ) -> Page[CommitView]:
        """Return commits, the last merged first.

        Args:
            repository: its canonical name, or the end of it (`acme/shop`).
            author: a part of the name, in any case.
            verdict: only commits with such a delivery.
        """
        async with self._situation() as (session, situation):
            return await commits.list_commits(
                session,
                situation,
                now=now,
                repository=repository,
                branch=branch,
                author=author,
                verdict=_verdict(verdict),
                since=since,
                carriers=carriers,
                limit=limit,
                cursor=cursor,
            )

    async def list_deliveries(
        self,
        *,
        now: datetime,
        settle_after: timedelta,
        cluster: str | None = None,
        namespace: str | None = None,
        target: str | None = None,
        repository: str | None = None,
        sha: str | None = None,
        verdict: str | None = None,
        since: datetime | None = None,
        limit: int = LIMIT,
        cursor: str | None = None,
    ) -> Page[DeliveryView]:
        """Return stored deliveries, what changed last first."""
        wanted = DeliveryFilter(
            cluster=cluster,
            namespace=namespace,
            target=target,
            repository=repository,
            sha=sha,
            verdict=_verdict(verdict),
            since=since,
        )
        async with self._situation() as (session, situation):
            renderer = Renderer(situation, now=now, settle_after=settle_after)
            return await deliveries.list_deliveries(session, renderer, wanted, limit=limit, cursor=cursor)

    async def board(
        self,
        *,
        now: datetime,
        settle_after: timedelta,
        grouping: Grouping = NO_GROUPING,
        by: str = "cluster",
        repository: str | None = None,
        author: str | None = None,
        service: str | None = None,
        environment: str | None = None,
        cluster: str | None = None,
        verdict: str | None = None,
        text: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        carriers: bool = False,
        is_brief: bool = False,
        limit: int = LIMIT,
        cursor: str | None = None,
    ) -> BoardView:
        """Return commits × clusters or environments, the last merged first.

        Args:
            grouping: the environments that are set up; a cluster in none is one by itself.
            by: `cluster` or `environment`.
            author, service, text: a part of the author's name, of a target's name or path, of the subject (or the
                beginning of the sha), in any letter case.
            is_brief: cells tell their verdict, of how many, and a reason where none is stored: three times as fast.
        """
        wanted = BoardFilter(
            repository=repository,
            author=author,
            service=service,
            environment=environment,
            cluster=cluster,
            verdict=_verdict(verdict),
            text=text,
            since=since,
            until=until,
            carriers=carriers,
        )
        async with self._situation() as (session, situation):
            renderer = Renderer(situation, now=now, settle_after=settle_after)
            return await read_board(
                session,
                renderer,
                wanted,
                grouping=grouping,
                by_environment=by == "environment",
                is_brief=is_brief,
                now=now,
                limit=limit,
                cursor=cursor,
            )

    async def list_targets(
        self,
        *,
        now: datetime,
        cluster: str | None = None,
        namespace: str | None = None,
        target: str | None = None,
        sort: str | None = None,
        limit: int = LIMIT,
        cursor: str | None = None,
    ) -> Page[TargetView]:
        """Return live targets by cluster, namespace and name.

        Args:
            sort: what comes first: the most `pending` or `failed`, or whose `oldest` waits longest.
        """
        async with self._situation() as (session, situation):
            return await targets.list_targets(
                session,
                situation,
                now=now,
                cluster=cluster,
                namespace=namespace,
                target=target,
                sort=sort,
                limit=limit,
                cursor=cursor,
            )

    async def search(self, text: str, *, limit: int = 8) -> list[FoundView]:
        """Return commits, targets and clusters that a text may mean, so many of each at most, the best first."""
        async with self._situation() as (session, situation):
            return await search(session, situation, text, limit=limit)

    async def target(self, target_id: int, *, now: datetime) -> tuple[TargetView, Sequence[SyncView]] | None:
        """Return a target, deleted ones too, and its newest syncs; None where there is none with this id."""
        async with self._situation() as (session, situation):
            return await targets.find_target(session, situation, target_id, now=now)

    async def find_targets(self, query: str, *, now: datetime) -> list[TargetView]:
        """Return the live targets that `kind/name`, `kind/namespace/name` or a bare name means, over all clusters."""
        async with self._situation() as (session, situation):
            return await targets.target_views(session, situation, find_targets(situation, query.strip()), now=now)

    async def list_clusters(self) -> list[ClusterView]:
        async with self._situation() as (session, situation):
            return await targets.list_clusters(session, situation)

    async def cluster_names(self) -> list[str]:
        async with self._situation() as (_, situation):
            return sorted(situation.names.values())

    async def transitions(self, *, after_id: int, limit: int = LIMIT) -> list[Transition]:
        """Return the history behind `after_id`, oldest first."""
        table = schema.transitions
        wanted = select(table).where(table.c.id > after_id).order_by(table.c.id).limit(bounded(limit))
        async with self._read() as session:
            return [rows.transition_of(row) for row in await session.all(wanted)]

    async def feed(self, after: int | None, limit: int = LIMIT) -> FeedPage:
        """Return the history behind the id `after` with the names of what it is about; None asks for its end."""
        async with self._read() as session:
            return await read_feed(session, after=after, limit=limit)

    async def counts(self, *, now: datetime | None = None) -> Counts:
        """Return the numbers behind the gauges; `now` is not needed: ages are given as times."""
        async with self._situation() as (session, situation):
            return await count(session, situation)

    async def delivery_tellings(self, keys: Sequence[TellingKey]) -> dict[TellingKey, DeliveryTelling]:
        """Return what telemetry tells of deliveries; those that are gone are left out."""
        async with self._read() as session:
            return await telling.read_deliveries(session, keys)

    async def commit_tellings(
        self, ids: Sequence[CommitId], *, now: datetime, settle_after: timedelta
    ) -> dict[CommitId, CommitTelling]:
        """Return what telemetry tells of whole commits; those that are gone are left out."""
        async with self._read() as session:
            return await telling.read_commits(session, ids, now=now, settle_after=settle_after)

    async def first_syncs(self, ids: Sequence[SyncId]) -> set[SyncId]:
        """Return those of them before which nothing was applied on their target, as far as anybody knows."""
        async with self._read() as session:
            return await events.first_syncs(session, ids)

    async def built_images(self, ids: Sequence[CommitId]) -> dict[CommitId, BuiltImage]:
        """Return the image that was built from each commit, where there is one and not several."""
        async with self._read() as session:
            return await events.built_images(session, ids)


def _verdict(text: str | None) -> Verdict | None:
    if text is None:
        return None
    try:
        return Verdict(text)
    except ValueError as exc:
        known = ", ".join(verdict.value for verdict in Verdict)
        raise ConfigError(f"{text[:40]!r} is no verdict; use one of {known}", subject="verdict") from exc

"""How fast the ledger keeps and answers, at 1,000,000 deliveries by default: `python -m benchmarks.ledger`.

The world: 1,000 targets on four clusters follow one manifests repository. Half of the commits are source commits and
half the exports that carry them, and each affects every target; a sync carries ten. The bar (design, Bars): a trail
and every page of a list within 100 ms at the 95th percentile.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import random
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import structlog

from fluxtrail.ledger.columns import VERDICT_CODES, pack_moment, to_micros
from fluxtrail.ledger.ledger import SqlLedger
from fluxtrail.ledger.unit import SqlUnit
from fluxtrail.model.figures import Figures
from fluxtrail.model.moment import Evidence, exact
from fluxtrail.model.observation import ClusterUid, ObjectKey, ObjectUid
from fluxtrail.model.reasons import Outcome
from fluxtrail.model.records import (
    UNSAVED,
    Attribution,
    Cause,
    CommitId,
    CommitRecord,
    DeliveryRecord,
    ExportRecord,
    RepositoryId,
    RepositoryRecord,
    SourceId,
    SourceRecord,
    SyncId,
    SyncRecord,
    TargetId,
    TargetRecord,
)
from fluxtrail.model.verdict import Verdict

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
STEP = timedelta(minutes=10)
CARRIED_TOGETHER = 10
PENDING_COMMITS = 4
SETTLE = timedelta(hours=1)


class SystemClock:
    def now(self) -> datetime:
        return datetime.now(UTC)


def sha(repository: int, number: int) -> str:
    return f"{random.Random(number * 7 + repository).getrandbits(160):040x}"


class World:
    """Fills a ledger: the small tables through units, deliveries and syncs straight into the file."""

    def __init__(self, ledger: SqlLedger, targets: int, commits: int) -> None:
        self.ledger = ledger
        self.pairs = commits // 2
        self.now = BEGIN + STEP * (self.pairs + 1)
        self.size = targets
        self.targets: list[TargetRecord] = []
        self.shas = [sha(1, number) for number in range(self.pairs)]

    async def fill(self) -> None:
        async with self.ledger.unit() as unit:
            shop, manifests = [
                await unit.put_repository(
                    RepositoryRecord(
                        id=RepositoryId(UNSAVED),
                        canonical=f"github.com/acme/{name}",
                        url=f"https://github.com/acme/{name}",
                        default_branch="main",
                    )
                )
                for name in ("shop", "manifests")
            ]
            sources = await unit.put_commits([self._commit(shop, 1, n) for n in range(self.pairs)])
            carriers = await unit.put_commits([self._commit(manifests, 2, n) for n in range(self.pairs)])
            for repository, chain in ((shop, sources), (manifests, carriers)):
                await unit.extend_chain(repository.id, "main", [commit.id for commit in chain])
            await unit.put_exports(
                [
                    ExportRecord(carrier_id=carrier.id, source_id=source.id, stated_at=source.committed_at)
                    for source, carrier in zip(sources, carriers, strict=True)
                ]
            )
            await self._put_targets(unit, manifests, carriers)
        self._fill_deliveries(sources, carriers)

    def _commit(self, repository: RepositoryRecord, of: int, number: int) -> CommitRecord:
        at = BEGIN + STEP * number
        return CommitRecord(
            id=CommitId(UNSAVED),
            repository_id=repository.id,
            sha=sha(of, number),
            subject=f"Change {number}: the checkout asks for the address once",
            author=f"Author {number % 40}",
            committed_at=at,
            merged=exact(at, Evidence.BRANCH_MOVED),
            is_carrier=of == 2,
        )

    async def _put_targets(self, unit: SqlUnit, manifests: RepositoryRecord, carriers: list[CommitRecord]) -> None:
        applied = f"main@sha1:{carriers[-PENDING_COMMITS - 1].sha}"
        fetched = f"main@sha1:{carriers[-2].sha}"
        for cluster in range(4):
            await unit.put_cluster(ClusterUid(f"uid-{cluster}"), f"cluster-{cluster}", self.now)
            await unit.put_source(_source(cluster, manifests, fetched))
        for number in range(self.size):
            self.targets.append(await unit.put_target(_target(number, manifests, carriers[0].sha, applied)))

    def _fill_deliveries(self, sources: list[CommitRecord], carriers: list[CommitRecord]) -> None:
        deployed = self.pairs - PENDING_COMMITS
        per_target = -(-deployed // CARRIED_TOGETHER)
        connection = sqlite3.connect(self.ledger.path, isolation_level=None)
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(_INSERT_SYNC, self._syncs(carriers, per_target))
        connection.executemany(_INSERT_DELIVERY, self._deliveries(sources, carriers, per_target))
        connection.execute("COMMIT")
        connection.close()

    def _syncs(self, carriers: list[CommitRecord], per_target: int) -> Iterator[tuple[object, ...]]:
        for index, target in enumerate(self.targets):
            for number in range(per_target):
                last = carriers[min((number + 1) * CARRIED_TOGETHER, len(carriers) - PENDING_COMMITS) - 1]
                assert last.committed_at is not None
                at = last.committed_at + timedelta(seconds=30, milliseconds=index)
                sync_id = index * per_target + number + 1
                moments = [
                    pack_moment(exact(at + timedelta(seconds=s), Evidence.STATUS_OBSERVED)) for s in (5, 0, 20, 60)
                ]
                yield sync_id, target.id, f"main@sha1:{last.sha}", last.sha, *moments, moments[3], to_micros(at)

    def _deliveries(
        self, sources: list[CommitRecord], carriers: list[CommitRecord], per_target: int
    ) -> Iterator[tuple[object, ...]]:
        codes = VERDICT_CODES
        deployed = self.pairs - PENDING_COMMITS
        for index, target in enumerate(self.targets):
            for of, commits in ((1, sources), (2, carriers)):
                for number, commit in enumerate(commits):
                    assert commit.committed_at is not None
                    since = to_micros(commit.committed_at) + 60_000_000 + index * 1000
                    carrier = carriers[number].id if of == 1 else None
                    verdict, sync = Verdict.PENDING, None
                    if number < deployed:
                        sync = index * per_target + number // CARRIED_TOGETHER + 1
                        verdict = Verdict.ROLLED_BACK if (number + index) % 997 == 0 else Verdict.DEPLOYED
                    elif index % 50 == 0:
                        verdict = Verdict.FAILED
                    yield target.id, commit.id, commit.repository_id, codes[verdict], since, "", carrier, sync, sync


_INSERT_SYNC = f"""
    INSERT INTO syncs (id, target_id, revision, sha, started, fetched, applied, healthy, succeeded, started_at, cause,
        generation, outcome, reason, message, is_unchanged, has_new_manifests, attribution, version, attributed_version)
    VALUES (?,?,?,?,?,?,?,?,?,?, '{Cause.REVISION}', 1, '{Outcome.SUCCEEDED}', '', '', 0, 0, '{Attribution.DONE}', 1, 1)
"""
_INSERT_DELIVERY = """
    INSERT INTO deliveries (target_id, commit_id, repository_id, verdict, since, reason, carrier_id, applied_sync,
        healthy_sync, is_scope_unknown)
    VALUES (?,?,?,?,?,?,?,?,?, 0)
"""


def _source(cluster: int, manifests: RepositoryRecord, revision: str) -> SourceRecord:
    return SourceRecord(
        id=SourceId(UNSAVED),
        cluster=ClusterUid(f"uid-{cluster}"),
        key=ObjectKey("source.toolkit.fluxcd.io", "GitRepository", "flux-system", "manifests"),
        uid=ObjectUid(f"source-{cluster}"),
        url=manifests.url,
        repository_id=manifests.id,
        branch="main",
        follows_tags=False,
        is_suspended=False,
        ignore=None,
        sparse_checkout=(),
        revision=revision,
        digest=None,
        problem=None,
        observed_at=BEGIN,
    )


def _target(number: int, manifests: RepositoryRecord, baseline: str, applied: str) -> TargetRecord:
    cluster = ClusterUid(f"uid-{number % 4}")
    return TargetRecord(
        id=TargetId(UNSAVED),
        cluster=cluster,
        key=ObjectKey("kustomize.toolkit.fluxcd.io", "Kustomization", f"team-{number % 25}", f"app-{number}"),
        uid=ObjectUid(f"target-{number}"),
        lands_on=cluster,
        source=ObjectKey("source.toolkit.fluxcd.io", "GitRepository", "flux-system", "manifests"),
        repository_id=manifests.id,
        branch="main",
        follows_tags=False,
        path=f"apps/{number}",
        components=(),
        generation=1,
        is_suspended=number % 40 == 0,
        has_checks=True,
        attempted=applied,
        applied=applied,
        applied_digest="sha256:00",
        applied_generation=1,
        phase=Outcome.SUCCEEDED,
        reason="ReconciliationSucceeded",
        message="Applied revision",
        phase_since=BEGIN,
        baseline_sha=baseline,
        awaits_baseline=False,
        sync_id=None,
        first_seen_at=BEGIN,
        observed_at=BEGIN,
    )


async def timed(name: str, times: int, ask: Callable[[int], Awaitable[object]], *, bar_ms: float | None = None) -> None:
    """Print the percentiles of `times` calls, the first one apart: it finds nothing in memory."""
    begun = time.perf_counter()
    await ask(0)
    first = (time.perf_counter() - begun) * 1000
    took, used = [], time.process_time()
    for number in range(1, times + 1):
        begun = time.perf_counter()
        await ask(number)
        took.append((time.perf_counter() - begun) * 1000)
    used = (time.process_time() - used) * 1000 / times
    cuts = statistics.quantiles(took, n=100, method="inclusive")
    verdict = "" if bar_ms is None else f"  bar {bar_ms:.0f}: {'met' if cuts[94] <= bar_ms else 'MISSED'}"
    wall = f"first {first:7.1f}  p50 {cuts[49]:7.2f}  p95 {cuts[94]:7.2f}  p99 {cuts[98]:7.2f}"
    print(f"{name:<50} {wall}  CPU {used:6.2f} ms{verdict}")


async def write_figures(world: World, times: int) -> None:
    ledger, numbers = world.ledger, itertools.count(10**6)
    newest = world.targets[-1]

    async def small_unit(_: int) -> None:
        async with ledger.unit() as unit:
            [commit] = await unit.put_commits([_one_commit(newest, next(numbers))])
            sync = await unit.put_sync(_one_sync(newest, commit))
            await unit.put_deliveries([_one_delivery(commit, newest, sync)])

    async def thousand_commits(_: int) -> None:
        async with ledger.unit() as unit:
            await unit.put_commits([_one_commit(newest, next(numbers)) for _ in range(1000)])

    await timed("unit with one commit, sync and delivery", times * 5, small_unit)
    await timed("unit with 1,000 new commits", 10, thousand_commits)


def _one_commit(target: TargetRecord, number: int) -> CommitRecord:
    assert target.repository_id is not None
    return CommitRecord(
        id=CommitId(UNSAVED), repository_id=target.repository_id, sha=sha(3, number), committed_at=BEGIN
    )


def _one_sync(target: TargetRecord, commit: CommitRecord) -> SyncRecord:
    return SyncRecord(
        id=SyncId(UNSAVED),
        target_id=target.id,
        revision=f"main@sha1:{commit.sha}",
        sha=commit.sha,
        previous=None,
        previous_sha=None,
        cause=Cause.REVISION,
        generation=1,
        outcome=Outcome.SUCCEEDED,
        started=exact(BEGIN, Evidence.STATUS_OBSERVED),
    )


def _one_delivery(commit: CommitRecord, target: TargetRecord, sync: SyncRecord) -> DeliveryRecord:
    return DeliveryRecord(
        commit_id=commit.id, target_id=target.id, verdict=Verdict.DEPLOYED, since=BEGIN, applied_sync=sync.id
    )


async def read_figures(world: World, times: int) -> None:
    ledger, now, shas = world.ledger, world.now, world.shas
    pick = random.Random(1)

    async def trail(number: int) -> None:
        asked = shas[-1] if number % 10 == 0 else pick.choice(shas)
        assert await ledger.find_trail(asked, now=now, settle_after=SETTLE)

    async def prefix(_: int) -> None:
        assert await ledger.find_trail(pick.choice(shas)[:12], now=now, settle_after=SETTLE)

    await timed("trail, every target (with each 10th one pending)", times, trail, bar_ms=100)
    await timed("trail by prefix", times, prefix, bar_ms=100)
    filters: dict[str, dict[str, str | datetime]] = {
        "everything": {},
        "verdict=rolled_back": {"verdict": "rolled_back"},
        "verdict=pending": {"verdict": "pending"},
        "cluster": {"cluster": "cluster-2"},
        "namespace": {"namespace": "team-7"},
        "namespace and verdict=failed": {"namespace": "team-0", "verdict": "failed"},
        "target": {"target": "Kustomization/team-7/app-7"},
        "repository": {"repository": "acme/shop"},
        "repository and cluster": {"repository": "acme/shop", "cluster": "cluster-1"},
        "sha": {"sha": shas[10]},
        "since": {"since": BEGIN + STEP * 5},
    }
    for name, chosen in filters.items():
        await timed(f"deliveries: {name}, 100 a page", times, _pages(world, chosen), bar_ms=100)

    async def commits(_: int) -> None:
        await ledger.list_commits(now=now, limit=100)

    async def commits_failed(_: int) -> None:
        await ledger.list_commits(now=now, verdict="failed", limit=100)

    async def targets(_: int) -> None:
        await ledger.list_targets(now=now, limit=100)

    async def one_target(number: int) -> None:
        await ledger.target(number % world.size + 1, now=now)

    async def clusters(_: int) -> None:
        await ledger.list_clusters()

    async def counts(_: int) -> None:
        await ledger.counts(now=now)

    await timed("commits, 100 a page", times, commits, bar_ms=100)
    await timed("commits: verdict=failed, 100 a page", times, commits_failed, bar_ms=100)
    await timed("targets, 100 a page", times, targets, bar_ms=100)
    await timed("one target with its syncs", times, one_target, bar_ms=100)
    await timed("clusters", times, clusters, bar_ms=100)
    await timed("counts for the gauges", times, counts)


def _pages(world: World, chosen: dict[str, str | datetime]) -> Callable[[int], Awaitable[None]]:
    """Walk through the list page by page, from the start again at its end."""
    cursor: str | None = None

    async def ask(_: int) -> None:
        nonlocal cursor
        page = await world.ledger.list_deliveries(
            now=world.now,
            settle_after=SETTLE,
            limit=100,
            cursor=cursor,
            **chosen,  # type: ignore[arg-type]
        )
        cursor = page.next

    return ask


async def fold_figures(world: World) -> None:
    begun, used, rows = time.perf_counter(), time.process_time(), 0
    async for batch in world.ledger.delivery_facts():
        rows += len(batch)
    took = f"{time.perf_counter() - begun:.2f} s, {time.process_time() - used:.2f} CPU s"
    print(f"facts of {rows:,} applied deliveries: {took}; RSS {_rss_mib():.0f} MiB")
    begun, used, figures = time.perf_counter(), time.process_time(), Figures()
    async for batch in world.ledger.delivery_facts():
        for facts in batch:
            figures.add(facts)
    took = f"{time.perf_counter() - begun:.2f} s, {time.process_time() - used:.2f} CPU s"
    print(f"facts and fold: {took}; RSS {_rss_mib():.0f} MiB")


def _rss_mib() -> float:
    return float(psutil.Process().memory_info().rss) / 2**20


def _size_mib(folder: Path) -> float:
    return sum(file.stat().st_size for file in folder.iterdir()) / 2**20


async def run(targets: int, commits: int, times: int, folder: Path) -> None:
    begun = time.perf_counter()
    ledger = await SqlLedger.open(folder / "ledger.sqlite", clock=SystemClock())
    print(f"a new ledger opened in {(time.perf_counter() - begun) * 1000:.0f} ms")
    world = World(ledger, targets, commits)
    await world.fill()
    rows = targets * world.pairs * 2
    print(f"{rows:,} deliveries made in {time.perf_counter() - begun:.0f} s; {_size_mib(folder):.0f} MiB on disk")
    await ledger.close()
    begun = time.perf_counter()
    world.ledger = ledger = await SqlLedger.open(folder / "ledger.sqlite", clock=SystemClock())
    print(f"opened again in {(time.perf_counter() - begun) * 1000:.0f} ms; RSS {_rss_mib():.0f} MiB")
    try:
        await read_figures(world, times)
        print(f"RSS after all answers {_rss_mib():.0f} MiB")
        await write_figures(world, times)
        await fold_figures(world)
        begun = time.perf_counter()
        await ledger.backup(folder / "copy.sqlite")
        print(f"backup: {time.perf_counter() - begun:.1f} s")
        begun = time.perf_counter()
        async with ledger.unit() as unit:
            pruned = await unit.prune(BEGIN + STEP * 10, limit=1000)
        print(
            f"one bite of retention: {(time.perf_counter() - begun) * 1000:.0f} ms for {pruned.deliveries} deliveries"
        )
    finally:
        await ledger.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--targets", type=int, default=1000)
    parser.add_argument("--commits", type=int, default=1000, help="half sources, half exports")
    parser.add_argument("--times", type=int, default=60, help="calls of each question")
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(30))
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(options.targets, options.commits, options.times, Path(folder)))


if __name__ == "__main__":
    main()

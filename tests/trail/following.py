"""The whole trail on a real ledger and real git: clusters' objects are written by hand, and nothing runs by itself."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec
from tests.ledger.world import fresh_place
from tests.remotes.worlds import BEGIN, Origin
from tests.trail.transcripts import CLUSTER, Controller

from fluxtrail.credentials.binding import CredentialSource
from fluxtrail.ledger.ledger import SqlLedger
from fluxtrail.model.errors import FluxtrailError, NotFoundError, UpstreamError
from fluxtrail.model.flux import SOURCE_GROUP
from fluxtrail.model.observation import ClusterUid, Gone, ObjectKey, ObjectUid, Seen
from fluxtrail.model.records import (
    UNSAVED,
    CommitRecord,
    DeliveryRecord,
    RepositoryId,
    RepositoryRecord,
    SyncRecord,
    TargetRecord,
)
from fluxtrail.model.repository import parse_repository
from fluxtrail.model.sources import ArtifactGenerator, ArtifactSource, GitRef, GitRepository
from fluxtrail.model.verdict import Verdict
from fluxtrail.model.views import DeliveryFacts
from fluxtrail.remotes.allow import AllowList
from fluxtrail.remotes.git.store import GitStore
from fluxtrail.trail.artifacts import ArtifactRecorder
from fluxtrail.trail.attribution import Attributor
from fluxtrail.trail.branches import BranchWatcher
from fluxtrail.trail.exports import ExportBook
from fluxtrail.trail.follower import Follower
from fluxtrail.trail.lookback import Lookback
from fluxtrail.trail.ports import Forge, RepositoryReader
from fluxtrail.trail.recorder import Recorder
from fluxtrail.trail.registry import Registry

replace = msgspec.structs.replace
START = datetime(2026, 3, 1, 12, tzinfo=UTC)
POLL = timedelta(seconds=10)


class HandClock:
    """Stands until it is moved."""

    def __init__(self) -> None:
        self.time = START

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return (self.time - START).total_seconds()

    async def sleep(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)

    def forward(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


class NoForges:
    def find(self, canonical: str) -> Forge | None:
        return None


class Shelf:
    """A registry's layers, by (repository, manifest digest, media type)."""

    def __init__(self) -> None:
        self.layers: dict[tuple[str, str, str], bytes] = {}
        self.gone: set[str] = set()
        self.closed: set[str] = set()
        self.problem: FluxtrailError | None = None
        self.reads = 0

    async def read_layer(
        self, repository_url: str, digest: str, media_type: str, *, limit_bytes: int, insecure: bool = False
    ) -> bytes | None:
        self.reads += 1
        if self.problem is not None:
            raise self.problem
        if digest in self.closed:
            raise UpstreamError("it does not answer", subject=digest, retryable=True)
        if digest in self.gone:
            raise NotFoundError("the manifest is gone", subject=digest)
        return self.layers.get((repository_url, digest, media_type))


class World:
    """One cluster, its repositories, and the parts of the trail as the service wires them."""

    def __init__(self, folder: Path, *, measures_baseline: bool = False) -> None:
        self.folder = folder
        self.clock = HandClock()
        self.origins: dict[str, Origin] = {}
        self.sources: dict[str, GitRepository] = {}
        self.layers = Shelf()
        self.stated: dict[str, Sequence[str]] = {}
        """Origins of the settings, with those that they are exported to."""
        self._measures_baseline = measures_baseline
        self._seen: dict[ObjectKey, int] = {}

    async def __aenter__(self) -> World:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def start(self) -> None:
        """Build everything anew over the same ledger and clones, as a restart does."""
        self._stack = AsyncExitStack()
        place = self.folder / "ledger.sqlite"
        if not place.exists():
            await fresh_place(place)
        self.ledger = await SqlLedger.open(place, clock=self.clock)
        self._stack.push_async_callback(self.ledger.close)
        self.registry = Registry()
        await self.registry.load(self.ledger)
        allow = AllowList(allow_file_protocol=True)
        store = GitStore(self.folder / "clones", allow=allow, credentials=CredentialSource.from_settings([]))
        await self._stack.enter_async_context(store)
        self.exports = ExportBook()
        stated = await self._state()
        common: dict[str, Any] = {"registry": self.registry, "ledger": self.ledger, "clock": self.clock}
        self.recorder = Recorder(
            repositories=store, forges=NoForges(), exports=self.exports, watch_gap=POLL * 2.5, **common
        )
        lookback = Lookback(
            registry=self.registry,
            exports=self.exports,
            clock=self.clock,
            measures_baseline=lambda target: self._measures_baseline,
        )
        artifacts = ArtifactRecorder(exports=self.exports, layers=self.layers, **common)
        self.exports.find_reader = self._open_known
        self.store = store
        self.attributor = Attributor(
            repositories=store,
            recorder=self.recorder,
            exports=self.exports,
            lookback=lookback,
            artifacts=artifacts,
            **common,
        )
        self.branches = BranchWatcher(
            repositories=store,
            recorder=self.recorder,
            artifacts=artifacts,
            every=POLL,
            stated=[(item, None) for item in stated],
            **common,
        )
        self.follower = Follower(
            registry=self.registry,
            ledger=self.ledger,
            on_sync=lambda _: self.attributor.wake(),
            on_source=allow.admit,
            on_move=self.branches.poke,
        )

    def _open_known(self, canonical: str) -> RepositoryReader | None:
        known = self.registry.find_repository(canonical)
        return self.store.open(known.url) if known is not None and known.url else None

    async def restart(self) -> None:
        await self._stack.aclose()
        await self.start()
        self._seen.clear()

    async def _state(self) -> list[RepositoryId]:
        found = []
        async with self.ledger.unit() as unit:

            async def keep(name: str) -> RepositoryRecord:
                parsed = parse_repository(self.origins[name].url)
                known = self.registry.find_repository(parsed.canonical)
                record = known or RepositoryRecord(
                    id=RepositoryId(UNSAVED), canonical=parsed.canonical, url=parsed.fetch_url
                )
                saved = await unit.put_repository(record)
                self.registry.put_repositories([saved])
                return saved

            sources: dict[RepositoryId, list[RepositoryId]] = {}
            for name, manifests in self.stated.items():
                source = await keep(name)
                found.append(source.id)
                for item in manifests:
                    sources.setdefault((await keep(item)).id, []).append(source.id)
        self.exports.set_sources(sources)
        return found

    # -- what happens outside ------------------------------------------------------------------------------------

    def origin(self, name: str) -> Origin:
        folder = self.folder / name
        folder.mkdir()
        self.origins[name] = Origin(folder)
        return self.origins[name]

    def commit(self, origin: str, message: str = "change", **files: str) -> str:
        """Commit and push now; `apps__a` is the file apps/a."""
        return self.commit_files(origin, message, {name.replace("__", "/"): text for name, text in files.items()})

    def commit_files(self, origin: str, message: str, files: dict[str, str]) -> str:
        self.clock.forward(1)
        home = self.origins[origin]
        home.seconds = int((self.clock.time - BEGIN).total_seconds()) - 1
        return home.commit(message, files=files)

    def push_back(self, origin: str, sha: str) -> None:
        """Let the branch be `sha` again, and forget what came after."""
        home = self.origins[origin]
        home.git("reset", "-q", "--hard", sha)
        home.push()

    async def fetch(
        self,
        origin: str,
        sha: str,
        *,
        branch: str = "main",
        url: str | None = None,
        ref: GitRef | None = None,
        **fields: Any,
    ) -> None:
        """Let the cluster's GitRepository have fetched a commit just now."""
        self.clock.forward(2)
        key = ObjectKey(SOURCE_GROUP, "GitRepository", "flux-system", origin)
        item = GitRepository(
            key=key,
            uid=ObjectUid(f"uid-{origin}"),
            generation=1,
            is_deleting=False,
            is_suspended=False,
            url=url or self.origins[origin].url,
            ref=ref or GitRef(branch=branch),
            ignore=None,
            sparse_checkout=(),
            includes=(),
            included=(),
            revision=f"{branch}@sha1:{sha}",
            digest=f"sha256:{sha}",
            updated_at=self.clock.time.replace(microsecond=0),
            conditions=(),
        )
        item = replace(item, **fields)
        seen = Seen(key=key, object=item, observed_at=self.clock.time, was_held=key in self._seen)
        self._seen[key] = 1
        await self.follower.observe(CLUSTER, [seen])

    async def pull(self, source: ArtifactSource, **fields: Any) -> ArtifactSource:
        """Let the cluster's source have this artifact just now; returns it as it is."""
        self.clock.forward(2)
        item = replace(source, updated_at=self.clock.time.replace(microsecond=0), **fields)
        seen = Seen(key=item.key, object=item, observed_at=self.clock.time, was_held=item.key in self._seen)
        self._seen[item.key] = 1
        await self.follower.observe(CLUSTER, [seen])
        return item

    async def generate(self, item: ArtifactGenerator) -> None:
        seen = Seen(key=item.key, object=item, observed_at=self.clock.time, was_held=False)
        await self.follower.observe(CLUSTER, [seen])

    def kustomization(self, name: str = "apps", *, origin: str = "fleet", **fields: Any) -> Controller:
        flux = Controller(has_checks=bool(fields.pop("has_checks", False)))
        key = replace(flux.object.key, name=name)
        fields = {
            "path": f"./{name}",
            "source": ObjectKey(SOURCE_GROUP, "GitRepository", "flux-system", origin),
        } | fields
        flux.object = replace(flux.object, key=key, uid=ObjectUid(f"uid-{name}"), **fields)
        return flux

    async def play(self, flux: Controller, *, cluster: ClusterUid = CLUSTER) -> None:
        """Show the follower each write of a controller, in order and without a gap."""
        for write in flux.writes:
            self.clock.time = max(self.clock.time, write.at)
            key = write.object.key
            seen = Seen(key=key, object=write.object, observed_at=write.at, was_held=key in self._seen)
            self._seen[key] = 1
            await self.follower.observe(cluster, [seen])
        flux.writes.clear()

    def now(self, flux: Controller) -> Controller:
        """Return the controller, brought up to the world's time."""
        flux.now = max(flux.now, self.clock.time)
        return flux

    async def lose(self, flux: Controller) -> None:
        self.clock.forward(1)
        await self.follower.observe(
            CLUSTER, [Gone(key=flux.object.key, uid=flux.object.uid, observed_at=self.clock.time)]
        )
        self._seen.pop(flux.object.key, None)

    async def settle(self) -> None:
        """Let the branches be read and every sync be attributed."""
        self.clock.forward(POLL.total_seconds())
        await self.branches.look()
        for _ in range(20):
            if not await self.attributor.work():
                return
        raise AssertionError("attribution never rests")

    async def deliver(self, flux: Controller, origin: str, sha: str, made: str, *, branch: str = "main") -> None:
        """Fetch, apply and settle."""
        await self.fetch(origin, sha, branch=branch)
        self.now(flux).succeed(f"{branch}@sha1:{sha}", made)
        await self.play(flux)
        await self.settle()

    # -- what came of it -----------------------------------------------------------------------------------------

    def target(self, flux: Controller) -> TargetRecord:
        found = self.registry.find_target(CLUSTER, flux.object.key)
        assert found is not None
        return found

    async def record(self, sha: str) -> CommitRecord:
        async with self.ledger.unit() as unit:
            for repository in await unit.repositories():
                found = (await unit.commits_by_sha(repository.id, [sha])).get(sha)
                if found is not None:
                    return found
        raise AssertionError(f"{sha} is not in the ledger")

    async def row(self, sha: str, flux: Controller) -> DeliveryRecord | None:
        commit = await self.record(sha)
        async with self.ledger.unit() as unit:
            return (await unit.deliveries(self.target(flux).id, [commit.id])).get(commit.id)

    async def delivery(self, sha: str, flux: Controller) -> DeliveryRecord:
        found = await self.row(sha, flux)
        assert found is not None, f"{sha} has no row on {flux.object.key}"
        return found

    async def verdicts(self, shas: Sequence[str], flux: Controller) -> list[str]:
        return [row.verdict.value if (row := await self.row(sha, flux)) else "-" for sha in shas]

    async def sync(self, number: int | None) -> SyncRecord:
        assert number is not None
        async with self.ledger.unit() as unit:
            return (await unit.syncs([number]))[number]  # type: ignore[list-item, index]

    async def facts(self) -> list[DeliveryFacts]:
        return [item async for batch in self.ledger.delivery_facts() for item in batch]

    async def everything(self) -> list[object]:
        """All deliveries and syncs, to compare with later."""
        found: list[object] = []
        async with self.ledger.unit() as unit:
            for target in await unit.targets():
                found.append(replace(target, observed_at=START))
                found += await unit.open_deliveries(target.id, verdicts=list(Verdict))
                found += (await unit.syncs([target.sync_id])).values() if target.sync_id else []
        return found

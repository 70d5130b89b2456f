"""The core without network and clusters: follower, recorder and attributor on a real ledger and a real clone.

Wired as `runtime/assembly.py` wires them; observations are handed in by the benchmark.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
from benchmarks import objects
from benchmarks.measuring import Stopwatch

from fluxtrail.credentials.binding import CredentialSource
from fluxtrail.ledger.columns import VERDICT_CODES
from fluxtrail.ledger.ledger import SqlLedger
from fluxtrail.ledger.sqlite import connect_reader
from fluxtrail.model.flux import project_kustomization
from fluxtrail.model.observation import ClusterUid, Seen
from fluxtrail.model.records import BranchRecord, RepositoryRecord
from fluxtrail.model.sources import project_git_repository
from fluxtrail.model.verdict import Verdict
from fluxtrail.model.wire import WireGitRepository, WireKustomization
from fluxtrail.remotes.allow import AllowList
from fluxtrail.remotes.git.store import GitStore
from fluxtrail.runtime.clock import SystemClock
from fluxtrail.runtime.figures import FoldedLedger
from fluxtrail.runtime.following import build_following
from fluxtrail.trail.attribution import Attributor
from fluxtrail.trail.follower import Follower
from fluxtrail.trail.recorder import Recorder
from fluxtrail.trail.registry import Registry

CLUSTER = ClusterUid("6f1c1f5e-0000-4000-8000-000000000001")


class _NoForges:
    def find(self, canonical: str) -> None:
        return None


@dataclass
class Core:
    url: str
    store: SqlLedger
    registry: Registry
    recorder: Recorder
    attributor: Attributor
    follower: Follower

    async def see_source(self, sha: str) -> None:
        """Let the GitRepository have fetched `sha` just now."""
        now = datetime.now(UTC)
        wire = _decode(objects.git_repository(self.url, sha, now), WireGitRepository)
        item = project_git_repository(wire)
        await self.follower.observe(CLUSTER, [Seen(key=item.key, object=item, observed_at=now, was_held=True)])

    async def see_targets(
        self, numbers: Iterable[int], sha: str, *, touched: frozenset[int] = frozenset()
    ) -> Stopwatch:
        """Let Kustomizations have applied `sha` just now; those touched made other manifests of it.

        Returns what has run since they were observed.
        """
        now = datetime.now(UTC)
        batch = []
        for number in numbers:
            obj = objects.kustomization(number, sha, now)
            if number in touched:
                obj["status"]["history"][0]["digest"] = f"sha256:{sha}{number:024x}"
            item = project_kustomization(_decode(obj, WireKustomization))
            batch.append(Seen(key=item.key, object=item, observed_at=now, was_held=True))
        watch = Stopwatch()
        await self.follower.observe(CLUSTER, batch)
        return watch

    async def attribute_all(self) -> None:
        while await self.attributor.work():
            pass
        if self.attributor.pending:
            raise RuntimeError(f"{self.attributor.pending} syncs still wait")

    @property
    def repository(self) -> RepositoryRecord:
        return next(iter(self.registry.repositories.values()))

    async def advance(self) -> BranchRecord:
        """Look at the branch, as the branch watcher does."""
        async with self.recorder.lock(self.repository):
            return await self.recorder.advance(self.repository, "main")

    async def count(self, verdict: Verdict) -> int:
        """Return how many deliveries the ledger has with this verdict."""

        def ask() -> int:
            with closing(connect_reader(self.store.path)) as connection:
                wanted = "SELECT count(*) FROM deliveries WHERE verdict = ?"
                return int(connection.execute(wanted, (VERDICT_CODES[verdict],)).fetchone()[0])

        return await asyncio.to_thread(ask)


class _NoLayers:
    async def read_layer(self, *args: Any, **kwargs: Any) -> bytes | None:
        return None


def _decode(obj: dict[str, Any], shape: Any) -> Any:
    obj["metadata"] |= {"uid": f"uid-{obj['metadata']['name']}", "generation": 1, "resourceVersion": "1"}
    return msgspec.json.decode(json.dumps(obj), type=shape)


@asynccontextmanager
async def open_core(folder: Path, upstream: Path) -> AsyncIterator[Core]:
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        store = await SqlLedger.open(folder / "ledger.sqlite", clock=clock)
        stack.push_async_callback(store.close)
        ledger = FoldedLedger(store)
        await ledger.rebuild()
        registry = Registry()
        allow = AllowList((), allow_file_protocol=True)
        credentials = CredentialSource.from_settings((), environ={}, github_base_url="https://api.github.com")
        repositories = await stack.enter_async_context(
            GitStore(folder / "clones", allow=allow, credentials=credentials)
        )
        following = build_following(
            registry=registry,
            ledger=ledger,
            repositories=repositories,
            forges=_NoForges(),
            layers=_NoLayers(),
            clock=clock,
            poll=timedelta(seconds=60),
            on_source=allow.admit,
        )
        yield Core(
            url=upstream.as_uri(),
            store=store,
            registry=registry,
            recorder=following.recorder,
            attributor=following.attributor,
            follower=following.follower,
        )

"""Puts the parts of the trail together: what watches branches, follows objects and attributes syncs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from fluxtrail.model.records import UNSAVED, RepositoryId, RepositoryRecord, TargetRecord
from fluxtrail.model.repository import parse_repository
from fluxtrail.runtime.settings import RepositorySetting, Settings
from fluxtrail.runtime.streams import TRACKED_NAMES
from fluxtrail.trail.attribution import Attributor
from fluxtrail.trail.branches import BranchWatcher
from fluxtrail.trail.exports import ExportBook
from fluxtrail.trail.follower import Follower
from fluxtrail.trail.lookback import Lookback
from fluxtrail.trail.ports import Clock, Forges, Ledger, Repositories
from fluxtrail.trail.recorder import Recorder
from fluxtrail.trail.registry import Registry

WATCH_GAP_FACTOR = 2.5
"""Looks at a branch that are closer than this many polls count as watching it."""
LEAST_WATCH_GAP = timedelta(seconds=5)


@dataclass(frozen=True, kw_only=True)
class Following:
    exports: ExportBook
    recorder: Recorder
    attributor: Attributor
    branches: BranchWatcher
    follower: Follower


def build_following(
    *,
    registry: Registry,
    ledger: Ledger,
    repositories: Repositories,
    forges: Forges,
    clock: Clock,
    poll: timedelta,
    on_source: Callable[[str], None],
    exports: ExportBook | None = None,
    stated: Sequence[tuple[RepositoryId, str | None]] = (),
    measures_baseline: Callable[[TargetRecord], bool] = lambda _: False,
) -> Following:
    """Wire the parts. Their arguments are explained where they are taken."""
    exports = exports or ExportBook()
    recorder = Recorder(
        registry=registry,
        ledger=ledger,
        repositories=repositories,
        forges=forges,
        exports=exports,
        clock=clock,
        watch_gap=max(poll * WATCH_GAP_FACTOR, LEAST_WATCH_GAP),
    )
    attributor = Attributor(
        registry=registry,
        ledger=ledger,
        repositories=repositories,
        recorder=recorder,
        exports=exports,
        lookback=Lookback(registry=registry, exports=exports, clock=clock, measures_baseline=measures_baseline),
        clock=clock,
    )
    branches = BranchWatcher(
        registry=registry,
        ledger=ledger,
        repositories=repositories,
        recorder=recorder,
        clock=clock,
        every=poll,
        stated=stated,
    )
    follower = Follower(
        registry=registry, ledger=ledger, on_sync=attributor.wake, on_source=on_source, on_move=branches.poke
    )
    return Following(exports=exports, recorder=recorder, attributor=attributor, branches=branches, follower=follower)


async def state_repositories(
    stated: tuple[RepositorySetting, ...], ledger: Ledger, registry: Registry, exports: ExportBook
) -> list[tuple[RepositoryId, str | None]]:
    """Keep the repositories of the settings, and who is exported into whom."""
    followed: list[tuple[RepositoryId, str | None]] = []
    sources: defaultdict[RepositoryId, list[RepositoryId]] = defaultdict(list)
    async with ledger.unit() as unit:

        async def keep(url: str) -> RepositoryRecord:
            parsed = parse_repository(url)
            known = registry.find_repository(parsed.canonical)
            record = RepositoryRecord(
                id=known.id if known else RepositoryId(UNSAVED),
                canonical=parsed.canonical,
                url=parsed.fetch_url,
                default_branch=known.default_branch if known else None,
            )
            saved = await unit.put_repository(record)
            registry.put_repositories([saved])
            return saved

        for item in stated:
            source = await keep(item.url)
            followed.append((source.id, item.branch))
            manifests = [(await keep(url)).id for url in item.exports_to]
            await unit.put_repository_exports(source.id, manifests)
            for repository_id in manifests:
                sources[repository_id].append(source.id)
    exports.set_sources(sources)
    return followed


def measures_baseline_of(settings: Settings) -> Callable[[TargetRecord], bool]:
    """In flux-commit-tracker's place, the export its Kustomization has at first sight is measured, as it did."""
    namespace = settings.runtime_namespace
    if namespace is None:
        return lambda target: False
    names = {pattern.format(namespace=namespace) for pattern in TRACKED_NAMES}
    return lambda target: target.key.namespace == namespace and target.key.name in names

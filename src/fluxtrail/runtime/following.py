"""Puts the parts of the trail together: what watches branches, follows objects and attributes syncs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from fluxtrail.model.errors import ConfigError
from fluxtrail.model.observation import ClusterUid, ObjectKey
from fluxtrail.model.records import UNSAVED, RepositoryId, RepositoryRecord, TargetId, TargetRecord
from fluxtrail.model.repository import parse_repository
from fluxtrail.model.sources import GitRepository, canonical_place, is_place
from fluxtrail.runtime.settings.sections import RepositorySetting
from fluxtrail.runtime.settings.settings import Settings
from fluxtrail.runtime.streams import TRACKED_NAMES
from fluxtrail.trail.artifacts import ArtifactRecorder
from fluxtrail.trail.attribution import Attributor
from fluxtrail.trail.branches import BranchWatcher
from fluxtrail.trail.exports import ExportBook
from fluxtrail.trail.follower import Follower
from fluxtrail.trail.lookback import Lookback
from fluxtrail.trail.ports import Clock, Forges, Layers, Ledger, Repositories, RepositoryReader
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
    layers: Layers,
    clock: Clock,
    poll: timedelta,
    on_source: Callable[[str], None],
    exports: ExportBook | None = None,
    stated: Sequence[tuple[RepositoryId, str | None]] = (),
    measures_baseline: Callable[[TargetRecord], bool] = lambda _: False,
    on_progress: Callable[[Collection[ClusterUid]], None] = lambda _: None,
    on_release: Callable[[Collection[TargetId]], None] = lambda _: None,
    on_image: Callable[[str, str], None] = lambda image, digest: None,
    on_git: Callable[[ClusterUid, ObjectKey, GitRepository | None], None] = lambda cluster, key, source: None,
    follows_running: bool = True,
) -> Following:
    """Wire the parts. Their arguments are explained where they are taken.

    Args:
        on_progress: syncs of these clusters began, went on, or were attributed.
    """
    exports = exports or ExportBook()
    exports.find_reader = partial(_open_known, registry, repositories)
    recorder = Recorder(
        registry=registry,
        ledger=ledger,
        repositories=repositories,
        forges=forges,
        exports=exports,
        clock=clock,
        watch_gap=max(poll * WATCH_GAP_FACTOR, LEAST_WATCH_GAP),
    )
    artifacts = ArtifactRecorder(registry=registry, ledger=ledger, exports=exports, layers=layers, clock=clock)
    attributor = Attributor(
        registry=registry,
        ledger=ledger,
        repositories=repositories,
        recorder=recorder,
        exports=exports,
        lookback=Lookback(registry=registry, exports=exports, clock=clock, measures_baseline=measures_baseline),
        artifacts=artifacts,
        clock=clock,
        on_done=on_progress,
        hands_over=follows_running,
    )
    branches = BranchWatcher(
        registry=registry,
        ledger=ledger,
        repositories=repositories,
        recorder=recorder,
        artifacts=artifacts,
        clock=clock,
        every=poll,
        stated=stated,
    )

    def on_sync(cluster: ClusterUid) -> None:
        attributor.wake()
        on_progress((cluster,))

    follower = Follower(
        registry=registry,
        ledger=ledger,
        on_sync=on_sync,
        on_source=on_source,
        on_move=branches.poke,
        on_release=on_release,
        on_image=on_image,
        on_git=on_git,
        follows_running=follows_running,
    )
    return Following(exports=exports, recorder=recorder, attributor=attributor, branches=branches, follower=follower)


def _open_known(registry: Registry, repositories: Repositories, canonical: str) -> RepositoryReader | None:
    """Open a repository that the settings state or a source watches; others are not asked."""
    known = registry.find_repository(canonical)
    if known is None or not known.url:
        return None
    try:
        return repositories.open(known.url)
    except ConfigError:
        return None


async def state_repositories(
    stated: tuple[RepositorySetting, ...], ledger: Ledger, registry: Registry, exports: ExportBook
) -> list[tuple[RepositoryId, str | None]]:
    """Keep the repositories of the settings, and who is exported into whom."""
    followed: list[tuple[RepositoryId, str | None]] = []
    sources: defaultdict[RepositoryId, list[RepositoryId]] = defaultdict(list)
    async with ledger.unit() as unit:

        async def keep(url: str) -> RepositoryRecord:
            canonical, fetch_url = _name_of(url)
            known = registry.find_repository(canonical)
            record = RepositoryRecord(
                id=known.id if known else RepositoryId(UNSAVED),
                canonical=canonical,
                url=fetch_url,
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


def _name_of(url: str) -> tuple[str, str]:
    """Return (canonical name, fetch URL); artifacts are pushed to a place that git cannot fetch."""
    if is_place(url):
        return canonical_place(url), ""
    parsed = parse_repository(url)
    return parsed.canonical, parsed.fetch_url


def measures_baseline_of(settings: Settings) -> Callable[[TargetRecord], bool]:
    """In flux-commit-tracker's place, the export its Kustomization has at first sight is measured, as it did."""
    namespace = settings.runtime_namespace
    if namespace is None:
        return lambda target: False
    names = {pattern.format(namespace=namespace) for pattern in TRACKED_NAMES}
    return lambda target: target.key.namespace == namespace and target.key.name in names

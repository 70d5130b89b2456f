"""The rows of a planned world, table by table, as the ledger's columns have them.

What is large comes as an iterator of tuples. Rows that are told of later (syncs) get their ids in the order of time, as
in life: what belongs together does not lie together.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from benchmarks.pages_world import (
    CLUSTERS,
    HOST,
    MINUTE,
    PARTS,
    PLATFORM,
    REPOSITORIES,
    SERVICES,
    TEAMS,
    Change,
    Kind,
    Target,
    World,
    carried_by,
    digits,
    followed_by,
    sha_of,
    source_of,
)

from fluxtrail.ledger.columns import VERDICT_CODES
from fluxtrail.model.verdict import Verdict

Row = tuple[object, ...]
_AUTHORS = tuple(
    f"{first} {last}"
    for first in ("Ada", "Bela", "Chidi", "Dana", "Emre", "Freja", "Goran", "Hana")
    for last in ("Okafor", "Lindqvist", "Marin", "Sato", "Vega", "Novak", "Haddad")
)
_WHAT = ("Fix", "Add", "Remove", "Speed up", "Log", "Retry", "Validate", "Rename", "Cache", "Document")
_OF_WHAT = ("address form", "timeout", "discount rule", "search index", "payment callback", "session cookie", "report")
_WHERE = ("at checkout", "for guests", "in the export", "behind the proxy", "on mobile", "for old clients", "in tests")
_FAILURES = ("HealthCheckFailed", "ReconciliationFailed", "BuildFailed", "ArtifactFailed")


def uid_of(cluster: int) -> str:
    return f"{digits('cluster', cluster, length=8)}-0000-4000-8000-{cluster:012d}"


def name_of(repository: int) -> str:
    return f"{HOST}/{REPOSITORIES[repository]}"


def moment(at: int, evidence: str = "status_observed") -> str:
    return f'[{at},"{evidence}","exact",null,null]'


def author_of(change: Change) -> str:
    return _AUTHORS[int(digits("author", change.number, length=6), 16) % len(_AUTHORS)]


def subject_of(change: Change) -> str:
    number = int(digits("subject", change.number, length=8), 16)
    words = (_WHAT[number % 10], "the", _OF_WHAT[number // 10 % 7], _WHERE[number // 70 % 7])
    return f"{' '.join(words)} (#{change.number + 1})"


@dataclass(frozen=True, slots=True)
class Sync:
    target: Target
    position: int
    first: int
    """The position behind the revision before it."""
    at: int
    is_affected: bool
    is_baseline: bool
    is_failed: bool


@dataclass
class Rows:
    """Of a world. Syncs are planned once; the rest is made as it is asked for."""

    world: World
    syncs: list[Sync] = field(default_factory=list)
    """In the order of their ids, which begin with 1."""
    ids: dict[tuple[int, int], int] = field(default_factory=dict)
    """By target and position."""

    def __post_init__(self) -> None:
        for target in self.world.targets:
            self.syncs += self._plan(target)
        self.syncs.sort(key=lambda sync: sync.at)
        self.ids = {(sync.target.id, sync.position): number for number, sync in enumerate(self.syncs, start=1)}

    def _plan(self, target: Target) -> Iterator[Sync]:
        affecting = set(self.world.affecting(target))
        last = max(affecting, default=0)
        previous = -1
        for number, applied in enumerate(self.world.applied(target.branch, target.cluster)):
            if target.is_gone and applied.position > last:
                break
            span = range(previous + 1, applied.position + 1)
            is_affected = any(position in affecting for position in span)
            if number == 0 or is_affected or (target.id + applied.position) % 4 == 0:
                yield Sync(
                    target, applied.position, previous + 1, applied.at + target.id * 1000,
                    is_affected, number == 0, is_failed=False,
                )  # fmt: skip
            previous = applied.position

    def is_failing(self, target: Target) -> bool:
        return target.id % 23 == 0 and not target.is_gone

    def newest(self) -> dict[int, int]:
        """Return the index in `syncs` of each target's newest sync that changed something."""
        return {sync.target.id: index for index, sync in enumerate(self.syncs) if sync.is_affected}

    # -- commits ---------------------------------------------------------------------------------------------------

    def commits(self) -> Iterator[Row]:
        for change in self.world.changes:
            pull = change.number % 5 != 0 and change.kind is not Kind.MANIFESTS
            subject, author = subject_of(change), author_of(change)
            if change.source is not None:
                built = change.at + 7 * MINUTE
                is_failed = change.number % 97 == 0
                yield (
                    change.source, source_of(change) + 1, sha_of(change.source), subject, author,
                    change.at - 3 * MINUTE, moment(change.at, "pull_request_merged" if pull else "branch_moved"), 1,
                    change.number + 1 if pull else None, "[]", 0, change.at,
                    None if is_failed else moment(built, "ci_run"), "failed" if is_failed else "succeeded",
                )  # fmt: skip
            if change.carrier is not None:
                at = change.exported_at
                of = f"Export {SERVICES[change.subject]}: {subject}" if change.source else subject
                yield (
                    change.carrier, followed_by(change) + 1, sha_of(change.carrier), of,
                    "Exporter" if change.source else author, at, moment(at, "branch_moved"), 1,
                    None, "[]", 1 if change.source else 0, at, None, None,
                )  # fmt: skip

    def aliases(self) -> Iterator[Row]:
        for change in self.world.changes:
            if change.source is not None and change.number % 5 != 0:
                sha = digits("head", change.number)
                yield source_of(change) + 1, sha, change.source, "pull_request"

    def links(self) -> Iterator[Row]:
        positions = [0] * len(REPOSITORIES)
        for change in self.world.changes:
            for repository, commit in _standing(change):
                yield repository + 1, positions[repository], commit, None
                positions[repository] += 1

    def lengths(self) -> list[int]:
        found = [0] * len(REPOSITORIES)
        for change in self.world.changes:
            for repository, _ in _standing(change):
                found[repository] += 1
        return found

    def exports(self) -> Iterator[Row]:
        for change in self.world.changes:
            if change.source is not None and change.carrier is not None:
                link = f"https://ci.example.com/{SERVICES[change.subject]}/runs/{change.number}/export"
                yield change.carrier, change.source, change.at, link

    # -- what clusters did -----------------------------------------------------------------------------------------

    def sync_rows(self) -> Iterator[Row]:
        newest = self.newest()
        chains = self.world.branches
        for index, sync in enumerate(self.syncs):
            chain = chains[sync.target.branch]
            sha = sha_of(chain[sync.position].decider)
            before = sha_of(chain[sync.first - 1].decider) if sync.first else None
            is_failed = self.is_failing(sync.target) and newest.get(sync.target.id) == index
            at, seconds = sync.at, 1_000_000
            cause = "baseline" if sync.is_baseline else "revision"
            reason = _FAILURES[sync.target.id % 4] if is_failed else "ReconciliationSucceeded"
            message = f"timeout waiting for {sync.target.name}" if is_failed else f"Applied revision: main@sha1:{sha}"
            healthy = None if is_failed else moment(at + 40 * seconds)
            running = moment(at + 75 * seconds, "rollout_condition") if sync.is_affected and not is_failed else None
            yield (
                index + 1, sync.target.id, f"main@sha1:{sha}", sha, f"main@sha1:{before}" if before else None, before,
                cause, 1, "failed" if is_failed else "succeeded", reason, message,
                f"sha256:{sha}{sha[:24]}", f"sha256:{before or sha}{sha[:24]}", 0 if sync.is_affected else 1,
                1 if sync.is_affected else 0, moment(at), moment(at - 15 * seconds, "artifact_last_update_time"),
                moment(at + 5 * seconds, "ready_condition"), healthy, healthy, moment(at) if is_failed else None,
                "gap" if index % 20_011 == 7 else "done", None, 1, 1, at, running,
                "waiting" if is_failed else "reached" if sync.is_affected else "absent", "", 0,
            )  # fmt: skip

    def deliveries(self) -> Iterator[Row]:
        newest = self.newest()
        for target in self.world.targets:
            applied = self.world.applied(target.branch, target.cluster)
            chain = self.world.branches[target.branch]
            affecting = self.world.affecting(target)
            failing = newest.get(target.id) if self.is_failing(target) else None
            for position in affecting:
                if position == 0:
                    continue
                change = chain[position]
                carried = carried_by(applied, position)
                sync = self.ids.get((target.id, carried.position)) if carried is not None else None
                since = self.syncs[sync - 1].at + 5_000_000 if sync else change.exported_at
                verdict, reason = _verdict(change, target, is_applied=sync is not None)
                if failing is not None and sync == failing + 1:
                    verdict, reason = Verdict.FAILED, _FAILURES[target.id % 4]
                if target.is_gone and position > affecting[-1] - 40:
                    verdict, reason = Verdict.ABANDONED, ""
                healthy = sync if verdict in (Verdict.DEPLOYED, Verdict.ROLLED_BACK) else None
                code = VERDICT_CODES[verdict]
                if change.source is not None:
                    yield (
                        target.id, change.source, source_of(change) + 1, code, since, reason, change.carrier,
                        sync, healthy, None, 0, 0,
                    )  # fmt: skip
                if change.carrier is not None:
                    repository = followed_by(change) + 1
                    yield target.id, change.carrier, repository, code, since, reason, None, sync, healthy, None, 0, 0

    def sources(self) -> Iterator[Row]:
        for cluster in range(len(CLUSTERS)):
            for branch in self.world.branches:
                chain = self.world.branches[branch]
                sha = sha_of(chain[max(len(chain) - 1 - cluster % 3, 0)].decider) if chain else ""
                yield (
                    _source_id(cluster, branch), uid_of(cluster), "source.toolkit.fluxcd.io", "GitRepository",
                    "flux-system", REPOSITORIES[branch], f"source-{cluster}-{branch}", f"https://{name_of(branch)}",
                    branch + 1, "main", 0, 0, None, "[]", "[]", 0, f"main@sha1:{sha}", f"sha256:{sha}", sha, None,
                    self.world.now, None, _source_id(cluster, branch),
                )  # fmt: skip

    def fetches(self, each: int = 500) -> Iterator[Row]:
        for cluster in range(len(CLUSTERS)):
            for branch, chain in self.world.branches.items():
                for applied in self.world.applied(branch, cluster)[-each:]:
                    sha = sha_of(chain[applied.position].decider)
                    at = applied.at - 15_000_000
                    yield (
                        _source_id(cluster, branch), f"main@sha1:{sha}", f"sha256:{sha}",
                        moment(at, "artifact_last_update_time"), at, sha, None, None, None, "{}",
                    )  # fmt: skip

    def target_rows(self) -> Iterator[Row]:
        last = {sync.target.id: number for number, sync in enumerate(self.syncs, start=1)}
        for target in self.world.targets:
            chain = self.world.branches[target.branch]
            sync = self.syncs[last[target.id] - 1]
            sha, first = sha_of(chain[sync.position].decider), sha_of(chain[0].decider)
            failing = self.is_failing(target)
            source = f"source.toolkit.fluxcd.io/GitRepository/flux-system/{REPOSITORIES[target.branch]}"
            reason = _FAILURES[target.id % 4] if failing else "ReconciliationSucceeded"
            yield (
                target.id, uid_of(target.cluster), target.group, target.kind, target.namespace, target.name,
                f"target-{target.id}", uid_of(target.cluster), source, target.branch + 1, "main", 0,
                f"{'platform' if target.is_part else 'apps'}/{target.name}", "[]", 1, target.id % 41 == 0, 1,
                f"main@sha1:{sha}", sha, f"main@sha1:{sha}", sha, f"sha256:{sha}", 1, "{}",
                "failed" if failing else "succeeded", reason,
                f"timeout waiting for {target.name}" if failing else f"Applied revision: main@sha1:{sha}",
                sync.at, first, 0, last[target.id], self.world.changes[0].at, self.world.now,
                sync.at if target.is_gone else None, target.id, None, 0,
            )  # fmt: skip


def _standing(change: Change) -> Iterable[tuple[int, int]]:
    """Return (repository, commit) of each branch that a change is a commit of."""
    if change.source is not None:
        yield source_of(change), change.source
    if change.carrier is not None:
        yield followed_by(change), change.carrier


def _verdict(change: Change, target: Target, *, is_applied: bool) -> tuple[Verdict, str]:
    if not is_applied:
        return Verdict.PENDING, ""
    mark = (change.number * 31 + target.id) % 1999
    if mark == 0:
        return Verdict.LOST, ""
    return (Verdict.ROLLED_BACK if mark % 499 == 1 else Verdict.DEPLOYED), ""


def _source_id(cluster: int, branch: int) -> int:
    return cluster * (PLATFORM - len(SERVICES) + 1) + branch - len(SERVICES) + 1


TEAM_OF = {service: TEAMS[number % len(TEAMS)] for number, service in enumerate(SERVICES)}
PART_IMAGES = tuple(f"registry.example.com/{part}/{name}" for part in PARTS for name in ("controller", "agent"))

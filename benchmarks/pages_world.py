"""A year of deliveries as they happen in a middle-sized company, planned without writing anything: what, when, to whom.

Fourteen services and six parts of the platform run on ten clusters in four environments: 200 targets, and some that
are gone. A change of a service is merged, built, exported to its team's manifests repository and so goes to one target
on each cluster; a change of the platform is followed directly, and may concern all of its targets. Clusters skip some
commits, are some commits behind, and some targets fail. Everything follows from the seed and the size.
"""

from __future__ import annotations

import hashlib
import random
from bisect import bisect_left
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property

MINUTE = 60_000_000
"""In microseconds, as all times here."""
DAY = 24 * 60 * MINUTE
SPAN = 300 * DAY
SEED = 8

CLUSTERS = (
    *("dev-1", "dev-2", "test-1", "staging-1", "staging-2"),
    *("production-eu-1", "production-eu-2", "production-us-1", "production-us-2", "production-ap-1"),
)
ENVIRONMENTS = ("dev", "test", "staging", "production")
TEAMS = ("checkout", "catalogue", "payments", "logistics", "identity")
SERVICES = (
    *("shop", "search", "billing", "shipping", "accounts", "cart", "prices", "invoices", "tracking", "sessions"),
    *("reviews", "stock", "refunds", "returns"),
)
PARTS = ("ingress", "monitoring", "certificates", "policies", "registry-mirror", "logging")
HOST = "git.example.com/acme"
SYSTEMS = ("github_actions", "azure_pipelines", "gitlab_ci")
DELIVERIES_A_CHANGE = 20.05
"""On average, over all kinds of changes."""
BEHIND = {"dev": 0, "test": 1, "staging": 2, "production": 5}
"""How many changes of a branch an environment has not applied yet."""
SKIPPED = 0.4
"""Of the revisions of a branch: fetched together with a later one."""


class Kind(Enum):
    SERVICE = "service"
    MANIFESTS = "manifests"
    """An edit of a manifests repository by hand: all targets of the team."""
    PART = "part"
    PLATFORM = "platform"
    """Of the platform, all of it."""


@dataclass(frozen=True, slots=True)
class Change:
    """What somebody merged."""

    number: int
    at: int
    kind: Kind
    subject: int
    """The number of the service, team or part."""

    @property
    def source(self) -> int | None:
        """The commit's id in a source repository, None for an edit by hand."""
        return None if self.kind is Kind.MANIFESTS else 2 * self.number + 1

    @property
    def carrier(self) -> int | None:
        """The commit's id in a manifests repository, None for what is followed directly."""
        return 2 * self.number + 2 if self.kind in (Kind.SERVICE, Kind.MANIFESTS) else None

    @property
    def decider(self) -> int:
        """The commit that stands on the branch which targets follow."""
        found = self.carrier or self.source
        assert found is not None
        return found

    @property
    def exported_at(self) -> int:
        return self.at + 9 * MINUTE if self.carrier and self.source else self.at


@dataclass(frozen=True, slots=True)
class Target:
    """A Kustomization or HelmRelease."""

    id: int
    cluster: int
    subject: int
    is_part: bool
    is_gone: bool = False

    @property
    def name(self) -> str:
        gone = "old-" if self.is_gone else ""
        return gone + (PARTS if self.is_part else SERVICES)[self.subject]

    @property
    def kind(self) -> str:
        return "HelmRelease" if self.is_part and self.subject >= 3 else "Kustomization"

    @property
    def group(self) -> str:
        return "helm.toolkit.fluxcd.io" if self.kind == "HelmRelease" else "kustomize.toolkit.fluxcd.io"

    @property
    def namespace(self) -> str:
        return "platform" if self.is_part else TEAMS[self.subject % len(TEAMS)]

    @property
    def branch(self) -> int:
        """The number of the repository it follows, as in `World.repositories`."""
        return PLATFORM if self.is_part else len(SERVICES) + self.subject % len(TEAMS)


PLATFORM = len(SERVICES) + len(TEAMS)
REPOSITORIES = (*SERVICES, *(f"{team}-fleet" for team in TEAMS), "platform")


@dataclass(frozen=True, slots=True)
class Applied:
    """A revision that a cluster applied."""

    position: int
    """Of its commit on the branch."""
    at: int


@dataclass(frozen=True)
class World:
    deliveries: int
    """About so many."""
    now: int
    seed: int = SEED
    changes: list[Change] = field(default_factory=list)

    def __post_init__(self) -> None:
        pick = random.Random(self.seed)
        count = max(int(self.deliveries / DELIVERIES_A_CHANGE), 200)
        begin = self.now - SPAN
        times = sorted(pick.randrange(begin, self.now - 20 * MINUTE) for _ in range(count))
        self.changes.extend(_change(pick, number, at) for number, at in enumerate(times))

    @cached_property
    def targets(self) -> list[Target]:
        placed = [(c, s, False) for c in range(len(CLUSTERS)) for s in range(len(SERVICES))]
        placed += [(c, p, True) for c in range(len(CLUSTERS)) for p in range(len(PARTS))]
        live = [Target(number + 1, *place) for number, place in enumerate(placed)]
        gone = [Target(len(live) + n + 1, n % len(CLUSTERS), n, is_part=False, is_gone=True) for n in range(8)]
        return live + gone

    @cached_property
    def branches(self) -> dict[int, list[Change]]:
        """What stands on the branch of each repository that targets follow, in its order."""
        found: dict[int, list[Change]] = {number: [] for number in range(len(SERVICES), PLATFORM + 1)}
        for change in self.changes:
            found[followed_by(change)].append(change)
        return found

    def applied(self, branch: int, cluster: int) -> list[Applied]:
        """Return the revisions of a branch that a cluster applied, in their order."""
        pick = random.Random(f"{self.seed}/{branch}/{cluster}")
        chain = self.branches[branch]
        environment = CLUSTERS[cluster].partition("-")[0]
        last = len(chain) - 1 - BEHIND[environment]
        found = []
        for position, change in enumerate(chain[: last + 1]):
            if position == last or pick.random() >= SKIPPED:
                found.append(Applied(position, change.exported_at + pick.randrange(20, 400) * MINUTE // 60))
        return found

    def affecting(self, target: Target) -> list[int]:
        """Return the positions of the changes that a target's manifests come from."""
        chain = self.branches[target.branch]
        end = len(chain) // 2 if target.is_gone else len(chain)
        return [position for position, change in enumerate(chain[:end]) if _concerns(change, target)]


def _change(pick: random.Random, number: int, at: int) -> Change:
    roll = pick.random()
    if roll < 0.86:
        return Change(number, at, Kind.SERVICE, pick.randrange(len(SERVICES)))
    if roll < 0.90:
        return Change(number, at, Kind.MANIFESTS, pick.randrange(len(TEAMS)))
    if roll < 0.985:
        return Change(number, at, Kind.PART, pick.randrange(len(PARTS)))
    return Change(number, at, Kind.PLATFORM, 0)


def followed_by(change: Change) -> int:
    """Return the number of the repository whose followers a change goes to."""
    if change.kind in (Kind.PART, Kind.PLATFORM):
        return PLATFORM
    return len(SERVICES) + change.subject % len(TEAMS)


def source_of(change: Change) -> int:
    """Return the number of the repository that a change was merged to."""
    if change.kind is Kind.SERVICE:
        return change.subject
    return followed_by(change)


def _concerns(change: Change, target: Target) -> bool:
    if change.kind is Kind.SERVICE:
        return not target.is_part and change.subject == target.subject
    if change.kind is Kind.PART:
        return target.is_part and change.subject == target.subject
    return True


def carried_by(applied: list[Applied], position: int) -> Applied | None:
    """Return the first revision that contains the commit at a position, None while none does."""
    index = bisect_left(applied, position, key=lambda item: item.position)
    return applied[index] if index < len(applied) else None


def digits(*parts: object, length: int = 40) -> str:
    """Return hexadecimal digits that follow from `parts`: a sha, a digest."""
    return hashlib.sha256("/".join(map(str, parts)).encode()).hexdigest()[:length]


def sha_of(commit: int) -> str:
    return digits("commit", commit)


def environment_of(cluster: int) -> str:
    return CLUSTERS[cluster].partition("-")[0]

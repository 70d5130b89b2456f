"""Records to put into a ledger, with everything filled in that a test does not care about.

Tests speak to the ledger through its public methods only, so that another engine can stand behind `ledger`.
"""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from fluxtrail.ledger.ledger import SqlLedger
from fluxtrail.ledger.unit import SqlUnit
from fluxtrail.model.moment import Evidence, Moment, exact
from fluxtrail.model.observation import ClusterUid, ObjectKey, ObjectUid
from fluxtrail.model.reasons import Outcome
from fluxtrail.model.records import (
    UNSAVED,
    Cause,
    CommitId,
    CommitRecord,
    DeliveryRecord,
    RepositoryId,
    RepositoryRecord,
    SourceId,
    SourceRecord,
    SyncId,
    SyncRecord,
    TargetId,
    TargetRecord,
)
from fluxtrail.model.revision import followed_sha
from fluxtrail.model.verdict import Verdict

ON_SQLITE = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
"""For a test of what the other engine does in its own way, or has not."""
ON_POSTGRES = pytest.mark.parametrize("engine", ["postgres"], indirect=True)
NewPlace = Callable[[], AbstractAsyncContextManager[Path | str]]
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
KUSTOMIZE = "kustomize.toolkit.fluxcd.io"
SOURCES = "source.toolkit.fluxcd.io"


def at(seconds: float = 0) -> datetime:
    return NOON + timedelta(seconds=seconds)


def moment(seconds: float = 0, evidence: Evidence = Evidence.STATUS_OBSERVED) -> Moment:
    return exact(at(seconds), evidence)


def sha(number: int) -> str:
    """Return a sha whose first digits differ from those of every other number."""
    return f"{number:08x}".rjust(8, "0") + "abcdef01" * 4


class StillClock:
    def __init__(self) -> None:
        self.time = NOON

    def now(self) -> datetime:
        return self.time


class World:
    def __init__(self, unit: SqlUnit) -> None:
        self.unit = unit
        self._numbers = itertools.count(1)

    async def repository(self, name: str = "shop", *, branch: str | None = "main") -> RepositoryRecord:
        return await self.unit.put_repository(
            RepositoryRecord(
                id=RepositoryId(UNSAVED),
                canonical=f"github.com/acme/{name}",
                url=f"https://github.com/acme/{name}",
                default_branch=branch,
            )
        )

    async def commits(
        self, repository: RepositoryRecord, numbers: range, *, branch: str | None = "main", is_carrier: bool = False
    ) -> list[CommitRecord]:
        """Put commits on a branch: commit n has sha(n), and was merged n seconds after noon."""
        made = await self.unit.put_commits(
            [
                CommitRecord(
                    id=CommitId(UNSAVED),
                    repository_id=repository.id,
                    sha=sha(number),
                    subject=f"Change {number}",
                    author="Ada",
                    committed_at=at(number),
                    merged=moment(number, Evidence.BRANCH_MOVED),
                    is_carrier=is_carrier,
                )
                for number in numbers
            ]
        )
        if branch is not None:
            await self.unit.extend_chain(repository.id, branch, [commit.id for commit in made])
        return made

    async def source(self, repository: RepositoryRecord, *, cluster: str = "c1", **given: Any) -> SourceRecord:
        fields: dict[str, Any] = {
            "id": SourceId(UNSAVED),
            "cluster": ClusterUid(cluster),
            "key": ObjectKey(SOURCES, "GitRepository", "flux-system", repository.canonical.rpartition("/")[2]),
            "uid": ObjectUid(f"source-{next(self._numbers)}"),
            "url": repository.url,
            "repository_id": repository.id,
            "branch": "main",
            "follows_tags": False,
            "is_suspended": False,
            "ignore": None,
            "sparse_checkout": (),
            "revision": None,
            "digest": None,
            "problem": None,
            "observed_at": NOON,
        }
        record = SourceRecord(**(fields | given))
        return await self.unit.put_source(replace(record, sha=followed_sha(record.revision)))

    async def target(
        self, repository: RepositoryRecord | None, name: str = "apps", *, cluster: str = "c1", **given: Any
    ) -> TargetRecord:
        short = repository.canonical.rpartition("/")[2] if repository else "none"
        fields: dict[str, Any] = {
            "id": TargetId(UNSAVED),
            "cluster": ClusterUid(cluster),
            "key": ObjectKey(KUSTOMIZE, "Kustomization", "flux-system", name),
            "uid": ObjectUid(f"target-{next(self._numbers)}"),
            "lands_on": cluster,
            "source": ObjectKey(SOURCES, "GitRepository", "flux-system", short),
            "repository_id": repository.id if repository else None,
            "branch": "main",
            "follows_tags": False,
            "path": "apps",
            "components": (),
            "generation": 1,
            "is_suspended": False,
            "has_checks": True,
            "attempted": None,
            "applied": None,
            "applied_digest": None,
            "applied_generation": None,
            "phase": Outcome.UNKNOWN,
            "reason": "",
            "message": "",
            "phase_since": None,
            "baseline_sha": None,
            "awaits_baseline": True,
            "sync_id": None,
            "first_seen_at": NOON,
            "observed_at": NOON,
        }
        record = TargetRecord(**(fields | given))
        shas = {"applied_sha": followed_sha(record.applied), "attempted_sha": followed_sha(record.attempted)}
        return await self.unit.put_target(replace(record, **shas))

    async def sync(self, target: TargetRecord, number: int = 1, **given: Any) -> SyncRecord:
        fields: dict[str, Any] = {
            "id": SyncId(UNSAVED),
            "target_id": target.id,
            "revision": f"main@sha1:{sha(number)}",
            "sha": sha(number),
            "previous": None,
            "previous_sha": None,
            "cause": Cause.REVISION,
            "generation": 1,
            "outcome": Outcome.SUCCEEDED,
            "started": moment(number),
        }
        return await self.unit.put_sync(SyncRecord(**(fields | given)))

    async def delivery(
        self, commit: CommitRecord, target: TargetRecord, verdict: Verdict = Verdict.DEPLOYED, **given: Any
    ) -> DeliveryRecord:
        fields: dict[str, Any] = {
            "commit_id": commit.id,
            "target_id": target.id,
            "verdict": verdict,
            "since": commit.merged.at if commit.merged else NOON,
        }
        record = DeliveryRecord(**(fields | given))
        await self.unit.put_deliveries([record])
        return record


_template: list[bytes] = []


async def fresh_place(place: Path) -> Path:
    """Make a ledger from a copy of an empty one: migrating takes twenty times longer than a test.

    What a ledger is given when it is first opened, its id and its time, is left to who opens this one.
    """
    if not _template:
        first = await SqlLedger.open(place, clock=StillClock())
        await first.close()
        with closing(sqlite3.connect(place)) as connection, connection:
            connection.execute("DELETE FROM meta")
        _template.append(place.read_bytes())
    place.parent.mkdir(mode=0o700, exist_ok=True)
    place.touch(mode=0o600)
    place.write_bytes(_template[0])
    return place


async def open_fresh(place: Path, clock: StillClock) -> SqlLedger:
    return await SqlLedger.open(await fresh_place(place), clock=clock)


@asynccontextmanager
async def opened(where: Path | str) -> AsyncIterator[SqlLedger]:
    ledger = await SqlLedger.open(where, clock=StillClock())
    try:
        yield ledger
    finally:
        await ledger.close()

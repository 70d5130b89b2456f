"""The line of a place's artifacts: in the order in which they were first fetched anywhere.

A cluster whose stream lags may tell late of an artifact that only it has fetched: it is put where it belongs, and the
targets that had gone past it carry it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import msgspec

from fluxtrail.model.reasons import Outcome
from fluxtrail.model.records import CommitId, CommitRecord, FetchRecord, RepositoryRecord, SourceRecord, TargetRecord
from fluxtrail.model.revision import find_revision
from fluxtrail.model.sources import PINNED
from fluxtrail.trail.ports import Unit

replace = msgspec.structs.replace

_VERSION_RANGE = re.compile(r"v?\d|.*[*<>=~^|,\s]")


def is_on_line(source: SourceRecord, revision: str, branch: str) -> bool:
    """True if a revision that a source once fetched was an artifact of this tag, range or pin, and not of another."""
    parsed = find_revision(revision)
    if source.key.kind != "OCIRepository" or parsed is None:
        return True
    if branch == PINNED or parsed.pointer is None:
        return branch == PINNED and parsed.pointer is None
    return parsed.pointer == branch or _VERSION_RANGE.match(branch) is not None


def first_fetches(
    fetches: Sequence[FetchRecord], ranks: Mapping[str, int], names: Mapping[str, str]
) -> dict[str, FetchRecord]:
    """Return the earliest fetch of each artifact by its sha, earliest first.

    Args:
        ranks: the order in which revisions were seen: Flux dates fetches in whole seconds.
        names: what each revision is followed as.
    """
    found: dict[str, FetchRecord] = {}
    for fetch in sorted(fetches, key=lambda item: (item.fetched.at, ranks.get(item.revision, -1))):
        if fetch.revision in names:
            found.setdefault(names[fetch.revision], fetch)
    return found


async def extend_line(
    unit: Unit,
    repository: RepositoryRecord,
    branch: str,
    line: Mapping[str, FetchRecord],
    fresh: Sequence[CommitRecord],
) -> bool:
    """Put artifacts on the line; returns whether any of them belonged before one that stood there."""
    places = await unit.chain_positions(repository.id, branch, list(line))
    first = line[fresh[0].sha].fetched.at
    later = {sha: place for sha, place in places.items() if line[sha].fetched.at > first}
    if not later:
        await unit.extend_chain(repository.id, branch, [commit.id for commit in fresh])
        return False
    cut_at = min(later.values())
    before = max((place, sha) for sha, place in [*places.items(), ("", -1)] if place < cut_at)[1]
    stands = await unit.commits_by_sha(repository.id, [before]) if before else {}
    cut = await unit.cut_chain(repository.id, branch, after=stands[before].id if before else None)
    shas = {commit.id: commit.sha for commit in (await unit.commits_by_id(cut)).values()}
    await unit.extend_chain(repository.id, branch, _merged(line, cut, shas, fresh))
    return True


def _merged(
    line: Mapping[str, FetchRecord],
    cut: Sequence[CommitId],
    shas: Mapping[CommitId, str],
    fresh: Sequence[CommitRecord],
) -> list[CommitId]:
    """Return what was cut, in its order, with each new one before the first that was fetched later."""
    found: list[CommitId] = []
    waiting = list(fresh)
    for commit in cut:
        at = line[shas[commit]].fetched.at if shas[commit] in line else None
        while waiting and at is not None and at > line[waiting[0].sha].fetched.at:
            found.append(waiting.pop(0).id)
        found.append(commit)
    return [*found, *(commit.id for commit in waiting)]


async def concerns(unit: Unit, repository: RepositoryRecord, target: TargetRecord, branch: str, sha: str) -> bool:
    """True if an artifact that was put between others came after the baseline of a target: no history is claimed.

    A target that has applied a later one carries it: its newest sync is attributed again.
    """
    wanted = [item for item in (sha, target.baseline_sha, target.applied_sha) if item]
    places = await unit.chain_positions(repository.id, branch, wanted)
    here = places[sha]
    baseline, applied = places.get(target.baseline_sha or ""), places.get(target.applied_sha or "")
    if target.baseline_sha is not None and (baseline is None or here <= baseline):
        return False
    if applied is not None and here < applied and target.sync_id is not None:
        newest = (await unit.syncs([target.sync_id]))[target.sync_id]
        if newest.outcome is Outcome.SUCCEEDED:
            await unit.put_sync(replace(newest, version=newest.version + 1))
    return True

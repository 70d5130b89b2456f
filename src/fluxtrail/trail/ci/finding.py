"""Which commits runs mean: those of manifests repositories that they say they made, and those that they exported.

All runs of one call are looked up together, so that many cost as many queries as one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from fluxtrail.model.ci import CiKey, CiRun, find_named
from fluxtrail.model.commit import is_sha
from fluxtrail.model.records import UNSAVED, CommitId, CommitRecord, RepositoryId, RepositoryRecord
from fluxtrail.model.stage import INVERSION_TOLERANCE
from fluxtrail.trail.ports import Unit


class Homes:
    """The manifests repositories that runs may have written, each looked up once."""

    def __init__(self, unit: Unit) -> None:
        self._unit = unit
        self._stated: dict[str, list[str]] = {}
        self._applied: list[str] | None = None

    async def of(self, run: CiRun) -> list[str]:
        """Return the one that a run names; else those that its source is exported to; else all that Flux applies and
        that are not exported themselves.
        """
        if run.carrier_repository:
            return [run.carrier_repository]
        stated = await self.exports_to(run.repository)
        return stated or [name for name in await self._plain() if name != run.repository]

    async def exports_to(self, repository: str) -> list[str]:
        if repository not in self._stated:
            self._stated[repository] = await self._unit.exports_to(repository)
        return self._stated[repository]

    async def _plain(self) -> list[str]:
        if self._applied is None:
            self._applied = await self._unit.applied_repositories()
        return [name for name in self._applied if not await self.exports_to(name)]

    async def may_carry(self, repository: str, carrier: str) -> bool:
        """Whether who may speak of `repository` alone may say that a commit of `carrier` was made from it.

        What carries others has no lead time of its own. So it must be one that `repository` is exported to by the
        settings; where they say nothing of it, one that Flux applies and that is not exported itself; or one of which
        nothing is known.
        """
        stated = await self.exports_to(repository)
        if carrier == repository or carrier in stated:
            return True
        if all(record.canonical != carrier for record in await self._unit.repositories()):
            return True
        return not stated and carrier in await self._plain()


async def may_carry(unit: Unit, repository: str, carrier: str) -> bool:
    """As `Homes.may_carry`, asked once."""
    return await Homes(unit).may_carry(repository, carrier)


async def find_carriers(unit: Unit, runs: Sequence[CiRun]) -> dict[CiKey, list[CommitRecord]]:
    """Return the commits that runs say they made; none of a run whose commit is not known yet, or that fits several."""
    fitting = await find_fitting(unit, runs)
    return {
        run.key: found
        for run in runs
        if (found := [commit for commit in find_named(fitting[run.key]) if commit.sha != run.sha])
    }


async def find_fitting(unit: Unit, runs: Sequence[CiRun]) -> dict[CiKey, list[tuple[str, CommitRecord]]]:
    """Return the commits that runs may say they made, each behind the sha by which it is known.

    A sha that is not whole is that of a commit of one repository: the one that the run names, or else the only one that
    it can be in.
    """
    homes = Homes(unit)
    found: dict[CiKey, list[tuple[str, CommitRecord]]] = {run.key: [] for run in runs}
    wanted: defaultdict[tuple[str, ...], dict[str, list[CiKey]]] = defaultdict(dict)
    for run in runs:
        places = tuple(await homes.of(run)) if run.carrier_sha else ()
        if places and (len(places) == 1 or is_sha(run.carrier_sha)):
            wanted[places].setdefault(run.carrier_sha, []).append(run.key)
    for places, by_sha in wanted.items():
        told: defaultdict[str, list[tuple[str, CommitRecord]]] = defaultdict(list)
        for named, commit in await unit.commits_named(places, [sha for sha in by_sha if is_sha(sha)]):
            told[named].append((named, commit))
        for sha, keys in by_sha.items():
            fits = told[sha] if is_sha(sha) else await unit.commits_beginning(places, sha)
            found |= dict.fromkeys(keys, fits)
    return found


async def find_sources(unit: Unit, runs: Sequence[CiRun]) -> dict[CiKey, list[CommitRecord]]:
    """Return the commits that runs exported.

    One of a repository that is followed is waited for: its branch says when it was merged. Of another one nobody else
    will ever tell, so the statement makes it known.
    """
    by_repository: defaultdict[str, list[CiRun]] = defaultdict(list)
    for run in runs:
        by_repository[run.repository].append(run)
    found: dict[CiKey, list[CommitRecord]] = {}
    for repository, theirs in by_repository.items():
        known: defaultdict[str, list[CommitRecord]] = defaultdict(list)
        for named, commit in await unit.commits_named([repository], [run.sha for run in theirs]):
            known[named].append(commit)
        unknown = list(dict.fromkeys(run.sha for run in theirs if run.sha not in known and is_sha(run.sha)))
        for commit in await _make_known(unit, repository, unknown) if unknown else ():
            known[commit.sha].append(commit)
        for run in theirs:
            commits = known.get(run.sha, ())
            found[run.key] = [item for item in commits if item.sha == run.sha or not _is_of_pull_request(run, item)]
    return found


async def _make_known(unit: Unit, repository: str, shas: Sequence[str]) -> list[CommitRecord]:
    home = RepositoryRecord(id=RepositoryId(UNSAVED), canonical=repository, url="")
    home = await unit.put_repository(home)
    if home.url:
        return []
    return await unit.put_commits([CommitRecord(id=CommitId(UNSAVED), repository_id=home.id, sha=sha) for sha in shas])


def _is_of_pull_request(run: CiRun, commit: CommitRecord) -> bool:
    """Whether a run exported what a commit was merged from, and not yet the commit."""
    merged, at = commit.merged, run.finished_at or run.updated_at
    return merged is not None and at < merged.earliest - INVERSION_TOLERANCE

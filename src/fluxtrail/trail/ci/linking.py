"""What runs say of exports: which commit of a manifests repository was made from which source commit.

A run that has exported a commit and names what it made there links the two, as a carrier does that says so itself. The
three may come in any order, and the link is made by whoever comes last:

    the run is stated, and both commits are known    `link_runs`
    the source commit is read from its branch        `link_sources`
    the carrier is read from its branch              `link_carriers`

What waits is the run itself, as it is kept. A link that another strategy has made stays as it is.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

import msgspec
import structlog

from fluxtrail.model.ci import CiEvidence, CiKey, CiRun, find_named, names_carrier
from fluxtrail.model.commit import is_sha
from fluxtrail.model.records import (
    UNSAVED,
    CommitId,
    CommitRecord,
    ExportEvidence,
    ExportRecord,
    RepositoryId,
    RepositoryRecord,
)
from fluxtrail.model.stage import INVERSION_TOLERANCE
from fluxtrail.model.verdict import OPEN, Verdict
from fluxtrail.trail.late import deliver_late
from fluxtrail.trail.ports import Unit
from fluxtrail.trail.rows import verdict_transition

log = structlog.get_logger(__name__)
replace = msgspec.structs.replace


async def link_runs(unit: Unit, runs: Sequence[CiRun], before: Mapping[CiKey, CiRun], *, now: datetime) -> None:
    """Make the links that these runs state, where both commits are known.

    Args:
        before: the same runs, as they were known until now; a link that one of them stated, and that is not stated
            any more, is withdrawn.
    """
    for run in runs:
        known = before.get(run.key)
        if known is not None and names_carrier(known) and _is_corrected(known, run):
            await _withdraw(unit, known, now=now)
        if names_carrier(run):
            carriers = await find_carriers(unit, run)
            sources = await _find_sources(unit, run) if carriers else []
            await _link(unit, run, carriers, sources, now=now)


async def link_sources(
    unit: Unit, repository: RepositoryRecord, commits: Sequence[CommitRecord], *, now: datetime
) -> None:
    """Make the links of source commits that are known only now."""
    aliases = await unit.aliases_of([commit.id for commit in commits])
    shas = [sha for commit in commits for sha in (commit.sha, *aliases.get(commit.id, ()))]
    for runs in (await unit.ci_runs_of(repository.canonical, shas)).values():
        await link_runs(unit, [run for run in runs if names_carrier(run)], {}, now=now)


async def link_carriers(
    unit: Unit, repository: RepositoryRecord, commits: Sequence[CommitRecord], *, now: datetime
) -> dict[CommitId, list[CommitId]]:
    """Make the links to carriers that are known only now; returns the source commits of each."""
    aliases = await unit.aliases_of([commit.id for commit in commits])
    shas = [sha for commit in commits for sha in (commit.sha, *aliases.get(commit.id, ()))]
    fresh = {commit.id for commit in commits}
    made: dict[CommitId, list[CommitId]] = {}
    for run in await unit.runs_naming(shas):
        if not names_carrier(run) or run.carrier_repository not in ("", repository.canonical):
            continue
        carriers = [commit for commit in await find_carriers(unit, run) if commit.id in fresh]
        sources = await _find_sources(unit, run) if carriers else []
        await _link(unit, run, carriers, sources, now=now)
        for carrier in carriers:
            made.setdefault(carrier.id, []).extend(source.id for source in sources if source.id != carrier.id)
    return made


async def find_carriers(unit: Unit, run: CiRun) -> list[CommitRecord]:
    """Return the commits that a run says it made; none where they are not known yet, or where it fits several."""
    return [commit for commit in find_named(await list_fitting(unit, run)) if commit.sha != run.sha]


async def list_fitting(unit: Unit, run: CiRun) -> list[tuple[str, CommitRecord]]:
    """Return the commits that a run may say it made, each behind the sha by which it is known.

    A sha that is not whole is that of a commit of one repository: the one that the run names, or else the only one that
    it can be in.
    """
    homes = await _homes(unit, run)
    if not homes or not run.carrier_sha or (len(homes) > 1 and not is_sha(run.carrier_sha)):
        return []
    return await unit.commits_beginning(homes, run.carrier_sha)


async def _homes(unit: Unit, run: CiRun) -> list[str]:
    """Return the manifests repositories that a run may have written."""
    if run.carrier_repository:
        return [run.carrier_repository]
    stated = await unit.exports_to(run.repository)
    if stated:
        return stated
    if is_sha(run.carrier_sha):
        known = [record.canonical for record in await unit.repositories() if record.url]
    else:
        known = await unit.applied_repositories()
    return [name for name in known if name != run.repository]


async def _find_sources(unit: Unit, run: CiRun) -> list[CommitRecord]:
    """Return the commits that a run exported.

    One of a repository that is followed is waited for: its branch says when it was merged. Of another one nobody else
    will ever tell, so the statement makes it known.
    """
    known = await unit.built_commits(run.repository, [run.sha])
    if known or not is_sha(run.sha):
        return [commit for commit in known if commit.sha == run.sha or not _is_of_pull_request(run, commit)]
    home = RepositoryRecord(id=RepositoryId(UNSAVED), canonical=run.repository, url="")
    home = await unit.put_repository(home)
    if home.url:
        return []
    return await unit.put_commits([CommitRecord(id=CommitId(UNSAVED), repository_id=home.id, sha=run.sha)])


def _is_of_pull_request(run: CiRun, commit: CommitRecord) -> bool:
    """Whether a run exported what a commit was merged from, and not yet the commit."""
    merged, at = commit.merged, run.finished_at or run.updated_at
    return merged is not None and at < merged.earliest - INVERSION_TOLERANCE


async def _link(
    unit: Unit,
    run: CiRun,
    carriers: Sequence[CommitRecord],
    sources: Sequence[CommitRecord],
    *,
    now: datetime,
) -> None:
    """Link and deliver what is not linked yet."""
    known = {(link.carrier_id, link.source_id) for link in await unit.exports_of([item.id for item in carriers])}
    for carrier in carriers:
        fresh = [item for item in sources if item.id != carrier.id and (carrier.id, item.id) not in known]
        if not fresh:
            continue
        await unit.put_exports(
            [
                ExportRecord(
                    carrier_id=carrier.id,
                    source_id=source.id,
                    stated_at=None,
                    build_link=run.url or None,
                    evidence=ExportEvidence.STATED,
                )
                for source in fresh
            ]
        )
        if not carrier.merged_is_final:  # else figures were made of it as of a commit of its own
            await unit.put_commits([replace(carrier, is_carrier=True)])
        await deliver_late(unit, carrier, fresh, now=now)
        log.info("export stated", repository=run.repository, sha=run.sha, carrier=carrier.sha, commits=len(fresh))


def _is_corrected(known: CiRun, run: CiRun) -> bool:
    """Whether the same attempt says something else now than before: another carrier, or that it did not end well.

    That its forge says so of the whole run takes nothing back: it may have failed behind its export.
    """
    if run.attempt != known.attempt:
        return False
    is_same = run.carrier_sha.startswith(known.carrier_sha) or known.carrier_sha.startswith(run.carrier_sha)
    if not is_same or run.carrier_repository != known.carrier_repository:
        return True
    return not names_carrier(run) and run.evidence is not CiEvidence.ASKED


async def _withdraw(unit: Unit, known: CiRun, *, now: datetime) -> None:
    """Take back what a run stated and no other states. What was applied as it was stated is told already, and stays."""
    sources = {commit.id for commit in await unit.built_commits(known.repository, [known.sha])}
    for carrier in await find_carriers(unit, known):
        links = [
            link
            for link in await unit.exports_of([carrier.id])
            if link.source_id in sources and link.evidence is ExportEvidence.STATED
        ]
        others = await _stated_by_others(unit, known, carrier)
        for link in links if known.sha not in others else ():
            await _undo(unit, link, now=now)


async def _stated_by_others(unit: Unit, known: CiRun, carrier: CommitRecord) -> Collection[str]:
    """Return the shas of the commits that runs say were exported as this carrier."""
    runs = await unit.runs_naming([carrier.sha, *(await unit.aliases_of([carrier.id])).get(carrier.id, ())])
    return {run.sha for run in runs if names_carrier(run) and run.repository == known.repository}


async def _undo(unit: Unit, link: ExportRecord, *, now: datetime) -> None:
    rows = [row for row in await unit.deliveries_of([link.source_id]) if row.carrier_id == link.carrier_id]
    if any(row.applied_sync is not None for row in rows):
        return
    pending = [row for row in rows if row.verdict in OPEN]
    await unit.put_deliveries(
        [replace(row, verdict=Verdict.UNAFFECTED, since=now, reason="", carrier_id=None) for row in pending]
    )
    await unit.add_transitions([verdict_transition(row, Verdict.UNAFFECTED, now) for row in pending])
    await unit.drop_exports([link])

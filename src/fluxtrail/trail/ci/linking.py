"""What runs say of exports: which commit of a manifests repository was made from which source commit.

A run that has exported a commit and names what it made there links the two, as a carrier does that says so itself. The
three may come in any order, and the link is made by whoever comes last:

    the run is stated, and both commits are known    `link_runs`
    the source commit is read from its branch        `link_sources`
    the carrier is read from its branch              `link_carriers`

What waits is the run itself, as it is kept. A link that another strategy has made stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec
import structlog

from fluxtrail.model.ci import CiKey, CiRun, names_carrier
from fluxtrail.model.records import CommitId, CommitRecord, ExportEvidence, ExportRecord, RepositoryRecord
from fluxtrail.trail.ci.finding import find_carriers, find_fitting, find_sources
from fluxtrail.trail.ci.withdrawing import is_corrected, note_before, withdraw
from fluxtrail.trail.late import deliver_all_late
from fluxtrail.trail.ports import Unit

log = structlog.get_logger(__name__)
replace = msgspec.structs.replace

_Carriers = Mapping[CiKey, Sequence[CommitRecord]]
_Sources = Mapping[CiKey, Sequence[CommitRecord]]


async def link_runs(unit: Unit, runs: Sequence[CiRun], before: Mapping[CiKey, CiRun], *, now: datetime) -> None:
    """Make the links that these runs state, where both commits are known.

    Args:
        before: the same runs, as they were known until now; a link that one of them stated, and that is not stated
            any more, is withdrawn.
    """
    for run in runs:
        known = before.get(run.key)
        if known is not None and names_carrier(known) and is_corrected(known, run):
            await withdraw(unit, known, now=now)
    naming = [run for run in runs if names_carrier(run)]
    if not naming:
        return
    carriers = await find_carriers(unit, naming)
    linked = [run for run in naming if run.key in carriers]
    await _link(unit, linked, carriers, await find_sources(unit, linked), now=now)


async def link_sources(
    unit: Unit, repository: RepositoryRecord, commits: Sequence[CommitRecord], *, now: datetime
) -> None:
    """Make the links of source commits that are known only now."""
    aliases = await unit.aliases_of([commit.id for commit in commits])
    shas = [sha for commit in commits for sha in (commit.sha, *aliases.get(commit.id, ()))]
    found = await unit.ci_runs_of(repository.canonical, shas)
    await link_runs(unit, [run for runs in found.values() for run in runs], {}, now=now)


async def link_carriers(
    unit: Unit, repository: RepositoryRecord, commits: Sequence[CommitRecord], *, now: datetime
) -> dict[CommitId, list[CommitId]]:
    """Make the links to carriers that are known only now; returns the source commits of each."""
    aliases = await unit.aliases_of([commit.id for commit in commits])
    shas = [sha for commit in commits for sha in (commit.sha, *aliases.get(commit.id, ()))]
    fresh = {commit.id for commit in commits}
    runs = [
        run
        for run in await unit.runs_naming(shas)
        if names_carrier(run) and run.carrier_repository in ("", repository.canonical)
    ]
    if not runs:
        return {}
    known = await find_carriers(unit, runs)
    carriers = {key: mine for key, items in known.items() if (mine := [item for item in items if item.id in fresh])}
    runs = [run for run in runs if run.key in carriers]
    sources = await find_sources(unit, runs)
    await _link(unit, runs, carriers, sources, now=now)
    made: dict[CommitId, list[CommitId]] = {}
    for run in runs:
        for carrier in carriers[run.key]:
            made.setdefault(carrier.id, []).extend(item.id for item in sources[run.key] if item.id != carrier.id)
    return made


async def list_fitting(unit: Unit, run: CiRun) -> list[tuple[str, CommitRecord]]:
    """Return the commits that a run may say it made, each behind the sha by which it is known."""
    return (await find_fitting(unit, [run]))[run.key]


async def _link(unit: Unit, runs: Sequence[CiRun], carriers: _Carriers, sources: _Sources, *, now: datetime) -> None:
    """Link and deliver what is not linked yet, for all runs of a carrier at once."""
    by_id = {carrier.id: carrier for run in runs for carrier in carriers[run.key]}
    known = {(link.carrier_id, link.source_id) for link in await unit.exports_of(sorted(by_id))}
    linked = {carrier_id for carrier_id, _ in known}
    links: list[ExportRecord] = []
    fresh: dict[CommitId, list[CommitRecord]] = {}
    for run in runs:
        for carrier in carriers[run.key]:
            for source in sources[run.key]:
                if source.id == carrier.id or (carrier.id, source.id) in known:
                    continue
                known.add((carrier.id, source.id))
                links.append(_stated(run, carrier, source))
                fresh.setdefault(carrier.id, []).append(source)
    if not links:
        return
    carried = [(by_id[id_], some) for id_, some in fresh.items()]
    await note_before(unit, carried, linked)
    await unit.put_exports(links)
    # What is final stays: figures were made of it as of a commit of its own.
    await unit.put_commits([replace(carrier, is_carrier=True) for carrier, _ in carried if not carrier.merged_is_final])
    await deliver_all_late(unit, carried, now=now)
    for carrier, some in carried:
        log.info("export stated", carrier=carrier.sha, sha=some[-1].sha, commits=len(some))


def _stated(run: CiRun, carrier: CommitRecord, source: CommitRecord) -> ExportRecord:
    return ExportRecord(
        carrier_id=carrier.id,
        source_id=source.id,
        stated_at=None,
        build_link=run.url or None,
        evidence=ExportEvidence.STATED,
    )

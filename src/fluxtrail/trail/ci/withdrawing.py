"""Takes back what runs stated of exports and state no more, so that everything is as if it had never been said.

What was applied as it was stated is told already, and stays. Two things that a link replaces nobody could tell
afterwards, so they are noted before: that its source commit was on its way by itself, and that its carrier was one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import datetime

import msgspec

from fluxtrail.model.ci import CiEvidence, CiRun, names_carrier
from fluxtrail.model.records import CommitId, CommitRecord, DeliveryRecord, ExportEvidence, ExportRecord, TargetId
from fluxtrail.model.verdict import OPEN, Verdict
from fluxtrail.trail.ci.finding import find_carriers, find_sources
from fluxtrail.trail.late import deliver_all_late
from fluxtrail.trail.ports import Unit
from fluxtrail.trail.rows import REPLACEABLE, verdict_transition

replace = msgspec.structs.replace

_OWN_WAYS = "own_ways_of_{}"
"""Of a source commit: how it stood by itself on targets where what carries it decides now, `{target: verdict}`."""
_CARRIER = "carrier_by_itself_{}"
"""Of a carrier that was one before any link was known."""
_Ways = dict[TargetId, Verdict]


async def note_before(
    unit: Unit, carried: Sequence[tuple[CommitRecord, Sequence[CommitRecord]]], linked: Collection[CommitId]
) -> None:
    """Note what new links of carriers to source commits replace.

    Args:
        linked: the carriers that have links already.
    """
    for carrier, _ in carried:
        if carrier.is_carrier and carrier.id not in linked:
            await unit.put_note(_CARRIER.format(carrier.id), carrier.sha)
    # Of another repository it is never on its way by itself to where its carrier goes.
    near = {
        source.id for carrier, sources in carried for source in sources if source.repository_id == carrier.repository_id
    }
    own: defaultdict[CommitId, _Ways] = defaultdict(dict)
    for row in await unit.deliveries_of(sorted(near)):
        if row.carrier_id is None and (row.verdict in OPEN or row.verdict in REPLACEABLE):
            own[row.commit_id][row.target_id] = row.verdict
    for id_, ways in own.items():
        known = await _own_ways(unit, id_)
        await unit.put_note(_OWN_WAYS.format(id_), msgspec.json.encode(known | ways).decode())


def is_corrected(known: CiRun, run: CiRun) -> bool:
    """Whether the same attempt says something else now than before: another carrier, or that it did not end well.

    That its forge says so of the whole run takes nothing back: it may have failed behind its export.
    """
    if run.attempt != known.attempt:
        return False
    is_same = run.carrier_sha.startswith(known.carrier_sha) or known.carrier_sha.startswith(run.carrier_sha)
    if not is_same or run.carrier_repository != known.carrier_repository:
        return True
    is_stated = run.evidence is not CiEvidence.ASKED or run.stated_export != known.stated_export
    return is_stated and not names_carrier(run)


async def withdraw(unit: Unit, known: CiRun, *, now: datetime) -> None:
    """Take back what a run stated, where no run states it now. The ledger has the run as it is now."""
    sources = {commit.id for commit in await unit.built_commits(known.repository, [known.sha])}
    for carrier in (await find_carriers(unit, [known])).get(known.key, ()):
        links = [
            link
            for link in await unit.exports_of([carrier.id])
            if link.source_id in sources and link.evidence is ExportEvidence.STATED
        ]
        stated = await _stated_sources(unit, carrier) if links else ()
        for link in links:
            if link.source_id not in stated:
                await _undo(unit, link, now=now)


async def _stated_sources(unit: Unit, carrier: CommitRecord) -> Collection[CommitId]:
    """Return the commits of which runs say now that they were exported as this carrier."""
    shas = [carrier.sha, *(await unit.aliases_of([carrier.id])).get(carrier.id, ())]
    runs = [run for run in await unit.runs_naming(shas) if names_carrier(run)]
    carriers = await find_carriers(unit, runs)
    its = [run for run in runs if any(commit.id == carrier.id for commit in carriers.get(run.key, ()))]
    return {commit.id for commits in (await find_sources(unit, its)).values() for commit in commits}


async def _undo(unit: Unit, link: ExportRecord, *, now: datetime) -> None:
    rows = [row for row in await unit.deliveries_of([link.source_id]) if row.carrier_id == link.carrier_id]
    if any(row.applied_sync is not None for row in rows):
        return
    await unit.drop_exports([link])
    await _restore(unit, link.source_id, rows, now=now)
    is_noted = await unit.get_note(_CARRIER.format(link.carrier_id)) is not None
    if not is_noted and not await unit.exports_of([link.carrier_id]):
        await unit.clear_carriers([link.carrier_id])


async def _restore(unit: Unit, source_id: CommitId, rows: Sequence[DeliveryRecord], *, now: datetime) -> None:
    """Let a source commit's deliveries be those that it has by itself, and with what else carries it."""
    source = (await unit.commits_by_id([source_id]))[source_id]
    left = await unit.commits_by_id([link.carrier_id for link in await unit.exports_from([source_id])])
    theirs = {
        row.target_id
        for row in await unit.deliveries_of(sorted(left))
        if row.carrier_id is None and row.verdict not in REPLACEABLE
    }
    own = await _own_ways(unit, source_id)
    since = source.merged.at if source.merged else now
    kept: list[DeliveryRecord] = []
    dropped: list[DeliveryRecord] = []
    for row in rows:
        verdict = own.get(row.target_id, Verdict.PENDING)
        if row.target_id in own or row.target_id in theirs:
            verdict = Verdict.PENDING if verdict in OPEN else verdict
            kept.append(replace(row, carrier_id=None, verdict=verdict, since=since, reason=""))
        else:
            dropped.append(row)
    after = {row.target_id: row.verdict for row in kept} | {row.target_id: Verdict.UNAFFECTED for row in dropped}
    await unit.put_deliveries(kept)
    await unit.drop_deliveries(dropped)
    lines = [verdict_transition(row, after[row.target_id], now) for row in rows]
    await unit.add_transitions([line for line in lines if line.before != line.after])
    await deliver_all_late(unit, [(left[id_], [source]) for id_ in sorted(left)], now=now)


async def _own_ways(unit: Unit, commit_id: CommitId) -> _Ways:
    note = await unit.get_note(_OWN_WAYS.format(commit_id))
    return msgspec.json.decode(note, type=_Ways) if note else {}

"""What runs say of commits: takes runs into the ledger, and states anew when their commits were built.

Whoever learns of a run hands it to `take_runs`: the watcher that asks forges, and whatever takes what pipelines state.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from fluxtrail.model.ci import (
    CiRole,
    CiRun,
    CiState,
    Delivered,
    Standing,
    carry_exports,
    find_build_state,
    find_built,
    find_exported,
)
from fluxtrail.model.ci_merging import is_of_before
from fluxtrail.model.moment import Moment
from fluxtrail.model.records import CommitId, CommitRecord, Transition, TransitionKind
from fluxtrail.model.stage import INVERSION_TOLERANCE
from fluxtrail.trail.ci.durations import Durations, read_durations, write_durations
from fluxtrail.trail.ci.linking import link_runs
from fluxtrail.trail.ci.ports import CiUnit


async def take_runs(unit: CiUnit, runs: Sequence[CiRun], *, now: datetime) -> list[CiRun]:
    """Keep runs, link what they exported, and state anew when their commits were built; returns those that changed
    something.

    Idempotent, and indifferent to order. A run of a commit that is not known (yet) is kept, and counts when it is.

    Args:
        runs: `repository` is the canonical name under which the commits are followed.
    """
    known = await unit.known_runs([run.key for run in runs])
    changed = await unit.put_ci_runs(runs, known)
    before = {run.key: run for run in known if not is_of_before(run)}  # what an earlier attempt made is there
    await link_runs(unit, [run for run in changed if run.role is CiRole.EXPORT], before, now=now)
    shas: defaultdict[str, list[str]] = defaultdict(list)
    for run in changed:
        shas[run.repository].append(run.sha)
    for repository, theirs in shas.items():
        await judge_builds(unit, repository, await unit.built_commits(repository, theirs), now=now)
    return changed


async def judge_builds(unit: CiUnit, repository: str, commits: Sequence[CommitRecord], *, now: datetime) -> Durations:
    """State when these commits were built and exported, as the ledger's runs have it; returns the figures as they are.

    Once a commit is in the figures, the moment it was built stays: what is built later did not bring it where it is.
    What was exported stays exported.
    """
    figures = read_durations(await unit.get_note(Durations.NOTE))
    ids = [commit.id for commit in commits]
    aliases = await unit.aliases_of(ids)
    shas = {commit.id: [commit.sha, *aliases.get(commit.id, ())] for commit in commits}
    runs = await unit.ci_runs_of(repository, [sha for some in shas.values() for sha in some])
    carried = await _carried(unit, ids, runs)
    told = [commit for commit in commits if commit.sha in carried or any(sha in runs for sha in shas[commit.id])]
    delivered = await unit.delivered_of([commit.id for commit in told])
    stated: dict[CommitId, Standing] = {}
    lines: list[Transition] = []
    is_counted = False
    for commit in told:
        theirs = _runs_of(commit, aliases.get(commit.id, ()), runs)
        end = delivered.get(commit.id, Delivered())
        exported = _exported(commit, [*theirs, *carried.get(commit.sha, ())])
        says = Standing(_built(commit, theirs, end, exported, figures), find_build_state(theirs), exported)
        if says != (commit.built, commit.build_state, commit.exported):
            stated[commit.id] = says
        if says.build_state is not commit.build_state:
            lines.append(_transition(commit, says.build_state, theirs, now))
        if says.built is not None:
            is_counted |= figures.count(repository, commit, says.built, is_delivered=end.at is not None, now=now)
    await unit.put_builds(stated)
    await unit.add_transitions(lines)
    if is_counted:
        await unit.put_note(Durations.NOTE, write_durations(figures))
    return figures


async def _carried(unit: CiUnit, ids: Sequence[CommitId], runs: Mapping[str, list[CiRun]]) -> dict[str, list[CiRun]]:
    """Return the runs by which commits were exported with a later one of their branch."""
    exporting = [run for some in runs.values() for run in some if run.role is CiRole.EXPORT]
    carried: dict[str, list[CiRun]] = {}
    for order in await unit.places_of(ids) if exporting else ():
        for sha, theirs in carry_exports(exporting, order).items():
            carried.setdefault(sha, []).extend(theirs)
    return carried


def _exported(commit: CommitRecord, runs: Sequence[CiRun]) -> Moment | None:
    found = find_exported(runs)
    if found is not None and _is_before_merge(commit, found):
        found = None
    return min(filter(None, (commit.exported, found)), key=lambda moment: moment.at, default=None)


def _built(
    commit: CommitRecord, runs: Sequence[CiRun], end: Delivered, exported: Moment | None, figures: Durations
) -> Moment | None:
    if commit.built is not None and commit.id in figures.counted:
        return commit.built
    at = end.at
    if exported is not None and not end.is_exported:
        at = min(filter(None, (at, exported.at)))
    moment = find_built(runs, exported_at=at, build_link=end.build_link)
    return None if moment is not None and _is_before_merge(commit, moment) else moment


def _runs_of(commit: CommitRecord, aliases: Sequence[str], runs: Mapping[str, list[CiRun]]) -> list[CiRun]:
    """Return the runs that tell of a commit: its own builds, else those of what it was merged from."""
    own = runs.get(commit.sha, [])
    if any(run.role is CiRole.BUILD for run in own):
        return own
    return [*own, *(run for sha in aliases for run in runs.get(sha, ()))]


def _is_before_merge(commit: CommitRecord, moment: Moment) -> bool:
    """Whether it was built in its pull request alone: then `built` is no stage on its way from the merge."""
    merged = commit.merged
    return merged is not None and moment.at < merged.earliest - INVERSION_TOLERANCE


def _transition(commit: CommitRecord, state: CiState | None, runs: Collection[CiRun], now: datetime) -> Transition:
    """Return a line of the history, dated when the run that made the difference changed."""
    said = [run for run in runs if run.state is state]
    last = max(said, key=lambda run: run.updated_at, default=None)
    detail = {"pipeline": last.pipeline, "url": last.url} if last is not None else {}
    return Transition(
        at=min(last.updated_at, now) if last is not None else now,
        kind=TransitionKind.BUILT,
        commit_id=commit.id,
        before=commit.build_state.value if commit.build_state else "",
        after=state.value if state else "",
        detail={name: text for name, text in detail.items() if text},
    )

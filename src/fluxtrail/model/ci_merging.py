"""What several facts of one run come to: of a list, of the run itself, and of what its pipeline states.

A pipeline states from inside its run that it has exported. That is true whatever becomes of the run, and whoever speaks
first: so it is kept apart from the run's state (`CiRun.stated_export`) as soon as that is what its forge says.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from fluxtrail.model.ci import CiEvidence, CiKey, CiRole, CiRun, CiState, StatedExport, names_carrier

_STATED = (
    "author", "started_at", "pull_request", "image", "digest",
    "carrier_repository", "carrier_sha", "service", "environment",
)  # fmt: skip


def merge_runs(known: Iterable[CiRun], told: Iterable[CiRun]) -> list[CiRun]:
    """Return those of `told` that change what is known, one for each key, whatever order they come in."""
    held = {run.key: run for run in known}
    changed: dict[CiKey, CiRun] = {}
    for run in told:
        before = held.get(run.key)
        if before is None or (run != before and run.replaces(before)):
            held[run.key] = changed[run.key] = run
    return list(changed.values())


def keep_details(told: CiRun, known: CiRun | None) -> CiRun:
    """Return `told` with what `known` has of the same attempt beyond it, and with the export of an earlier one.

    A list of runs says less of each than the run itself, and neither says what its pipeline has stated of it.
    """
    if known is None:
        return told
    if told.attempt != known.attempt:
        return keep_export(told, known)
    kept = {name: getattr(known, name) for name in _STATED if not getattr(told, name)}
    if not told.stages and has_stages_of(told, known):
        kept |= {"stages": known.stages, "finished_at": known.finished_at}
    return keep_statement(msgspec.structs.replace(told, **kept) if kept else told, told, known)


def has_stages_of(told: CiRun, known: CiRun) -> bool:
    """Whether the stages that are known of a run are those that it has now."""
    is_same = told.attempt == known.attempt and told.state is known.state
    return is_same and bool(known.stages) and not told.is_changed_since(known)


def keep_export(run: CiRun, other: CiRun) -> CiRun:
    """Return a run with what another attempt of it has exported, where that one was before and this states none.

    What an attempt has exported is there, whatever is tried again: it waits until its carrier is seen.
    """
    if run.attempt <= other.attempt or run.carrier_sha or _read_statement(run) or not names_carrier(other):
        return run
    stated = other.stated_export
    if stated is None or stated.state is not CiState.SUCCEEDED:
        end = other.finished_at or other.updated_at
        stated = StatedExport(state=CiState.SUCCEEDED, at=end, attempt=other.attempt)
    made = {"carrier_repository": other.carrier_repository, "carrier_sha": other.carrier_sha}
    return msgspec.structs.replace(run, **made, stated_export=stated)


def is_of_before(run: CiRun) -> bool:
    """Whether an earlier attempt of a run than its newest has made what it names."""
    return run.stated_export is not None and run.stated_export.attempt < run.attempt


def keep_statement(run: CiRun, told: CiRun, known: CiRun) -> CiRun:
    """Return a run with what its pipeline has stated of its export, as two facts of the same attempt have it.

    Args:
        run: what they come to otherwise.
    """
    stated = None
    if _read_statement(run) is None:
        facts = [*_statements(run, told), *_statements(run, known)]
        stated = _choose(facts) if facts else None
    return run if run.stated_export == stated else msgspec.structs.replace(run, stated_export=stated)


def _statements(run: CiRun, fact: CiRun) -> list[StatedExport]:
    """Return what was stated as one fact of a run has it; not what another carrier than the run's was made by."""
    own, kept = _read_statement(fact), fact.stated_export
    is_past = kept is not None and is_of_before(fact) and not run.carrier_sha.startswith(fact.carrier_sha)
    return [one for one in (own, None if is_past else kept) if one is not None]


def _read_statement(run: CiRun) -> StatedExport | None:
    """Return what a pipeline states of its export where that is the state of the run."""
    if run.role is not CiRole.EXPORT or run.evidence is not CiEvidence.STATED or not run.state.is_final:
        return None
    return StatedExport(state=run.state, at=run.finished_at or run.updated_at, attempt=run.attempt)


def _choose(facts: list[StatedExport]) -> StatedExport:
    """Return the last that was stated; what was stated again was so when it was first stated."""
    last = max(facts, key=lambda one: (one.attempt, one.at))
    same = [one for one in facts if one.attempt == last.attempt and one.state is last.state]
    return min(same, key=lambda one: one.at)

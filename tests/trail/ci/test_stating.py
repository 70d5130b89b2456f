"""What is kept of a run that its pipeline states and its forge is asked for, whoever speaks first."""

from __future__ import annotations

from itertools import permutations

import pytest
from msgspec.structs import replace
from tests.model.ci import minutes, run

from fluxtrail.model.ci import CiEvidence, CiRole, CiRun, CiState, StatedExport, find_exported, names_carrier
from fluxtrail.model.ci_merging import keep_details, merge_runs
from fluxtrail.trail.ci.stating import complete

BEGUN = run(role=CiRole.EXPORT, state=CiState.RUNNING, finished_at=None, updated_at=minutes(1))
FAILED = run(role=CiRole.EXPORT, state=CiState.FAILED, finished_at=minutes(6), updated_at=minutes(6))
STATED = run(
    role=CiRole.EXPORT,
    finished_at=minutes(3),
    updated_at=minutes(3),
    carrier_repository="github.com/acme/fleet",
    carrier_sha="b" * 40,
    evidence=CiEvidence.STATED,
)
TOLD_FAILED = replace(FAILED, evidence=CiEvidence.EVENT, pipeline="")
AGAIN = replace(BEGUN, attempt=2, updated_at=minutes(8))


def take(known: CiRun | None, told: CiRun) -> CiRun:
    """Do as the ledger does with a run that its forge tells, or that is stated."""
    whole = told if told.evidence is CiEvidence.ASKED else complete(told, known)
    known_runs = [known] if known is not None else []
    (kept,) = merge_runs(known_runs, [keep_details(whole, known)]) or known_runs
    return kept


def take_all(*told: CiRun) -> CiRun:
    known: CiRun | None = None
    for one in told:
        known = take(known, one)
    assert known is not None
    return known


@pytest.mark.parametrize("order", list(permutations([BEGUN, FAILED, STATED])))
def test_what_is_exported_is_so_in_every_order(order: tuple[CiRun, ...]) -> None:
    kept = take_all(*order)
    assert (kept.state, kept.evidence, kept.finished_at) == (CiState.FAILED, CiEvidence.ASKED, minutes(6))
    assert kept.stated_export == StatedExport(state=CiState.SUCCEEDED, at=minutes(3), attempt=1)
    assert names_carrier(kept)
    moment = find_exported([kept])
    assert moment is not None
    assert moment.at == minutes(3)


@pytest.mark.parametrize("asked", [BEGUN, FAILED])
def test_what_is_stated_counts_at_once(asked: CiRun) -> None:
    assert names_carrier(take_all(asked, STATED))
    assert names_carrier(take_all(STATED, asked))


@pytest.mark.parametrize("order", list(permutations([TOLD_FAILED, STATED])))
def test_what_an_event_tells_of_the_run_takes_no_export_back(order: tuple[CiRun, ...]) -> None:
    assert names_carrier(take_all(*order))


@pytest.mark.parametrize("asked", [None, BEGUN, FAILED])
def test_the_same_statement_changes_nothing(asked: CiRun | None) -> None:
    kept = take_all(*filter(None, [asked]), STATED)
    later = replace(STATED, finished_at=minutes(4), updated_at=minutes(4))
    for told in (STATED, later):
        assert take(kept, told) == kept


@pytest.mark.parametrize("asked", [None, BEGUN, FAILED])
def test_what_is_stated_last_counts(asked: CiRun | None) -> None:
    late = replace(STATED, state=CiState.FAILED, finished_at=minutes(5), updated_at=minutes(5))
    kept = take_all(*filter(None, [asked]), STATED, late)
    assert not names_carrier(kept)
    assert not names_carrier(take(kept, STATED)), "it comes again, from before"
    assert names_carrier(take(kept, replace(STATED, finished_at=minutes(6), updated_at=minutes(6))))


@pytest.mark.parametrize("order", list(permutations([FAILED, STATED, AGAIN])))
def test_what_an_attempt_has_exported_is_kept_in_every_order(order: tuple[CiRun, ...]) -> None:
    kept = take_all(*order)
    assert (kept.attempt, kept.state, kept.carrier_sha) == (2, CiState.RUNNING, STATED.carrier_sha)
    assert kept.stated_export == StatedExport(state=CiState.SUCCEEDED, at=minutes(3), attempt=1)
    assert take(kept, STATED) == kept
    own = replace(STATED, attempt=2, carrier_sha="c" * 40, finished_at=minutes(9), updated_at=minutes(9))
    begun = replace(own, state=CiState.RUNNING, finished_at=None)
    assert not names_carrier(take(kept, begun)), "it is not made yet"
    after = take(take(kept, begun), own)
    assert (after.carrier_sha, names_carrier(after)) == ("c" * 40, True)
    assert take(after, own) == after

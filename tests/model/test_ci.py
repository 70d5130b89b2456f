from __future__ import annotations

from datetime import datetime, timedelta
from itertools import permutations

import pytest
from msgspec.structs import replace
from tests.model.ci import NOON, minutes, run

from fluxtrail.model.ci import (
    CiEvidence,
    CiRole,
    CiRun,
    CiStage,
    CiState,
    CiSystem,
    find_build_state,
    find_built,
    find_exported,
    find_failed_build,
    names_carrier,
)
from fluxtrail.model.ci_merging import has_stages_of, keep_details, merge_runs
from fluxtrail.model.moment import Evidence, Precision

QUEUED = run(state=CiState.QUEUED, finished_at=None, updated_at=NOON)
RUNNING = run(state=CiState.RUNNING, finished_at=None, updated_at=minutes(1))
FAILED = run(state=CiState.FAILED, updated_at=minutes(4), finished_at=minutes(4))
AGAIN = run(state=CiState.RUNNING, attempt=2, finished_at=None, updated_at=minutes(6))
DONE = run(attempt=2, finished_at=minutes(9), updated_at=minutes(9))


@pytest.mark.parametrize("order", list(permutations([QUEUED, RUNNING, FAILED, AGAIN, DONE])))
def test_facts_of_one_run_end_the_same_in_every_order(order: tuple[CiRun, ...]) -> None:
    known: list[CiRun] = []
    for told in order:
        known = merge_runs(known, [told]) or known
    assert known == [DONE]
    assert merge_runs([], order) == [DONE]


def of_gitlab(told: CiRun) -> CiRun:
    return replace(told, system=CiSystem.GITLAB_CI, attempt=1)


@pytest.mark.parametrize("order", list(permutations(map(of_gitlab, [QUEUED, RUNNING, FAILED, AGAIN]))))
def test_a_run_goes_on_under_its_own_number_where_attempts_are_not_told(order: tuple[CiRun, ...]) -> None:
    """GitLab tries jobs again in the same pipeline, Azure Pipelines stages in the same build."""
    known: list[CiRun] = []
    for told in order:
        known = merge_runs(known, [told]) or known
    assert known == [of_gitlab(AGAIN)]
    assert merge_runs(known, [of_gitlab(DONE)]) == [of_gitlab(DONE)]


@pytest.mark.parametrize(
    "told",
    [
        replace(of_gitlab(AGAIN), updated_at=FAILED.updated_at),
        replace(of_gitlab(AGAIN), evidence=CiEvidence.EVENT),
        replace(AGAIN, attempt=1),
    ],
    ids=["unchanged", "told by others", "a system that counts attempts"],
)
def test_what_is_over_stays_over(told: CiRun) -> None:
    over = replace(FAILED, system=told.system)
    assert merge_runs([over], [told]) == []


def test_stages_of_what_was_tried_again_are_those_of_before() -> None:
    stages = (CiStage(name="build", state=CiState.FAILED),)
    known = replace(of_gitlab(FAILED), stages=stages)
    later = replace(of_gitlab(FAILED), updated_at=minutes(9), finished_at=minutes(9))
    assert keep_details(of_gitlab(FAILED), known).stages == stages
    assert keep_details(later, known) == later


def test_what_is_known_already_changes_nothing() -> None:
    assert merge_runs([DONE], [DONE, FAILED, QUEUED]) == []


def test_what_was_asked_for_is_not_replaced_by_what_was_told() -> None:
    told = run(state=CiState.FAILED, evidence=CiEvidence.STATED, updated_at=minutes(60))
    assert merge_runs([run()], [told]) == []
    assert merge_runs([told], [run()]) == [run()]


@pytest.mark.parametrize(
    ("role", "evidence", "state"),
    [
        (CiRole.BUILD, CiEvidence.STATED, CiState.RUNNING),
        (CiRole.EXPORT, CiEvidence.STATED, CiState.SUCCEEDED),
        (CiRole.BUILD, CiEvidence.EVENT, CiState.SUCCEEDED),
    ],
    ids=["a build goes on as its forge says", "what was exported was exported", "a forge told so itself"],
)
def test_what_a_run_states_before_its_end(role: CiRole, evidence: CiEvidence, state: CiState) -> None:
    """Whoever speaks first: the forge, or the pipeline from inside its own run."""
    told = run(role=role, evidence=evidence, updated_at=minutes(3), finished_at=minutes(3))
    asked = replace(RUNNING, role=role)
    (known,) = merge_runs([told], [asked]) or [told]
    assert known.state is state
    if evidence is CiEvidence.STATED:
        (after,) = merge_runs([known], [run(role=role, state=CiState.FAILED)])
        assert after.state is CiState.FAILED, "once it is over, the forge knows how"


def test_roles_of_one_run_are_two() -> None:
    assert len(merge_runs([], [run(), run(role=CiRole.EXPORT)])) == 2


@pytest.mark.parametrize(
    ("runs", "exported_at", "build_link", "expected"),
    [
        pytest.param([], None, "", None, id="none"),
        pytest.param([RUNNING], None, "", None, id="running"),
        pytest.param([FAILED], None, "", None, id="failed"),
        pytest.param([run(role=CiRole.EXPORT)], None, "", None, id="an export is no build"),
        pytest.param([run()], None, "", 5, id="succeeded"),
        pytest.param([run(), run("8", finished_at=minutes(7))], None, "", 7, id="the last of several pipelines"),
        pytest.param([run(), run("8", finished_at=minutes(60))], minutes(10), "", 5, id="a later one"),
        pytest.param([run()], minutes(5) - timedelta(seconds=2), "", 5, id="clocks may differ"),
        pytest.param([run()], minutes(4), "", None, id="exported before any was done"),
        pytest.param(
            [run(url="https://ci/runs/7"), run("8", url="https://ci/runs/8", finished_at=minutes(4))],
            minutes(10),
            "https://ci/runs/8/attempts/1",
            4,
            id="the one that the export names",
        ),
        pytest.param([run(url="https://ci/runs/7")], None, "https://ci/runs/77", 5, id="another run"),
    ],
)
def test_built_is_when_what_was_delivered_was_ready(
    runs: list[CiRun], exported_at: datetime | None, build_link: str, expected: float | None
) -> None:
    found = find_built(runs, exported_at=exported_at, build_link=build_link)
    assert (found.at if found else None) == (None if expected is None else minutes(expected))
    if found is not None:
        assert (found.evidence, found.precision) == (Evidence.CI_RUN, Precision.EXACT)


def test_a_failed_build_is_one_that_was_not_made_good() -> None:
    assert find_failed_build([FAILED]) == FAILED
    assert find_failed_build([FAILED, run("8", queued_at=minutes(6))]) is None
    assert find_failed_build([FAILED, run("8", queued_at=minutes(6), state=CiState.RUNNING)]) is None
    other = run("8", queued_at=minutes(6), pipeline="docs")
    assert find_failed_build([other, FAILED]) == FAILED


@pytest.mark.parametrize(
    ("runs", "state"),
    [
        ([], None),
        ([run(role=CiRole.EXPORT)], None),
        ([run()], CiState.SUCCEEDED),
        ([run("1", state=CiState.FAILED), run("2", queued_at=minutes(1))], CiState.SUCCEEDED),
        ([run("1"), run("2", queued_at=minutes(1), state=CiState.RUNNING)], CiState.RUNNING),
        ([run("1"), run("2", pipeline="image", state=CiState.FAILED)], CiState.FAILED),
        ([run("1", state=CiState.QUEUED), run("2", pipeline="image", state=CiState.FAILED)], CiState.FAILED),
        ([run("1"), run("2", pipeline="docs", state=CiState.SKIPPED)], CiState.SUCCEEDED),
        ([run("1"), run("2", pipeline="image", state=CiState.UNKNOWN)], CiState.UNKNOWN),
    ],
    ids=["none", "export", "done", "again", "again, running", "one failed", "failed first", "skipped", "unknown"],
)
def test_how_builds_stand_together(runs: list[CiRun], state: CiState | None) -> None:
    assert find_build_state(runs) is state
    assert find_build_state(runs[::-1]) is state


def test_what_is_known_of_another_attempt_says_nothing_of_this_one() -> None:
    known = run(author="ada", stages=(CiStage(name="Build", state=CiState.SUCCEEDED),))
    assert keep_details(run(attempt=2), known) == run(attempt=2)
    assert keep_details(run(), known) == known
    assert keep_details(run(state=CiState.FAILED), known) == run(state=CiState.FAILED, author="ada")
    assert keep_details(run(author="eve"), known).author == "eve"


EXPORTED = run(
    role=CiRole.EXPORT,
    evidence=CiEvidence.STATED,
    finished_at=minutes(3),
    updated_at=minutes(3),
    carrier_sha="b" * 40,
    carrier_repository="github.com/acme/fleet",
)


@pytest.mark.parametrize("state", [CiState.RUNNING, CiState.SUCCEEDED, CiState.FAILED, CiState.CANCELLED])
def test_what_a_run_has_exported_counts_whatever_its_forge_says_of_the_run(state: CiState) -> None:
    asked = run(role=CiRole.EXPORT, state=state, finished_at=minutes(5) if state.is_final else None)
    both = keep_details(asked, EXPORTED)
    assert (both.state, both.evidence) == (state, CiEvidence.ASKED)
    assert names_carrier(both)
    moment = find_exported([both])
    assert moment is not None
    assert moment.at == minutes(3)
    other = keep_details(asked, replace(EXPORTED, state=CiState.FAILED))
    assert names_carrier(other) is (state is CiState.SUCCEEDED)


@pytest.mark.parametrize("kept", [EXPORTED, keep_details(replace(RUNNING, role=CiRole.EXPORT), EXPORTED)])
def test_what_an_attempt_has_exported_waits_while_another_is_made(kept: CiRun) -> None:
    again = replace(AGAIN, role=CiRole.EXPORT)
    carried = keep_details(again, kept)
    assert (carried.carrier_sha, carried.carrier_repository) == (EXPORTED.carrier_sha, EXPORTED.carrier_repository)
    assert names_carrier(carried)
    assert names_carrier(keep_details(replace(again, state=CiState.FAILED), carried))
    assert names_carrier(keep_details(replace(again, attempt=3), carried))
    own = replace(EXPORTED, attempt=2, state=CiState.RUNNING, finished_at=None, carrier_sha="c" * 40)
    assert keep_details(own, carried) == own, "it is not made yet"
    assert keep_details(replace(EXPORTED, attempt=2, state=CiState.FAILED, carrier_sha=""), kept).carrier_sha == ""
    assert keep_details(again, replace(EXPORTED, state=CiState.FAILED)) == again


def test_stages_are_asked_for_again_where_they_would_not_be_kept() -> None:
    known = replace(of_gitlab(FAILED), stages=(CiStage(name="build", state=CiState.FAILED),))
    for later in (FAILED, replace(FAILED, updated_at=minutes(9))):
        told = of_gitlab(later)
        assert has_stages_of(told, known) is bool(keep_details(told, known).stages)
    assert not has_stages_of(of_gitlab(replace(FAILED, updated_at=minutes(9))), known)

"""What events come to does not depend on when, in which order, or how often they are heard."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluxtrail.model.flux import SOURCE_GROUP
from fluxtrail.model.notices import FluxNotice
from fluxtrail.model.observation import ObjectKey
from fluxtrail.model.reasons import REASONS, Outcome, outcome_of, work_of
from fluxtrail.trail.notices.told import (
    Heard,
    Told,
    find_commit_revision,
    find_heard,
    kustomization_key,
    picture,
)

BEGIN = datetime(2026, 11, 20, 12, tzinfo=UTC)
KEY = ObjectKey("kustomize.toolkit.fluxcd.io", "Kustomization", "flux-system", "apps")
SOURCE = ObjectKey(SOURCE_GROUP, "GitRepository", "hooks", "fleet@main")
TOLD_REASONS = ("ReconciliationSucceeded", "Progressing", "BuildFailed", "DependencyNotReady", "HealthCheckFailed")


SAYINGS = {
    "ReconciliationSucceeded": (
        "",
        "Reconciliation finished in 1.2s, next run in 10m0s",
        "Reconciliation finished in 6s",
    ),
    "Progressing": (
        "",
        "Deployment/default/web configured",
        "Health check passed in 2.22s",
        "Health check passed in 9ms",
    ),
    "HealthCheckFailed": ("", "health check failed after 3.02s: timeout waiting for: [Deployment/default/web]"),
}
"""What Flux says with a reason: of an apply, of its checks, or neither."""


def heard(second: int, reason: str, number: int, message: str = "") -> Heard:
    return Heard(
        at=BEGIN + timedelta(seconds=second),
        revision=f"main@sha1:{number:040x}",
        outcome=REASONS[reason],
        reason=reason,
        message=message or reason,
    )


@st.composite
def some_event(draw: st.DrawFn) -> Heard:
    reason = draw(st.sampled_from(TOLD_REASONS))
    message = draw(st.sampled_from(SAYINGS.get(reason, ("",))))
    return heard(draw(st.integers(0, 6)), reason, draw(st.integers(1, 3)), message)


events = some_event()


@st.composite
def heard_twice(draw: st.DrawFn) -> tuple[list[Heard], list[Heard]]:
    """The same events, in two orders, and some of them again."""
    given_ = draw(st.lists(events, min_size=1, max_size=12))
    again = draw(st.lists(st.sampled_from(given_), max_size=6))
    return given_, draw(st.permutations([*given_, *again]))


def fold(items: list[Heard]) -> Told:
    told = Told()
    for item in items:
        told = told.hear(item)
    return told


def told_of(told: Told) -> tuple[object, ...]:
    """Return what is said of the object then."""
    made = picture(told, KEY, uid="u", generation=1, path="apps", source=SOURCE)
    assert made is not None
    ready, *steps = made.conditions
    return made.last_applied, made.last_attempted, outcome_of(ready), ready.changed_at, made.has_checks, steps


@given(heard_twice())
def test_order_and_repetition_change_nothing(orders: tuple[list[Heard], list[Heard]]) -> None:
    first, second = orders
    assert told_of(fold(first)) == told_of(fold(second))


@given(heard_twice())
def test_whoever_follows_the_news_ends_where_the_whole_does(orders: tuple[list[Heard], list[Heard]]) -> None:
    """The last news is how it stands; what is heard again is no news."""
    told, steps = Told(), list[Told]()
    for item in orders[1]:
        after = told.hear(item)
        steps += after.news_after(told)
        told = after
    assert told_of(steps[-1])[:3] == told_of(told)[:3]
    assert [told.hear(item).news_after(told) for item in orders[0]] == [[] for _ in orders[0]]


@given(heard_twice())
def test_the_last_news_of_a_success_dates_its_apply_as_the_whole_does(orders: tuple[list[Heard], list[Heard]]) -> None:
    """Also where its checks are told after it."""
    told, dated = Told(), dict[object, object]()
    for item in orders[1]:
        after = told.hear(item)
        for step in after.news_after(told):
            if step.success is not None and step.newest is step.success:
                dated[step.success.at, step.success.revision] = told_of(step)[4:]
        told = after
    success = told.success
    if success is not None and (success.at, success.revision) in dated:
        assert dated[success.at, success.revision] == told_of(msgspec.structs.replace(told, other=None))[4:]


@given(st.lists(events, min_size=1, max_size=12))
def test_the_newest_success_is_what_is_applied(items: list[Heard]) -> None:
    successes = [item for item in items if item.outcome is Outcome.SUCCEEDED]
    applied = told_of(fold(items))[0]
    if not successes:
        assert applied is None
    else:
        latest = max(item.at for item in successes)
        assert applied in {item.revision for item in successes if item.at == latest}


@pytest.mark.parametrize(
    ("reasons", "outcome"),
    [
        (["Progressing", "ReconciliationSucceeded"], Outcome.SUCCEEDED),
        (["ReconciliationSucceeded", "Progressing"], Outcome.SUCCEEDED),
        (["BuildFailed", "Progressing"], Outcome.FAILED),
        (["Progressing", "BuildFailed"], Outcome.FAILED),
        (["ReconciliationSucceeded", "BuildFailed"], Outcome.SUCCEEDED),
    ],
)
def test_of_one_second_what_ended_wins(reasons: list[str], outcome: Outcome) -> None:
    assert told_of(fold([heard(1, reason, 1) for reason in reasons]))[2] is outcome


def test_the_next_revision_begins_in_the_second_in_which_the_last_succeeded() -> None:
    told = fold([heard(1, "Progressing", 2), heard(1, "ReconciliationSucceeded", 1)])
    assert told_of(told)[:3] == (f"main@sha1:{1:040x}", f"main@sha1:{2:040x}", Outcome.RUNNING)


def test_waiting_for_a_dependency_is_no_attempt() -> None:
    told = fold([heard(1, "ReconciliationSucceeded", 1), heard(2, "DependencyNotReady", 2)])
    assert told_of(told)[:3] == (f"main@sha1:{1:040x}", f"main@sha1:{1:040x}", Outcome.WAITING)


# -- where health is checked -----------------------------------------------------------------------------------------

APPLIED = "Deployment/default/web configured"
FINISHED = "Reconciliation finished in 6.26s, next run in 10m0s"


def step_of(*items: Heard) -> tuple[bool, str, float | None]:
    """Return whether it has checks, and the step beside its end: which, and when it began, in seconds."""
    made = picture(fold(list(items)), KEY, uid="u", generation=1, path="apps", source=SOURCE)
    assert made is not None
    work = work_of(made)
    began = work.condition.changed_at if work is not None else None
    return made.has_checks, work.step if work else "", (began - BEGIN).total_seconds() if began else None


def good(second: int, number: int = 1, message: str = FINISHED) -> Heard:
    return heard(second, "ReconciliationSucceeded", number, message)


def passed(second: int, took: str, number: int = 1) -> Heard:
    return heard(second, "Progressing", number, f"Health check passed in {took}")


def failed(second: int, message: str, number: int = 1) -> Heard:
    return heard(second, "HealthCheckFailed", number, message)


CHECKS, BUILDING = "Running health checks", "Building manifests"


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        pytest.param([good(50)], (False, "", None), id="no sign of checks"),
        pytest.param([heard(45, "Progressing", 1, APPLIED), good(50)], (False, "", None), id="an apply is no check"),
        pytest.param([passed(50, "5.220527359s"), good(50)], (True, CHECKS, 45.0), id="passed"),
        pytest.param([passed(50, "46.145855ms"), good(50)], (True, CHECKS, 50.0), id="passed at once"),
        pytest.param([passed(500, "5m30.5s"), good(500, message="no word of it")], (True, CHECKS, 170.0), id="minutes"),
        pytest.param([passed(50, "ages"), good(50)], (False, "", None), id="not understood"),
        pytest.param(
            [failed(84, "health check failed after 30.02s: timeout waiting for: [x]")],
            (True, CHECKS, 54.0),
            id="failed",
        ),
        pytest.param(
            [heard(54, "Progressing", 1, APPLIED), failed(84, "timeout waiting for: [x]")],
            (True, CHECKS, 54.0),
            id="failed, no word of how long",
        ),
        pytest.param(
            [heard(54, "Progressing", 2, APPLIED), failed(84, "timeout")],
            (True, "", None),
            id="another one was applied",
        ),
        pytest.param(
            [passed(10, "1s"), heard(45, "Progressing", 2, APPLIED), good(50, 2)], (True, CHECKS, 45.0), id="applied"
        ),
        pytest.param([passed(10, "1s"), good(50, 2)], (True, BUILDING, 43.74), id="had checks before"),
        pytest.param([passed(10, "1s"), good(50)], (True, BUILDING, 43.74), id="passed in an earlier run"),
        pytest.param([passed(10, "1s"), good(50, 2, "no word of it")], (True, "", None), id="nothing at all"),
        pytest.param([good(50), passed(60, "1s", 2)], (True, CHECKS, 59.0), id="another one passed later"),
        pytest.param([heard(40, "HealthCheckCanceled", 1), good(50, 2)], (True, BUILDING, 43.74), id="canceled"),
    ],
)
def test_the_apply_before_the_checks(items: list[Heard], expected: tuple[bool, str, float | None]) -> None:
    for order in itertools.permutations(items):
        assert step_of(*order) == expected


def test_checks_that_are_told_after_the_success_are_news_once() -> None:
    told = fold([good(50)])
    after = told.hear(passed(50, "5.22s"))
    assert [step_of_told(step) for step in after.news_after(told)] == [45.0]
    assert after.hear(passed(50, "5.22s")).news_after(after) == []
    # beside what is under way by then, it is the success that they are of
    busy = fold([good(50), heard(55, "Progressing", 2)])
    late = busy.hear(passed(50, "5.22s")).news_after(busy)
    assert [step_of_told(step) for step in late] == [45.0, None]


def step_of_told(told: Told) -> float | None:
    made = picture(told, KEY, uid="u", generation=1, path="apps", source=SOURCE)
    work = work_of(made) if made is not None else None
    return (work.condition.changed_at - BEGIN).total_seconds() if work and work.condition.changed_at else None


SHA = "a" * 40
GROUP = "kustomize.toolkit.fluxcd.io"


def notice(**fields: object) -> FluxNotice:
    base: dict[str, object] = {
        "kind": "Kustomization",
        "namespace": "flux-system",
        "name": "apps",
        "api_version": f"{GROUP}/v1",
        "reason": "ReconciliationSucceeded",
        "at": BEGIN,
        "metadata": {"revision": f"main@sha1:{SHA}"},
    }
    return FluxNotice(**{**base, **fields})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("metadata", "found"),
    [
        ({"revision": f"main@sha1:{SHA}"}, f"main@sha1:{SHA}"),
        ({f"{GROUP}/revision": f"main/{SHA}"}, f"main/{SHA}"),
        ({"revision": f"latest@sha256:{'b' * 64}", "originRevision": f"main@sha1:{SHA}"}, f"main@sha1:{SHA}"),
        ({"commit": SHA, "revision": f"main@sha1:{SHA}"}, f"main@sha1:{SHA}"),
        ({"event.toolkit.fluxcd.io/commit": SHA}, SHA),
        ({"revision": f"latest@sha256:{'b' * 64}"}, None),
        ({"revision": "6.5.3"}, None),
        ({"revision": "main@sha1:abcdef1"}, None),
        ({}, None),
    ],
)
def test_the_commit_of_an_event(metadata: dict[str, str], found: str | None) -> None:
    revision = find_commit_revision(notice(metadata=metadata))
    assert (revision.text if revision is not None else None) == found


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "HelmRelease"},
        {"at": None},
        {"name": ""},
        {"metadata": {}},
        {"reason": "info"},
        {"reason": "", "severity": "info"},
    ],
)
def test_what_tells_nothing(fields: dict[str, object]) -> None:
    assert find_heard(notice(**fields)) is None


def test_an_unknown_error_is_a_failure() -> None:
    found = find_heard(notice(reason="SomethingNew", severity="error"))
    assert found is not None
    assert found.outcome is Outcome.FAILED
    assert kustomization_key(notice()) == KEY

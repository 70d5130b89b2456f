"""What events come to does not depend on when, in which order, or how often they are heard."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluxtrail.model.flux import SOURCE_GROUP
from fluxtrail.model.notices import FluxNotice
from fluxtrail.model.observation import ObjectKey
from fluxtrail.model.reasons import REASONS, Outcome, outcome_of
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


def heard(second: int, reason: str, number: int) -> Heard:
    return Heard(
        at=BEGIN + timedelta(seconds=second),
        revision=f"main@sha1:{number:040x}",
        outcome=REASONS[reason],
        reason=reason,
        message=reason,
    )


events = st.builds(heard, st.integers(0, 6), st.sampled_from(TOLD_REASONS), st.integers(1, 3))


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
    (ready,) = made.conditions
    return made.last_applied, made.last_attempted, outcome_of(ready), ready.changed_at


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

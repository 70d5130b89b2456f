from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.web.worlds import NOW, at, commit, delivery, stages

from fluxtrail.cli.waiting import Exit, Waiter, parse_duration
from fluxtrail.model.views import BlockerView, DeliveryView, TrailView

SHA = "ab" * 20


def trail(*deliveries: DeliveryView) -> TrailView:
    return TrailView(commit=commit(SHA, "a change", 0), queried=SHA, deliveries=list(deliveries))


def on(cluster: str, verdict: str, reason: str = "", *, applied: bool = False, ago: float = 60) -> DeliveryView:
    steps = stages(0, ("fetched", 10), ("applied", 20)) if applied else stages(0)
    since = NOW - timedelta(seconds=ago)
    return delivery(SHA, cluster, verdict, reason=reason, stages=steps, since=since)


def waiter(
    goal: str = "healthy", *, fail_after: float = 0, clusters: tuple[str, ...] = (), targets: tuple[str, ...] = ()
) -> Waiter:
    return Waiter(goal=goal, fail_after=timedelta(seconds=fail_after), clusters=clusters, targets=targets)


def look(one: Waiter, *deliveries: DeliveryView) -> Exit | None:
    return one.look(trail(*deliveries), now=NOW).exit


@pytest.mark.parametrize(
    ("goal", "deliveries", "expected"),
    [
        ("healthy", [on("prod-eu", "deployed")], Exit.OK),
        ("healthy", [on("prod-eu", "deployed"), on("prod-us", "pending", "syncing")], None),
        ("healthy", [on("prod-eu", "deployed"), on("prod-us", "unaffected")], Exit.OK),
        ("healthy", [on("prod-eu", "unaffected"), on("prod-us", "unaffected")], Exit.OK),
        ("healthy", [on("prod-eu", "pending", "syncing", applied=True)], None),
        ("applied", [on("prod-eu", "pending", "syncing", applied=True)], Exit.OK),
        ("applied", [on("prod-eu", "failed", "HealthCheckFailed", applied=True)], Exit.OK),
        ("healthy", [on("prod-eu", "failed", "HealthCheckFailed", applied=True)], Exit.FAILED),
        ("applied", [on("prod-eu", "failed", "BuildFailed"), on("prod-us", "pending", "syncing")], Exit.FAILED),
        ("applied", [on("prod-eu", "lost")], Exit.WILL_NOT_HAPPEN),
        ("applied", [on("prod-eu", "rolled_back", applied=True)], Exit.WILL_NOT_HAPPEN),
        ("applied", [on("prod-eu", "abandoned"), on("prod-us", "deployed")], Exit.WILL_NOT_HAPPEN),
        ("applied", [on("prod-eu", "failed"), on("prod-us", "lost")], Exit.WILL_NOT_HAPPEN),
        ("applied", [on("prod-eu", "pending", "scoping")], None),
        ("applied", [on("prod-eu", "unaffected"), on("prod-us", "pending", "awaiting_export")], None),
        ("applied", [], None),
    ],
)
def test_a_look_decides(goal: str, deliveries: list[DeliveryView], expected: Exit | None) -> None:
    assert look(waiter(goal), *deliveries) is expected


def rolling(running: str, *blockers: BlockerView, cluster: str = "prod-eu", verdict: str = "deployed") -> DeliveryView:
    steps = [("fetched", 10.0), ("applied", 20.0), *([("running", 40.0)] if running == "reached" else [])]
    base = delivery(SHA, cluster, verdict, stages=stages(0, *steps), since=NOW - timedelta(seconds=60))
    return msgspec.structs.replace(base, running=running, blockers=list(blockers))


def blocker(state: str, cause: str | None = None, *, ago: float = 60) -> BlockerView:
    since = NOW - timedelta(seconds=ago)
    return BlockerView(workload="Job/shop/migrate", state=state, cause=cause, message="it says so", since=since)


PULL, DEAD = blocker("blocked", "image_pull"), blocker("failed", "job_failed")


@pytest.mark.parametrize(
    ("deliveries", "expected", "said"),
    [
        ([rolling("reached")], Exit.OK, "running on 1 target"),
        ([rolling("absent")], Exit.OK, "running on 1 target (nothing is to run on 1)"),
        ([rolling("reached"), rolling("unknown", cluster="prod-us")], Exit.OK, "not known on 1: workloads are not"),
        ([rolling("")], Exit.OK, "not known on 1"),
        ([on("prod-eu", "unaffected")], Exit.OK, "unaffected everywhere"),
        ([rolling("unread")], None, "its roll-outs are being looked at"),
        ([rolling("waiting", blocker("progressing"))], None, "rolling out on prod-eu"),
        ([rolling("waiting", PULL)], None, "Job/shop/migrate: image_pull: it says so"),
        ([rolling("waiting", PULL), rolling("waiting", DEAD, cluster="prod-us")], Exit.FAILED, "job_failed: it says"),
        ([rolling("waiting", blocker("failed", "job_failed", ago=5))], None, "Job/shop/migrate: job_failed"),
        ([rolling("reached", verdict="failed")], Exit.OK, "running on 1 target"),
        ([rolling("waiting", PULL, verdict="failed")], Exit.FAILED, "failed on prod-eu"),
        ([rolling("reached", verdict="rolled_back")], Exit.WILL_NOT_HAPPEN, "rolled back"),
        ([rolling("waiting", PULL, verdict="pending")], None, "applied, but not running on prod-eu"),
        ([on("prod-eu", "pending", "syncing")], None, "Flux is at work on it"),
    ],
)
def test_waiting_for_running(deliveries: list[DeliveryView], expected: Exit | None, said: str) -> None:
    decision = waiter("running", fail_after=30).look(trail(*deliveries), now=NOW)
    assert decision.exit is expected
    assert said in decision.reason


@pytest.mark.parametrize("goal", ["applied", "healthy"])
def test_what_does_not_run_is_applied_and_healthy_all_the_same(goal: str) -> None:
    assert look(waiter(goal), rolling("waiting", DEAD)) is Exit.OK


def test_a_failure_counts_once_it_has_lasted() -> None:
    patient = waiter(fail_after=300)
    assert look(patient, on("prod-eu", "failed", ago=299)) is None
    assert look(patient, on("prod-eu", "pending", "syncing")) is None
    assert look(patient, on("prod-eu", "failed", ago=300)) is Exit.FAILED


def test_targets_are_fixed_once_their_scope_is_known() -> None:
    fixed = waiter()
    assert look(fixed, on("prod-eu", "pending", "scoping"), on("prod-us", "pending", "syncing")) is None
    assert look(fixed, on("prod-eu", "pending", "syncing")) is None
    assert look(fixed, on("prod-eu", "deployed"), on("staging", "pending", "syncing")) is Exit.OK


@pytest.mark.parametrize("goal", ["applied", "healthy", "running"])
def test_releases_that_a_commit_comes_to_later_are_waited_for(goal: str) -> None:
    patient = waiter(goal)
    release = msgspec.structs.replace(on("prod-eu", "pending", "syncing"), target="HelmRelease/shop/web", target_id=99)
    assert look(patient, rolling("unread")) is None
    assert look(patient, rolling("absent"), release) is None
    live = msgspec.structs.replace(rolling("reached"), target=release.target, target_id=release.target_id)
    assert look(patient, rolling("absent"), live) is Exit.OK


def test_a_target_that_is_no_longer_known_will_not_happen() -> None:
    fixed = waiter()
    assert look(fixed, on("prod-eu", "pending", "syncing"), on("prod-us", "deployed")) is None
    assert look(fixed, on("prod-us", "deployed")) is Exit.WILL_NOT_HAPPEN


@pytest.mark.parametrize(
    ("narrowing", "expected"),
    [
        ({"clusters": ("prod-eu",)}, Exit.OK),
        ({"clusters": ("uid-prod-eu",)}, Exit.OK),
        ({"clusters": ("prod-eu", "prod-us")}, None),
        ({"targets": ("apps",), "clusters": ("prod-eu",)}, Exit.OK),
        ({"targets": ("kustomization/apps",)}, None),
        ({"targets": ("flux-system/apps",)}, None),
        ({"targets": ("Kustomization/flux-system/apps",)}, None),
        ({"targets": ("default/apps",)}, Exit.USAGE),
        ({"clusters": ("prod",)}, Exit.USAGE),
    ],
)
def test_only_the_targets_asked_for_count(narrowing: dict[str, tuple[str, ...]], expected: Exit | None) -> None:
    deliveries = [on("prod-eu", "deployed"), on("prod-us", "pending", "syncing")]
    only = waiter(clusters=narrowing.get("clusters", ()), targets=narrowing.get("targets", ()))
    assert look(only, *deliveries) is expected


def test_a_narrowed_wait_does_not_mind_others_scope() -> None:
    only = waiter(clusters=("prod-eu",))
    assert look(only, on("prod-eu", "deployed"), on("prod-us", "pending", "scoping")) is Exit.OK


def test_reasons_are_for_people() -> None:
    decision = waiter().look(trail(on("prod-eu", "pending", "suspended"), on("prod-us", "deployed")), now=NOW)
    assert "1 of 2 targets" in decision.reason
    assert "flux resume kustomization apps -n flux-system: prod-eu" in decision.reason
    message = msgspec.structs.replace(on("prod-eu", "failed", "BuildFailed"), message="missing file")
    assert "(BuildFailed): missing file" in waiter().look(trail(message), now=NOW).reason


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("10m", 600), ("1h30m", 5400), ("2d", 172800), ("0s", 0), ("1.5h", 5400), ("0", 0)],
)
def test_durations_are_parsed(text: str, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text", ["", " ", "m", "1x", "1h30", "-5m", "1..5s", ".", "1e9d", "10 m", "99999999d", "１０m"]
)
def test_other_text_is_no_duration(text: str) -> None:
    assert parse_duration(text) is None


@given(st.text(max_size=12))
def test_any_text_is_a_duration_or_none(text: str) -> None:
    found = parse_duration(text)
    assert found is None or found >= timedelta(0)


def test_since_is_reckoned_by_the_servers_clock() -> None:
    assert waiter(fail_after=60).look(trail(on("prod-eu", "failed", ago=0)), now=at(1800)).exit is None

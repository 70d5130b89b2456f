"""What events tell of a roll-out, and what they do not."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from tests.trail.rollouts.states import at, pod

from fluxtrail.model.events import Event
from fluxtrail.model.observation import ObjectUid
from fluxtrail.model.rollout import Rollout, RolloutCause, RolloutState
from fluxtrail.trail.rollouts.hints import Hint, Hints, read_hint, with_hint

PROGRESSING = Rollout(state=RolloutState.PROGRESSING)
PROBE = Rollout(
    state=RolloutState.PROGRESSING,
    cause=RolloutCause.PROBE,
    message="running, not ready",
    pod="web-0",
    container="app",
)
QUOTA = 'create Pod web-1 in StatefulSet web failed error: pods "web-1" is forbidden: exceeded quota: compute'
POLICY = 'Error creating: pods "web-x" is forbidden: violates PodSecurity "restricted:latest"'
WEBHOOK = 'Error creating: admission webhook "policy.example.org" denied the request: no'
MOUNT = 'MountVolume.SetUp failed for volume "data" : secret "web" not found'


def said(reason: str, message: str = "", when: float = 20, *, container: str = "") -> Event:
    return Event(reason=reason, message=message, is_warning=True, seen_at=at(when), container=container)


def went(reason: str, when: float) -> Event:
    return Event(reason=reason, is_warning=False, seen_at=at(when))


class Row(NamedTuple):
    name: str
    events: list[Event]
    cause: RolloutCause | None
    words: str = ""
    rollout: Rollout = PROGRESSING


ROWS = [
    Row("nothing", [], None),
    Row("mount", [said("FailedMount", MOUNT)], RolloutCause.VOLUME, f"FailedMount: {MOUNT}"),
    Row("attach", [said("FailedAttachVolume", "Multi-Attach error")], RolloutCause.VOLUME),
    Row("map", [said("FailedMapVolume", "MapVolume failed")], RolloutCause.VOLUME),
    Row("sandbox", [said("FailedCreatePodSandBox", "no ip")], RolloutCause.SANDBOX),
    Row("network", [said("NetworkNotReady", "cni config uninitialized")], RolloutCause.SANDBOX),
    Row("quota", [said("FailedCreate", QUOTA)], RolloutCause.QUOTA),
    Row("policy", [said("FailedCreate", POLICY)], RolloutCause.REFUSED),
    Row("webhook", [said("FailedCreate", WEBHOOK)], RolloutCause.REFUSED),
    Row("replica-set", [said("ReplicaSetCreateError", WEBHOOK)], RolloutCause.REFUSED),
    Row("no-room", [said("FailedScheduling", "0/2 nodes are available: 2 Insufficient cpu.")],
        RolloutCause.UNSCHEDULABLE),
    Row("unbound", [said("FailedScheduling", "pod has unbound immediate PersistentVolumeClaims")],
        RolloutCause.VOLUME),
    Row("pull", [Event(reason="BackOff", message='Back-off pulling image "a:1"', is_warning=False, seen_at=at(20))],
        RolloutCause.IMAGE_PULL),
    Row("crash", [said("BackOff", "Back-off restarting failed container app")], RolloutCause.CRASH_LOOP),
    Row("harmless", [said("DNSConfigForming", "too many"), went("Scheduled", 11)], None),
    Row("normal", [went("FailedMount", 20)], None),
    Row("before-it-was-made", [said("FailedMount", MOUNT, 9)], None),
    Row("the-second-in-which-it-was-made", [said("FailedMount", MOUNT, 10)], RolloutCause.VOLUME),
    Row("newest", [said("FailedMount", "old", 20), said("FailedMount", "new", 30)], RolloutCause.VOLUME,
        "FailedMount: new"),
    Row("most-telling-of-one-story", [said("FailedMount", MOUNT, 20), said("FailedCreatePodSandBox", "x", 60)],
        RolloutCause.VOLUME),
    Row("another-story", [said("FailedMount", MOUNT, 20), said("FailedCreatePodSandBox", "x", 500)],
        RolloutCause.SANDBOX),
    Row("mounted-by-now", [said("FailedMount", MOUNT, 20), went("Pulling", 20)], None),
    Row("sandbox-made-by-now", [said("FailedCreatePodSandBox", "x", 20), went("Created", 31)], None),
    Row("sandbox-lost-again", [went("Started", 20), said("FailedCreatePodSandBox", "x", 30)], RolloutCause.SANDBOX),
    Row("scheduled-is-not-mounted", [said("FailedMount", MOUNT, 20), went("Scheduled", 21)], RolloutCause.VOLUME),
    Row("scheduled-by-now", [said("FailedScheduling", "persistentvolumeclaim", 20), went("Scheduled", 20)], None),
    Row("made-by-now", [said("FailedCreate", QUOTA, 20), went("SuccessfulCreate", 21)], None),
    Row("made-in-the-same-second", [went("SuccessfulCreate", 20), said("FailedCreate", QUOTA, 20)],
        RolloutCause.QUOTA),
    Row("probe-is-no-cause", [said("Unhealthy", "Readiness probe failed: 503")], None),
    Row("probe", [said("Unhealthy", "Startup probe failed: x", 15), said("Unhealthy", "Readiness probe failed: 503")],
        RolloutCause.PROBE, "Unhealthy: Readiness probe failed: 503", PROBE),
    Row("probe-of-the-container", [said("Unhealthy", "mine", 15, container="app"),
                                   said("Unhealthy", "other", 20, container="proxy")],
        RolloutCause.PROBE, "Unhealthy: mine", PROBE),
    Row("mount-is-no-probe", [said("FailedMount", MOUNT)], None, "", PROBE),
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_what_events_tell(row: Row) -> None:
    for events in (row.events, row.events[::-1]):
        found = read_hint(events, row.rollout, since=at(10), pod="web-0", generation=2)
        assert (found and found.cause) == row.cause
        if found is not None:
            assert row.words in found.message
            assert (found.pod, found.generation) == ("web-0", 2)


VOLUME = Hint(cause=RolloutCause.VOLUME, message="FailedMount: x", pod="web-0", generation=2)
WORDS = Hint(cause=RolloutCause.PROBE, message="Unhealthy: 503", pod="web-0", generation=2)


@pytest.mark.parametrize(
    ("state", "cause"),
    [
        (RolloutState.PROGRESSING, None),
        (RolloutState.BLOCKED, RolloutCause.DEADLINE),
        (RolloutState.BLOCKED, RolloutCause.UNKNOWN),
    ],
)
def test_hint_gives_a_cause_where_there_is_none(state: RolloutState, cause: RolloutCause | None) -> None:
    found = with_hint(Rollout(state=state, cause=cause, message="late"), VOLUME)
    assert found is not None
    assert (found.state, found.cause, found.message) == (RolloutState.BLOCKED, RolloutCause.VOLUME, "FailedMount: x")


def test_hint_gives_a_probe_its_words_and_no_more() -> None:
    found = with_hint(PROBE, WORDS)
    assert found is not None
    assert (found.state, found.cause, found.message) == (PROBE.state, PROBE.cause, "Unhealthy: 503")
    assert (found.pod, found.container) == ("web-0", "app")


@pytest.mark.parametrize("state", list(RolloutState))
@pytest.mark.parametrize("cause", [None, *RolloutCause])
@pytest.mark.parametrize("hint", [VOLUME, WORDS])
def test_hint_never_makes_a_roll_out_done_or_undone(
    state: RolloutState, cause: RolloutCause | None, hint: Hint
) -> None:
    found = with_hint(Rollout(state=state, cause=cause, pod="web-0", container="app"), hint)
    if found is not None:
        assert state in (RolloutState.PROGRESSING, RolloutState.BLOCKED)
        assert found.state in (RolloutState.PROGRESSING, RolloutState.BLOCKED)
        assert cause in (None, RolloutCause.DEADLINE, RolloutCause.UNKNOWN, RolloutCause.PROBE)


def test_hint_goes_with_what_it_was_about() -> None:
    uid, waiting = ObjectUid("u"), pod(name="web-0", is_ready=False, ready_at=None)
    for generation, pods in [
        (3, [waiting]),
        (2, [pod(name="web-0")]),
        (2, [pod(name="web-1", is_ready=False)]),
        (2, [pod(name="web-0", is_ready=False, is_deleting=True)]),
    ]:
        hints = Hints()
        assert hints.note(uid, VOLUME)
        assert not hints.note(uid, VOLUME)
        assert hints.apply(uid, 2, PROGRESSING, [waiting]).cause is RolloutCause.VOLUME
        assert hints.apply(uid, generation, PROGRESSING, pods) == PROGRESSING
        assert uid not in hints


def test_hint_goes_as_soon_as_the_pods_say_more() -> None:
    hints, uid, waiting = Hints(), ObjectUid("u"), pod(name="web-0", is_ready=False, ready_at=None)
    hints.note(uid, VOLUME)
    pulling = Rollout(state=RolloutState.BLOCKED, cause=RolloutCause.IMAGE_PULL, message="no")
    assert hints.apply(uid, 2, pulling, [waiting]) == pulling
    assert hints.apply(uid, 2, PROGRESSING, [waiting]) == PROGRESSING

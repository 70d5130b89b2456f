"""What the Events of a workload, or of its pod, tell where its state does not: pure, events in, a cause and words out.

    FailedMount, FailedAttachVolume, …           volume
    FailedCreatePodSandBox, NetworkNotReady      sandbox
    FailedCreate                                 quota, or refused: of StatefulSets, DaemonSets, Jobs
    FailedScheduling                             unschedulable, or volume
    BackOff                                      image_pull, or crash_loop
    Unhealthy                                    the words of `probe`: which one fails, and how

An Event says what was, not what is: what succeeded later takes it back. And it is a hint: it never says that
something has rolled out, and where pods or conditions tell a cause, it counts for nothing.

Sources: pkg/kubelet/events, the scheduler's and the controllers' recorders.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec

from fluxtrail.model.events import Event
from fluxtrail.model.observation import ObjectUid
from fluxtrail.model.rollout import Rollout, RolloutCause, RolloutState
from fluxtrail.model.running_records import WorkloadRecord
from fluxtrail.model.workloads import Pod
from fluxtrail.trail.rollouts.causes import ORDER
from fluxtrail.trail.rollouts.words import cause_of_refusal, is_about_volumes, join_words

replace = msgspec.structs.replace

PROBED = "Unhealthy"

TOGETHER: Final = timedelta(minutes=3)
"""Warnings this near the newest one are taken as one story, and the most telling goes: a kubelet that cannot mount says
by turns what is missing and that it has waited long enough, at most 2 min 2 s apart."""

_VOLUME_REASONS = frozenset({"FailedMount", "FailedAttachVolume", "FailedMapVolume"})
_SANDBOX_REASONS = frozenset({"FailedCreatePodSandBox", "NetworkNotReady"})
_REFUSED_REASONS = frozenset({"FailedCreate", "ReplicaSetCreateError"})
_TOLD_BY_EVENTS = _VOLUME_REASONS | _SANDBOX_REASONS | _REFUSED_REASONS | {PROBED}

_IN_PLACE = frozenset({"Pulling", "Pulled", "Created", "Started"})
"""Node, volumes and sandbox are there: the kubelet has come to the containers."""
_TAKEN_BACK_BY: Final = {
    RolloutCause.VOLUME: _IN_PLACE,
    RolloutCause.SANDBOX: _IN_PLACE,
    RolloutCause.UNSCHEDULABLE: _IN_PLACE | {"Scheduled"},
    RolloutCause.QUOTA: frozenset({"SuccessfulCreate"}),
    RolloutCause.REFUSED: frozenset({"SuccessfulCreate"}),
    RolloutCause.IMAGE_PULL: frozenset({"Pulled", "Created", "Started"}),
    RolloutCause.CRASH_LOOP: frozenset({"Started"}),
}

_RANK: Final = {cause: rank for rank, cause in enumerate(ORDER)}


class Hint(msgspec.Struct, frozen=True, kw_only=True):
    """What events say of a workload that does not get on."""

    cause: RolloutCause
    message: str
    pod: str = ""
    """Whose events they are; empty: the workload's own."""
    generation: int = 0
    """Of the workload, when they were asked for; 0 of one that was remembered: any."""

    @property
    def words(self) -> tuple[RolloutCause, str, str]:
        return self.cause, self.message, self.pod


def asks_for_hint(state: RolloutState, cause: RolloutCause | None, container: str) -> bool:
    """Whether a roll-out is not done, and nothing tells why, or a container's probe fails in words of our own."""
    if cause is RolloutCause.PROBE:
        return bool(container) and state in (RolloutState.PROGRESSING, RolloutState.BLOCKED)
    if state is RolloutState.PROGRESSING:
        return cause is None
    return state is RolloutState.BLOCKED and cause in (RolloutCause.DEADLINE, RolloutCause.UNKNOWN)


def read_hint(
    events: Sequence[Event], rollout: Rollout, *, since: datetime | None, pod: str = "", generation: int = 0
) -> Hint | None:
    """Return what the events of one object tell of a roll-out that asks for it; None where they tell nothing.

    Args:
        since: older ones are about something that was before.
        pod: the object's name, if it is a pod.
        generation: of the workload.
    """
    fresh = [event for event in events if since is None or event.seen_at >= since]
    if rollout.cause is RolloutCause.PROBE:
        message = _read_probe(fresh, rollout.container)
        return None if message is None else Hint(cause=rollout.cause, message=message, pod=pod, generation=generation)
    told = [(event, cause) for event in fresh if (cause := cause_of_event(event)) is not None]
    told = [(event, cause) for event, cause in told if not _is_taken_back(event, cause, fresh)]
    if not told:
        return None
    newest = max(event.seen_at for event, _ in told)
    story = [(event, cause) for event, cause in told if newest - event.seen_at <= TOGETHER]
    event, cause = min(story, key=lambda item: (_RANK[item[1]], newest - item[0].seen_at, item[0].message))
    return Hint(cause=cause, message=join_words(event.reason, event.message), pod=pod, generation=generation)


def with_hint(rollout: Rollout, hint: Hint) -> Rollout | None:
    """Return a roll-out with what its events tell; None where it does not ask for that (any more)."""
    if not asks_for_hint(rollout.state, rollout.cause, rollout.container):
        return None
    if (rollout.cause is RolloutCause.PROBE) != (hint.cause is RolloutCause.PROBE):
        return None
    if hint.cause is RolloutCause.PROBE:
        return replace(rollout, message=hint.message) if rollout.pod == hint.pod else None
    return Rollout(state=RolloutState.BLOCKED, cause=hint.cause, message=hint.message, pod=hint.pod)


def recall_hint(record: WorkloadRecord) -> Hint | None:
    """Return what a record may have had from events, so that it stays until these are asked for again."""
    if record.cause is None:
        return None
    if record.message.partition(":")[0] not in _TOLD_BY_EVENTS:
        return None
    return Hint(cause=record.cause, message=record.message, pod=record.pod)


class Hints:
    """Those that hold, by workload."""

    def __init__(self) -> None:
        self._hints: dict[ObjectUid, Hint] = {}

    def __contains__(self, uid: ObjectUid) -> bool:
        return uid in self._hints

    def __iter__(self) -> Iterator[ObjectUid]:
        return iter(list(self._hints))

    def note(self, uid: ObjectUid, hint: Hint | None) -> bool:
        """Keep a workload's hint, or drop it; return whether that is another one in what it says."""
        before = self._hints.pop(uid, None)
        if hint is not None:
            self._hints[uid] = hint
        return (before and before.words) != (hint and hint.words)

    def recall(self, records: Iterable[WorkloadRecord]) -> None:
        for record in records:
            hint = recall_hint(record)
            if hint is not None:
                self._hints.setdefault(record.uid, hint)

    def apply(self, uid: ObjectUid, generation: int, rollout: Rollout, pods: Sequence[Pod]) -> Rollout:
        """Return a roll-out with what its events tell. A hint that says nothing of how it stands by now is dropped."""
        hint = self._hints.get(uid)
        if hint is None:
            return rollout
        is_of_now = hint.generation in (0, generation) and (not hint.pod or _is_waiting(hint.pod, pods))
        found = with_hint(rollout, hint) if is_of_now else None
        if found is None:
            del self._hints[uid]
            return rollout
        return found


def cause_of_event(event: Event) -> RolloutCause | None:
    """Return why something does not run by one event; None of one that says nothing of that.

    That a probe fails is no cause: a container that starts slowly fails it too. Its state tells.
    """
    reason = event.reason
    if reason == "BackOff":  # of an image it is no warning to the kubelet
        return RolloutCause.IMAGE_PULL if "pulling image" in event.message else RolloutCause.CRASH_LOOP
    if not event.is_warning:
        return None
    if reason in _VOLUME_REASONS:
        return RolloutCause.VOLUME
    if reason in _SANDBOX_REASONS:
        return RolloutCause.SANDBOX
    if reason in _REFUSED_REASONS:
        return cause_of_refusal(event.message)
    if reason == "FailedScheduling":
        is_volume = is_about_volumes(reason, event.message)
        return RolloutCause.VOLUME if is_volume else RolloutCause.UNSCHEDULABLE
    return None


def _is_waiting(name: str, pods: Sequence[Pod]) -> bool:
    return any(pod.name == name and not (pod.is_ready or pod.is_deleting) for pod in pods)


def _is_taken_back(event: Event, cause: RolloutCause, events: Sequence[Event]) -> bool:
    """Whether something succeeded after it. Of one second, what a kubelet goes on with comes after what it failed at;
    of pods that a controller makes one after the other, the one that is refused is the last.
    """
    good = _TAKEN_BACK_BY[cause]
    if event.reason == "FailedScheduling":
        good = _TAKEN_BACK_BY[RolloutCause.UNSCHEDULABLE]
    is_made = event.reason in _REFUSED_REASONS
    return any(
        each.reason in good
        and not each.is_warning
        and (each.seen_at > event.seen_at if is_made else each.seen_at >= event.seen_at)
        for each in events
    )


def _read_probe(events: Sequence[Event], container: str) -> str | None:
    found = [event for event in events if event.reason == PROBED and event.container in ("", container)]
    if not found:
        return None
    newest = max(found, key=lambda event: (event.seen_at, event.message))
    return join_words(newest.reason, newest.message)

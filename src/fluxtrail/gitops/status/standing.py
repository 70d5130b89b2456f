"""How each of Flux's objects stands, and what it waits for. Pure: the same objects give the same answer.

An object is *settled* when nothing more happens by itself: it is ready, it failed, or it will not happen. Flux retries
what failed, for ever; that counts as failed all the same.
Source: kstatus' rules for conditions; fluxcd/pkg apis/meta; the reconcilers of kustomize- and helm-controller.
"""

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum

import msgspec

from fluxtrail.gitops.status.objects import Condition, Reconciled
from fluxtrail.model.observation import ObjectKey

READY_EXIT, FAILED_EXIT, WILL_NOT_EXIT = 0, 1, 4


class State(StrEnum):
    READY = "ready"
    WORKING = "working"
    """A controller is at it, or will be in a moment."""
    WAITING = "waiting"
    """For another object, which may still come."""
    FAILED = "failed"
    STALLED = "stalled"
    """Flux gave up, until somebody changes something."""
    SUSPENDED = "suspended"
    BLOCKED = "blocked"
    """By another object, which will not come by itself."""
    DELETING = "deleting"


SETTLED = frozenset({State.READY, State.FAILED, State.STALLED, State.SUSPENDED, State.BLOCKED})
WILL_NOT = frozenset({State.STALLED, State.SUSPENDED, State.BLOCKED})
_WAITING_REASONS = frozenset({"DependencyNotReady", "ArtifactFailed", "NoSourceArtifact", "SourceNotReady"})
"""Reasons of `Ready=False` that say that another object is not there yet."""


_NOT_THERE = re.compile(
    r"source artifact not found|^source '.*' not found|is not ready|has not been reconciled|no artifact", re.IGNORECASE
)
"""What `ArtifactFailed` says of a source; it is said of a path that is not in the artifact, too."""


_SAID = {
    State.FAILED: "failed",
    State.STALLED: "is stalled",
    State.SUSPENDED: "is suspended",
    State.BLOCKED: "will not be ready by itself",
    State.DELETING: "is being deleted",
    State.WAITING: "waits itself",
    State.WORKING: "is not ready yet",
}


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """One object's state.

    Args:
        reason: Flux's, of the Ready condition.
        message: why it is so, for people; what the controller says, where it says something.
        waits_for: the objects that have to come first.
    """

    key: ObjectKey
    state: State
    reason: str = ""
    message: str = ""
    revision: str = ""
    waits_for: tuple[ObjectKey, ...] = ()


def judge(objects: Iterable[Reconciled], *, listed: Mapping[str, bool] | None = None) -> dict[ObjectKey, Standing]:
    """Return how each object stands.

    Args:
        listed: by kind, whether all objects of it are given, those of other namespaces too. What is not there of such
            a kind does not exist; of another, nothing is said.
    """
    held = {each.key: each for each in objects}
    court = _Court(held, listed or {})
    return {key: court.standing(key) for key in held}


class _Court:
    def __init__(self, held: Mapping[ObjectKey, Reconciled], listed: Mapping[str, bool]) -> None:
        self._held = held
        self._listed = listed
        self._done: dict[ObjectKey, Standing] = {}

    def standing(self, key: ObjectKey) -> Standing:
        """Judge what an object waits for before itself, without recursion: chains may be long, and circles."""
        stack = [key]
        begun: set[ObjectKey] = set()
        while stack:
            current = stack[-1]
            below = [each for each in _needs(self._held[current]) if each in self._held and each not in self._done]
            below = [each for each in below if each not in begun]
            if current in self._done or not below:
                self._done.setdefault(current, self._judge(self._held[current]))
                stack.pop()
            begun.add(current)
            stack += below if current not in self._done else []
        return self._done[key]

    def _judge(self, one: Reconciled) -> Standing:
        ready = one.ready
        standing = Standing(
            key=one.key,
            state=State.READY,
            reason=ready.reason if ready else "",
            message=ready.message if ready else "",
            revision=one.revision,
        )
        state, message = _own_state(one)
        if state in (State.WORKING, State.FAILED):
            return self._with_needs(one, msgspec.structs.replace(standing, state=state, message=message))
        return msgspec.structs.replace(standing, state=state, message=message)

    def _with_needs(self, one: Reconciled, standing: Standing) -> Standing:
        """Say what it waits for where that, and not the object itself, is why it is not ready."""
        ready = one.ready
        is_waiting = ready is not None and ready.status == "False" and ready.reason in _WAITING_REASONS
        if not (is_waiting or ready is None or _is_unobserved(one, ready)):
            return standing
        missing, blocked, coming = [], [], []
        for need in _needs(one):
            state = self._state_of(need)
            if state is None:
                missing.append(need)
            elif state in WILL_NOT or state is State.FAILED:
                blocked.append((need, state))
            elif state is not State.READY:
                coming.append((need, state))
        if missing:
            message = ", ".join(f"{need} does not exist" for need in missing)
            return msgspec.structs.replace(standing, state=State.BLOCKED, message=message, waits_for=tuple(missing))
        if blocked or coming:
            named = blocked or coming
            message = ", ".join(f"{need} {_SAID[state]}" for need, state in named)
            state = State.BLOCKED if blocked else State.WAITING
            return msgspec.structs.replace(
                standing, state=state, message=message, waits_for=tuple(need for need, _ in named)
            )
        if is_waiting and (standing.reason != "ArtifactFailed" or _NOT_THERE.search(standing.message)):
            # All that it needs is there by now: the controller looks again in a moment.
            return msgspec.structs.replace(standing, state=State.WORKING)
        return standing

    def _state_of(self, need: ObjectKey) -> State | None:
        """Return how another object stands; None if there is none, READY where that cannot be known."""
        if need in self._done:
            return self._done[need].state
        if need in self._held:
            return State.BLOCKED  # it waits for the one that waits for it
        return None if self._listed.get(need.kind) else State.READY


def _needs(one: Reconciled) -> list[ObjectKey]:
    return [*([one.source] if one.source is not None else []), *([one.chart] if one.chart else []), *one.depends_on]


def _own_state(one: Reconciled) -> tuple[State, str]:
    """Return what an object says of itself, and why."""
    ready, stalled = one.ready, one.conditions.get("Stalled")
    if one.is_deleting:
        return State.DELETING, "it is being deleted; its finalizers are not done"
    if one.is_suspended:
        said = f"; last it was {_word(ready)}" if ready else ""
        return State.SUSPENDED, f"nothing reconciles it{said}"
    if one.is_static:
        return State.READY, ""
    if stalled is not None and stalled.status == "True":
        why = ready.message if ready is not None and ready.status == "False" else ""
        return State.STALLED, f"{stalled.reason}: {stalled.message}" + (
            f"; {why}" if why and why != stalled.message else ""
        )
    if ready is None:
        return State.WORKING, "no controller has looked at it yet"
    if _is_unobserved(one, ready):
        return State.WORKING, f"its controller has not looked at generation {one.generation} yet"
    if ready.status == "True":
        return State.READY, ready.message
    if ready.status == "False":
        return State.FAILED, ready.message
    working = one.conditions.get("Reconciling")
    return State.WORKING, (working.message if working else "") or ready.message


def _word(ready: Condition) -> str:
    return {"True": "ready", "False": "not ready"}.get(ready.status, "being reconciled")


def _is_unobserved(one: Reconciled, ready: Condition) -> bool:
    """kustomize-controller moves `observedGeneration` only with success; its condition tells of each attempt."""
    seen = ready.observed_generation if ready.observed_generation is not None else one.observed_generation
    return seen is not None and seen < one.generation


def exit_code(standings: Iterable[Standing]) -> int | None:
    """Return the exit code of what is settled, or None while something may still come by itself.

    0: all are ready. 1: something failed. 4: nothing failed, and something will not happen.
    """
    states = {standing.state for standing in standings}
    if states - SETTLED:
        return None
    if State.FAILED in states:
        return FAILED_EXIT
    return WILL_NOT_EXIT if states & WILL_NOT else READY_EXIT

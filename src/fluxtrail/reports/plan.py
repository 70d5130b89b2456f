"""What of the history must be told to whom: transitions × enabled outputs → reports. Pure.

Planned is what somebody outside can use: that a commit was seen, that it was applied, that it runs, each verdict that
an attempt ended with, and once the whole commit. Syncs without commits, targets' phases and `pending` are not.

A report names ids; what it says is rendered when it is sent. Its key is the thing that it tells, so that planning the
same again (another restart, the next retry of the same attempt) says nothing twice:

    <commit>.<target>.<sync>.<verdict>   an attempt and how it ended
    <commit>.<target>.<sync>.applied     the stages up to applied
    <commit>.<target>.<sync>.running     the stage running
    <commit>                             the commit as a whole
    t<transition>                        a verdict that no attempt gave: lost, abandoned; a commit that was seen
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

import msgspec

from fluxtrail.model.errors import WireError
from fluxtrail.model.records import CommitId, SyncId, TargetId, Transition, TransitionKind
from fluxtrail.model.report import Mode, NewReport
from fluxtrail.model.verdict import Verdict

TOLD = frozenset({Verdict.DEPLOYED, Verdict.FAILED, Verdict.ROLLED_BACK, Verdict.LOST, Verdict.ABANDONED})
"""Verdicts that are told. `unaffected` is nothing to tell, `pending` is told when it is over."""


class Subject(StrEnum):
    """What a report is about."""

    SEEN = "seen"
    APPLIED = "applied"
    RUNNING = "running"
    VERDICT = "verdict"
    COMMIT = "commit"


class Content(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A report's body."""

    about: Subject
    commit: CommitId
    at: datetime
    target: TargetId | None = None
    sync: SyncId | None = None
    verdict: Verdict | None = None
    reason: str = ""
    has_stages: bool = False
    """Applied in the same moment: the stages up to there are told with the verdict."""


class Output(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody to tell."""

    sink: str
    is_trace: bool
    """Told in spans: stages and the whole commit too. Else in one event for each thing that happens."""


Planner = Callable[[Sequence[Transition]], list[NewReport]]

_decode = msgspec.json.Decoder(Content).decode


def read_content(body: bytes) -> Content:
    """Return what a report is about.

    Raises:
        WireError: not a body that this version or an older one wrote.
    """
    try:
        return _decode(body)
    except msgspec.MsgspecError as exc:
        raise WireError(f"not the body of a telemetry report: {exc}; drop it", subject="report") from exc


def planner(outputs: Sequence[Output]) -> Planner:
    """Return the plan for these outputs."""
    enabled = tuple(outputs)

    def plan(transitions: Sequence[Transition]) -> list[NewReport]:
        if not enabled:
            return []
        told = _told(transitions)
        return [
            NewReport(sink=output.sink, key=item.key, mode=Mode.EVERY, body=item.body)
            for item in told
            for output in enabled
            if item.is_for(output)
        ]

    return plan


def together(planners: Sequence[Planner]) -> Planner:
    """Return the plan of all of them."""

    def plan(transitions: Sequence[Transition]) -> list[NewReport]:
        return [report for planner_ in planners for report in planner_(transitions)]

    return plan


class _Item(NamedTuple):
    """One thing to tell."""

    key: str
    body: bytes
    about: Subject
    has_attempt: bool

    def is_for(self, output: Output) -> bool:
        """What took no time is an event, not a span: a commit's first sign, a verdict that no attempt gave."""
        if not output.is_trace:
            return self.about in (Subject.SEEN, Subject.VERDICT)
        return self.about is Subject.COMMIT or (self.has_attempt and self.about is not Subject.SEEN)


def _told(transitions: Sequence[Transition]) -> list[_Item]:
    # Not with a failure: an attempt may have failed before it applied anything, and that has been told.
    ended = {_place(item) for item in transitions if _verdict(item) is Verdict.DEPLOYED}
    applied = {_place(item) for item in transitions if item.kind is TransitionKind.APPLIED}
    items: dict[str, _Item] = {}
    for transition in transitions:
        for item in _items(transition, ended=ended, applied=applied):
            items.setdefault(item.key, item)
    return list(items.values())


Place = tuple[CommitId | None, TargetId | None, SyncId | None]


def _place(transition: Transition) -> Place:
    return transition.commit_id, transition.target_id, transition.sync_id


def _verdict(transition: Transition) -> Verdict | None:
    return Verdict(transition.after) if transition.kind is TransitionKind.VERDICT else None


def _items(transition: Transition, *, ended: set[Place], applied: set[Place]) -> list[_Item]:
    commit, verdict, place = transition.commit_id, _verdict(transition), _place(transition)
    if commit is None:
        return []
    if transition.kind is TransitionKind.COMMIT_SEEN:
        return [_item(transition, Subject.SEEN, f"t{transition.id}")]
    if transition.kind is TransitionKind.APPLIED and place not in ended:
        return [_item(transition, Subject.APPLIED, _key(transition, "applied"))]
    if transition.kind is TransitionKind.RUNNING and transition.sync_id is not None:
        return [_item(transition, Subject.RUNNING, _key(transition, "running"))]
    if verdict is None or verdict not in TOLD:
        return []
    has_stages = place in applied and place in ended
    told = _item(transition, Subject.VERDICT, _key(transition, verdict.value), has_stages=has_stages)
    if verdict is Verdict.ROLLED_BACK:
        return [told]  # what was whole once is not told again
    return [told, _item(transition, Subject.COMMIT, str(commit))]


def _key(transition: Transition, what: str) -> str:
    if transition.sync_id is None:
        return f"t{transition.id}"
    return f"{transition.commit_id}.{transition.target_id}.{transition.sync_id}.{what}"


def _item(transition: Transition, about: Subject, key: str, *, has_stages: bool = False) -> _Item:
    assert transition.commit_id is not None
    is_whole = about is Subject.COMMIT
    content = Content(
        about=about,
        commit=transition.commit_id,
        at=transition.at,
        target=None if is_whole else transition.target_id,
        sync=None if is_whole else transition.sync_id,
        verdict=_verdict(transition) if about is Subject.VERDICT else None,
        reason=transition.detail.get("reason", "") if about is Subject.VERDICT else "",
        has_stages=has_stages,
    )
    return _Item(key=key, body=msgspec.json.encode(content), about=about, has_attempt=transition.sync_id is not None)

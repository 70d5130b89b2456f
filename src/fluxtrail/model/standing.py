"""How a commit stands in an environment: what all its targets there come to, as one answer. Pure.

    failed on any target            it needs somebody                           FAILURE
    stuck on any target             where it must run: what it changed does not get on  FAILURE
    pending on any target           the slowest target speaks                   PENDING or RUNNING
    rolled back on any target       it was there, and is not any more           ERROR
    deployed on all (or running)    done                                        SUCCESS
    lost, abandoned                 it will not come, and came nowhere          ERROR
    affects nothing here            there is nothing to do                      NEUTRAL
    on the way to a retired cluster nobody can do anything about it             NEUTRAL

What needs somebody is said before what is under way: a failure is not hidden by a slower cluster.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta

import msgspec

from fluxtrail.model.rollout import RolloutCause, RolloutState, RunningState
from fluxtrail.model.stage import Stage
from fluxtrail.model.status import StatusState
from fluxtrail.model.verdict import PendingReason, Verdict
from fluxtrail.model.views import BlockerView, CommitView, DeliveryView, TrailView


class CommitTrail(msgspec.Struct, frozen=True, kw_only=True):
    """A commit's trail, and a branch that it stands on."""

    view: TrailView
    branch: str = ""
    """The one that was followed first, where there are several; empty where none is."""
    unsure: frozenset[int] = frozenset()
    """Targets whose verdict may be another one as soon as it is known which commits their syncs carried: the commit has
    left its branch, and Flux may have applied it before, or something without it since."""


class Outline(msgspec.Struct, frozen=True, kw_only=True):
    """What of a trail tells cheaply whether anything may have changed for who follows it."""

    repository: str
    is_carrier: bool
    awaits_export: bool = False
    """It goes to another repository, and no commit there has it: where to, only the trail tells."""
    verdicts: tuple[tuple[str, str, str], ...] = ()
    """(cluster, target, verdict) of every delivery that is kept; the last is empty where it takes more to say."""


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """One commit in one environment."""

    commit: CommitView
    branch: str = ""
    environment: str
    state: StatusState
    deliveries: tuple[DeliveryView, ...] = ()
    """Every target of the environment that the commit concerns, those that decide first."""
    done: int = 0
    """How many of `deliveries` are there."""
    speaker: DeliveryView | None = None
    """The one that decides: the failed one, the slowest one, the last to arrive."""
    stage: str = ""
    """The last stage that the speaker reached."""
    since: datetime | None = None
    """When the speaker's verdict became what it is."""
    lead_seconds: float | None = None
    """Of SUCCESS: from merged until the last target was done."""
    stuck: BlockerView | None = None
    """Of FAILURE: the speaker is deployed, and this does not get on. None where the delivery itself failed."""
    is_unsure: bool = False
    """What is final here may be something else in a moment: syncs that are known are not attributed yet."""
    is_retired: bool = False
    """Of NEUTRAL: it did not get there before the speaker's cluster was taken out of service."""

    @property
    def verdict(self) -> str:
        """What counts as the speaker's verdict: to be stuck where it must run is to have failed."""
        if self.stuck is not None:
            return Verdict.FAILED.value
        return self.speaker.verdict if self.speaker else Verdict.UNAFFECTED.value

    @property
    def clusters(self) -> list[str]:
        return list(dict.fromkeys(item.cluster for item in self.deliveries))

    @property
    def targets(self) -> list[str]:
        return list(dict.fromkeys(item.target for item in self.deliveries))


class Judging(msgspec.Struct, frozen=True, kw_only=True):
    """What counts as done, and what as failed."""

    until_running: bool = False
    """Deployed is not enough: what it changed must have rolled out."""
    fail_after: timedelta = timedelta(0)
    """A failure younger than this may pass by itself; zero: as long as each kind of failure deserves."""
    is_retired: Callable[[DeliveryView], bool] = lambda _: False
    """Whether a delivery's cluster is one that nobody follows any more: it is in no settings, or was made anew."""


_WORST_FIRST = (
    StatusState.FAILURE,
    StatusState.PENDING,
    StatusState.RUNNING,
    StatusState.ERROR,
    StatusState.SUCCESS,
    StatusState.NEUTRAL,
)
STUCK_AFTER = timedelta(minutes=5)
"""How long a workload may be blocked before it counts as failed: kubelet's longest back-off of what crashes, or cannot
be pulled. Whoever has not got over it until then has tried it a few times."""
_BY_WILL = frozenset({RolloutCause.PAUSED.value, RolloutCause.MANUAL.value})
"""Causes that somebody chose: it gets on when they want it to."""
_WAITED_FOR = frozenset({RolloutCause.DEADLINE.value, RolloutCause.JOB_FAILED.value})
"""Causes that came after a wait: a roll-out's own deadline, a Job's retries."""
_UNDER_WAY = frozenset({PendingReason.SYNCING.value, PendingReason.WAITING_FOR_DEPENDENCY.value})
_NOT_YET_RUNNING = frozenset({RunningState.UNREAD.value, RunningState.WAITING.value})
_STATES = {
    Verdict.FAILED.value: StatusState.FAILURE,
    Verdict.ROLLED_BACK.value: StatusState.ERROR,
    Verdict.DEPLOYED.value: StatusState.SUCCESS,
    Verdict.UNAFFECTED.value: StatusState.NEUTRAL,
}
_GONE = frozenset({Verdict.LOST.value, Verdict.ABANDONED.value})


def standings(
    trail: CommitTrail,
    environment_of: Callable[[str, str], str],
    *,
    judging: Judging,
    now: datetime,
    admits_target: Callable[[str], bool] = lambda _: True,
) -> list[Standing]:
    """Return how a commit stands in each environment that it reaches, by name.

    What was there before we looked is no news: deliveries before a target's baseline are left out.

    Args:
        environment_of: (cluster, target) to the environment's name.
        admits_target: which targets count, by `<Kind>/<namespace>/<name>`.
    """
    groups: dict[str, list[DeliveryView]] = {}
    for item in trail.view.deliveries:
        if not item.is_before_baseline and admits_target(item.target):
            groups.setdefault(environment_of(item.cluster, item.target), []).append(item)
    return [_stand(trail, name, groups[name], judging, now) for name in sorted(groups)]


def _stand(
    trail: CommitTrail, environment: str, items: Sequence[DeliveryView], judging: Judging, now: datetime
) -> Standing:
    """Return how it stands on the targets that count: those of a retired cluster only with what came before that."""
    concerned = _concerned(items)
    counting = [item for item in concerned if item.verdict == Verdict.DEPLOYED.value or not judging.is_retired(item)]
    if counting:
        return _standing(trail, environment, counting, judging, now)
    speaker = _speaker(concerned, StatusState.NEUTRAL)
    is_late = speaker.verdict != Verdict.UNAFFECTED.value
    found = nothing_here(trail, environment)
    return msgspec.structs.replace(
        found, deliveries=tuple(concerned), speaker=speaker, since=speaker.since, is_retired=is_late
    )


def _concerned(items: Sequence[DeliveryView]) -> Sequence[DeliveryView]:
    """Return the targets that a commit affects; where there are none, those that it does not."""
    return [item for item in items if item.verdict != Verdict.UNAFFECTED.value] or items


def nothing_here(trail: CommitTrail, environment: str) -> Standing:
    """Return how a commit stands where it has nothing to do, such as when its export left an environment out."""
    return Standing(commit=trail.view.commit, branch=trail.branch, environment=environment, state=StatusState.NEUTRAL)


def state_of(item: DeliveryView, judging: Judging, now: datetime) -> StatusState:
    """Return what one delivery comes to."""
    if item.verdict == Verdict.PENDING.value:
        return StatusState.RUNNING if item.reason in _UNDER_WAY or "applied" in item.stages else StatusState.PENDING
    if item.verdict == Verdict.FAILED.value and _is_young(item, judging.fail_after, now):
        return StatusState.RUNNING
    if item.verdict == Verdict.DEPLOYED.value and judging.until_running and item.running in _NOT_YET_RUNNING:
        stuck_at = _stuck_at(item, judging)
        return StatusState.FAILURE if stuck_at is not None and stuck_at <= now else StatusState.RUNNING
    return _STATES.get(item.verdict, StatusState.ERROR)


def turns_at(item: DeliveryView, judging: Judging, now: datetime) -> datetime | None:
    """Return when time alone makes a failure of what is told to be on its way; None where it does not."""
    at: datetime | None = None
    if item.verdict == Verdict.FAILED.value and _is_young(item, judging.fail_after, now) and item.since is not None:
        at = item.since + judging.fail_after
    elif item.verdict == Verdict.DEPLOYED.value and judging.until_running and item.running in _NOT_YET_RUNNING:
        at = _stuck_at(item, judging)
    return at if at is not None and at > now else None


def find_stuck(item: DeliveryView) -> BlockerView | None:
    """Return the workload that has kept a delivery from running for longest, of those that do not get on.

    One that progresses is none, though there be a first sign against it; nor is one that somebody has paused.
    """
    stuck = _stuck(item)
    return min(stuck, key=lambda one: (one.state != RolloutState.FAILED.value, one.since, one.workload), default=None)


def _stuck(item: DeliveryView) -> list[BlockerView]:
    states = (RolloutState.FAILED.value, RolloutState.BLOCKED.value)
    return [one for one in item.blockers if one.state in states and one.cause not in _BY_WILL and one.since]


def _stuck_at(item: DeliveryView, judging: Judging) -> datetime | None:
    """Return when what keeps a delivery from running has lasted long enough to count as its failure."""
    return min((one.since + _patience(one, judging) for one in _stuck(item) if one.since), default=None)


def _patience(blocker: BlockerView, judging: Judging) -> timedelta:
    if judging.fail_after:
        return judging.fail_after
    has_waited = blocker.state == RolloutState.FAILED.value or blocker.cause in _WAITED_FOR
    return timedelta(0) if has_waited else STUCK_AFTER


def _is_young(item: DeliveryView, wait: timedelta, now: datetime) -> bool:
    """Clocks differ: where nothing is waited for, a failure of a moment to come is one all the same."""
    return bool(wait) and item.since is not None and now - item.since < wait


def _standing(
    trail: CommitTrail, environment: str, items: Sequence[DeliveryView], judging: Judging, now: datetime
) -> Standing:
    states = {id(item): state_of(item, judging, now) for item in items}
    # Where it runs, that a target beside it was taken away is no matter.
    arrived = [item for item in items if states[id(item)] is StatusState.SUCCESS]
    deciding = [item for item in items if not (arrived and item.verdict in _GONE)]
    worst = min((states[id(item)] for item in deciding), key=_WORST_FIRST.index)
    speaker = _speaker([item for item in deciding if states[id(item)] is worst], worst)
    is_stuck = worst is StatusState.FAILURE and speaker.verdict == Verdict.DEPLOYED.value
    order = {state: position for position, state in enumerate(_WORST_FIRST)}
    return Standing(
        commit=trail.view.commit,
        branch=trail.branch,
        environment=environment,
        state=worst,
        deliveries=tuple(sorted(items, key=lambda item: (order[states[id(item)]], item.cluster, item.target))),
        done=len(arrived),
        speaker=speaker,
        stuck=find_stuck(speaker) if is_stuck else None,
        is_unsure=worst.is_final and any(item.target_id in trail.unsure for item in deciding),
        stage=_last_stage(speaker),
        since=speaker.since,
        lead_seconds=_lead_seconds(arrived, judging) if worst is StatusState.SUCCESS else None,
    )


def _speaker(items: Sequence[DeliveryView], state: StatusState) -> DeliveryView:
    """Return who decides: of what is under way the one that is furthest behind, else whose verdict is the newest."""
    if state in (StatusState.PENDING, StatusState.RUNNING):
        return min(items, key=lambda item: (len(item.stages), item.cluster, item.target))
    return max(items, key=lambda item: (_arrived_at(item), item.cluster, item.target))


def _arrived_at(item: DeliveryView) -> float:
    at = max((moment.at for moment in item.stages.values()), default=None)
    newest = max((one for one in (at, item.since) if one is not None), default=None)
    return newest.timestamp() if newest is not None else 0.0


def _last_stage(item: DeliveryView) -> str:
    reached = [stage.value for stage in Stage if stage.value in item.stages]
    return reached[-1] if reached else ""


def _lead_seconds(items: Iterable[DeliveryView], judging: Judging) -> float | None:
    """Return merged → the last target's end; None while any of the two is not known."""
    last = (Stage.RUNNING, Stage.HEALTHY, Stage.APPLIED) if judging.until_running else (Stage.HEALTHY, Stage.APPLIED)
    spans: list[float] = []
    for item in items:
        end = next((item.stages[stage.value] for stage in last if stage.value in item.stages), None)
        merged = item.stages.get(Stage.MERGED.value)
        if end is None or merged is None:
            return None
        spans.append(max((end.at - merged.at).total_seconds(), 0.0))
    return max(spans, default=None)

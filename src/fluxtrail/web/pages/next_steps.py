"""What a delivery waits for, and the commands that show more of it or set it going. Pure.

A command is text for people to copy: nothing here runs one. What comes from a cluster is quoted for a shell.
"""

from __future__ import annotations

import shlex

import msgspec

from fluxtrail.model.rollout import RolloutCause
from fluxtrail.model.verdict import PendingReason, Verdict
from fluxtrail.model.views import BlockerView, DeliveryView
from fluxtrail.web.pages.formats import short_sha, target_parts, words

_WAITS: dict[str, str] = {
    PendingReason.AWAITING_EXPORT: "No export to a manifests repository names it yet.",
    PendingReason.AWAITING_FETCH: "Flux has not fetched it yet.",
    PendingReason.AWAITING_TAG: "The source follows tags, and none contains it yet.",
    PendingReason.AWAITING_SYNC: "Fetched; the target has not begun with it.",
    PendingReason.SYNCING: "Flux is at work on it.",
    PendingReason.WAITING_FOR_DEPENDENCY: "Something that the target depends on is not ready.",
    PendingReason.SUSPENDED: "The target is suspended.",
    PendingReason.SOURCE_SUSPENDED: "Its source is suspended.",
    PendingReason.SOURCE_FAILING: "Its source cannot be fetched.",
    PendingReason.SCOPING: "It is being found out whether the commit concerns this target.",
}
_LOGGED = {RolloutCause.CRASH_LOOP, RolloutCause.OUT_OF_MEMORY, RolloutCause.JOB_FAILED}
"""The container's own words say why."""
_MOST_BLOCKERS = 2
"""Of which commands are given; all of them are listed."""


class Step(msgspec.Struct, frozen=True, kw_only=True):
    what: str
    command: str


def waits_for(view: DeliveryView) -> str:
    """Return in a sentence what a delivery waits for, or why it ended otherwise; empty where nothing is to be said."""
    if view.verdict == Verdict.PENDING:
        return _WAITS.get(view.reason, words(view.reason))
    if view.verdict == Verdict.FAILED:
        return f"Flux gave up with {view.reason}." if view.reason else "Flux gave up."
    if view.verdict == Verdict.ROLLED_BACK:
        return "It was here; what is applied now does not contain it."
    if view.verdict == Verdict.LOST:
        return "It is no longer reachable from the branch, and never came here."
    if view.verdict == Verdict.ABANDONED:
        return "The target was deleted, or follows something else now."
    if view.verdict == Verdict.DEPLOYED and view.blockers:
        stuck = [blocker for blocker in view.blockers if blocker.state in ("blocked", "failed")]
        count, noun = len(stuck or view.blockers), "workload" if len(stuck or view.blockers) == 1 else "workloads"
        return f"Applied; {count} {noun} {'cannot get on' if stuck else 'still rolling out'}."
    return ""


def next_steps(view: DeliveryView) -> list[Step]:
    """Return what to run next, on the delivery's cluster; nothing where all has come to its end."""
    kind, namespace, name = target_parts(view.target)
    place = f"{shlex.quote(name)} -n {shlex.quote(namespace)}"
    flux = shlex.quote(kind.lower())
    found: list[Step] = []
    if view.verdict == Verdict.PENDING:
        found = _for_pending(view.reason, flux, place, shlex.quote(namespace))
    elif view.verdict == Verdict.FAILED:
        events = f"flux events --for {shlex.quote(f'{kind}/{name}')} -n {shlex.quote(namespace)}"
        found = [
            Step(what="What Flux says", command=events),
            Step(what="Try again", command=f"flux reconcile {flux} {place} --with-source"),
        ]
    for blocker in view.blockers[:_MOST_BLOCKERS]:
        found += _for_blocker(blocker)
    if not found and view.verdict not in (Verdict.PENDING, Verdict.ROLLED_BACK):
        return []
    follow = f"fluxtrail trace {short_sha(view.sha)} --cluster {shlex.quote(view.cluster)} --target {shlex.quote(name)}"
    return [*found, Step(what="Follow it in a terminal", command=f"{follow} --watch")]


def _for_pending(reason: str, flux: str, place: str, namespace: str) -> list[Step]:
    if reason == PendingReason.SUSPENDED:
        return [Step(what="Let it go on", command=f"flux resume {flux} {place}")]
    if reason in (PendingReason.SOURCE_SUSPENDED, PendingReason.SOURCE_FAILING):
        return [Step(what="How its sources are", command=f"flux get sources all -n {namespace}")]
    if reason == PendingReason.AWAITING_FETCH:
        return [Step(what="Fetch and apply now", command=f"flux reconcile {flux} {place} --with-source")]
    if reason == PendingReason.WAITING_FOR_DEPENDENCY:
        command = f"kubectl get {flux} {place} -o jsonpath='{{.spec.dependsOn}}'"
        return [Step(what="What it depends on", command=command)]
    if reason in (PendingReason.AWAITING_SYNC, PendingReason.SYNCING):
        step = Step(what="How far Flux is", command=f"flux get {flux}s {place}")
        return [step, Step(what="Begin now", command=f"flux reconcile {flux} {place}")]
    if reason in (PendingReason.AWAITING_EXPORT, PendingReason.AWAITING_TAG, PendingReason.SCOPING):
        return []
    return [Step(what="How it is", command=f"flux get {flux}s {place}")]


def _for_blocker(blocker: BlockerView) -> list[Step]:
    kind, namespace, name = target_parts(blocker.workload)
    where = f"-n {shlex.quote(namespace)}"
    workload = shlex.quote(f"{kind.lower()}/{name}")
    if blocker.cause == RolloutCause.PAUSED:
        return [Step(what=f"Let {name} go on", command=f"kubectl rollout resume {workload} {where}")]
    if blocker.pod and blocker.cause in _LOGGED:
        container = f" -c {shlex.quote(blocker.container)}" if blocker.container else ""
        logs = f"kubectl logs {shlex.quote(blocker.pod)} {where}{container} --previous"
        return [Step(what=f"What {name} said last", command=logs)]
    if blocker.pod:
        return [Step(what=f"Why {name} waits", command=f"kubectl describe pod {shlex.quote(blocker.pod)} {where}")]
    if blocker.state == "progressing" and kind in ("Deployment", "StatefulSet", "DaemonSet"):
        return [Step(what=f"How far {name} is", command=f"kubectl rollout status {workload} {where}")]
    return [Step(what=f"Why {name} waits", command=f"kubectl describe {workload} {where}")]

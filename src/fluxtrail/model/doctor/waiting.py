"""What an object waits for, followed to its root: a dependency that is missing, suspended, failing, or in a circle."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from fluxtrail.model.doctor import commands
from fluxtrail.model.doctor.findings import Code, Evidence, Finding, Severity
from fluxtrail.model.doctor.making import clip, finding, label, of_condition, span, value
from fluxtrail.model.doctor.patients import KUSTOMIZATION, Dependency, Patient
from fluxtrail.model.doctor.ward import Ward
from fluxtrail.model.observation import ObjectKey

NOT_READY = "DependencyNotReady"
MAX_WAY = 50


@dataclass(frozen=True, slots=True)
class Wait:
    """Why an object waits: `way` leads from its dependency to the one that is to blame."""

    code: Code
    way: tuple[ObjectKey, ...]
    what: str
    evidence: tuple[Evidence, ...]

    @property
    def root(self) -> ObjectKey:
        return self.way[-1]


def is_waiting(patient: Patient) -> bool:
    ready = patient.ready
    return ready is not None and ready.status == "False" and ready.reason == NOT_READY


def find_wait(patient: Patient, ward: Ward) -> Wait | None:
    """Return what stands in the way of an object's dependencies for good; None if they are met, or may be soon."""
    way: list[ObjectKey] = []
    current = patient
    while len(way) < MAX_WAY:
        step = next((each for each in current.depends_on if _blocks(each, current, ward)), None)
        if step is None:
            return None
        if step.key in way or step.key == patient.key:
            return None  # a circle has a finding of its own
        way.append(step.key)
        other = ward.find(step.key)
        wait = _judge(other, tuple(way), ward, step, current)
        if wait is not None:
            return wait
        if other is None or not is_waiting(other):
            return None
        current = other
    return None


def waiting_finding(patient: Patient, ward: Ward) -> Finding | None:
    """Return what is wrong with what an object waits for, or that it waits though nothing is."""
    ready = patient.ready
    if not is_waiting(patient) or ready is None:
        return None
    since, wait = ready.changed_at, find_wait(patient, ward)
    if wait is None:
        return _unmet(patient, ward)
    told = of_condition(ready)
    severity = Severity.WARNING if wait.code is Code.DEPENDENCY_FAILING else Severity.CRITICAL
    return finding(
        patient,
        wait.code,
        severity,
        f"It waits for {_way(wait.way)}, {wait.what}.",
        [*told, *wait.evidence],
        since=since,
        commands=_remedy(wait, patient, ward),
    )


def _unmet(patient: Patient, ward: Ward) -> Finding | None:
    """An object that waits longer than its own interval for what looks good from here."""
    ready = patient.ready
    if ready is None or ready.changed_at is None:
        return None
    blocking = [each for each in patient.depends_on if _blocks(each, patient, ward) and each.key in ward.patients]
    if any(not ward.patients[each.key].is_ready for each in blocking):
        return None  # it is under way, or has a finding of its own
    waited = ward.age(ready.changed_at)
    if waited.total_seconds() < ward.policy.patience.total_seconds() + (patient.interval_seconds or 0):
        return None
    expressions = [
        value(f"spec.dependsOn[{d.key.name}].readyExpr", d.ready_expr) for d in patient.depends_on if d.ready_expr
    ]
    unread = [label(each.key) for each in patient.depends_on if each.key not in ward.patients]
    why = "a readyExpr is not met" if expressions else "Flux says that one of them is not"
    why = f"{', '.join(unread[:3])} was not read" if unread else why
    return finding(
        patient,
        Code.DEPENDENCY_UNMET,
        Severity.WARNING,
        f"It has waited {span(waited)} for dependencies that are ready, as far as is known here: {why}.",
        [*of_condition(ready), *expressions],
        since=ready.changed_at,
        commands=[commands.kubectl("get", patient.key, ward.context, "-o yaml")],
    )


def _blocks(step: Dependency, waiter: Patient, ward: Ward) -> bool:
    """Whether Flux would not take a dependency for met, as far as that can be told."""
    other = ward.find(step.key)
    if other is None:
        return ward.is_missing(step.key)
    if step.ready_expr:
        return not other.is_ready
    return not other.is_ready or other.generation != other.observed_generation or _is_behind(other, waiter, ward)


def _is_behind(other: Patient, waiter: Patient, ward: Ward) -> bool:
    """Source: kustomize-controller `checkDependencies`: of one source both have to be at the same revision."""
    if waiter.key.kind != KUSTOMIZATION or other.source != waiter.source:
        return False
    source = ward.find(waiter.source)
    return source is not None and bool(source.artifact) and source.artifact != other.applied


def _judge(
    other: Patient | None, way: tuple[ObjectKey, ...], ward: Ward, step: Dependency, waiter: Patient
) -> Wait | None:
    """Return what is finally wrong with a dependency; None if it only waits itself, or is under way."""
    if other is None:
        gone = value(f"spec.dependsOn[{step.key.name}] of {label(waiter.key)}", "there is no such object")
        return Wait(Code.DEPENDENCY_MISSING, way, "which does not exist", (gone,))
    of = f"{label(other.key)}: "
    if other.key in ward.cycles:
        return Wait(Code.DEPENDENCY_CYCLE, way, f"which is in a circle: {circle(ward.cycles[other.key])}", ())
    if other.is_suspended:
        by = f" by {other.suspension.manager}" if other.suspension and other.suspension.manager else ""
        return Wait(Code.DEPENDENCY_SUSPENDED, way, f"which is suspended{by}", (value(f"{of}spec.suspend", "true"),))
    ready = other.ready
    if is_waiting(other) or ready is None or ready.status == "True":
        return None
    if ready.status == "False" or other.is_true("Stalled"):
        shown = other.find_condition("Stalled") if other.is_true("Stalled") else ready
        why = clip(shown.reason if shown is not None else ready.reason, 80)
        return Wait(Code.DEPENDENCY_FAILING, way, f"which fails ({why})", tuple(of_condition(shown, of=of)))
    return None


def _remedy(wait: Wait, patient: Patient, ward: Ward) -> list[str]:
    match wait.code:
        case Code.DEPENDENCY_MISSING:
            return [commands.kubectl("get", patient.key, ward.context, "-o jsonpath='{.spec.dependsOn}'")]
        case Code.DEPENDENCY_SUSPENDED:
            return list(commands.both("resume", wait.root, ward.context))
        case Code.DEPENDENCY_CYCLE:
            return [commands.kubectl("edit", wait.root, ward.context)]
        case _:
            return [f"fluxtrail doctor {wait.root.kind.lower()}/{wait.root.name} -n {wait.root.namespace}"]


def _way(way: tuple[ObjectKey, ...]) -> str:
    """`ks infra → ks crds`: at most the two ends and how many are between."""
    if len(way) <= 3:
        return ", which waits for ".join(label(key) for key in way)
    return f"{label(way[0])}, which waits by way of {len(way) - 2} more for {label(way[-1])}"


def circle(way: tuple[ObjectKey, ...]) -> str:
    """Return the whole circle."""
    kind = way[0].kind
    same = all(key.namespace == way[0].namespace for key in way)
    names = [key.name if same else f"{key.namespace}/{key.name}" for key in way]
    return f"{kind} {' → '.join(names)}" + (f" in {way[0].namespace}" if same else "")


def cycle_finding(patient: Patient, ward: Ward) -> Finding | None:
    """Return the circle that an object is on: critical once one of them waits."""
    way = ward.cycles.get(patient.key)
    if way is None:
        return None
    held = [key for key in way[:-1] if (other := ward.find(key)) is not None and is_waiting(other)]
    ready = patient.ready
    return finding(
        patient,
        Code.DEPENDENCY_CYCLE,
        Severity.CRITICAL if held else Severity.WARNING,
        f"Its dependencies lead back to itself: {circle(way)}. None of them can be the first.",
        [
            *(value(f"spec.dependsOn of {label(key)}", label(after)) for key, after in itertools.pairwise(way)),
            *of_condition(ready if is_waiting(patient) else None),
        ],
        since=ready.changed_at if ready is not None and is_waiting(patient) else None,
        commands=[commands.kubectl("edit", patient.key, ward.context)],
        advice=[f"Take one of these dependencies out, in Git: {circle(way)}."],
    )

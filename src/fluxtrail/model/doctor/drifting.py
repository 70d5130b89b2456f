"""Objects that change for ever though nobody changes them: two writers of one object, manifests never the same.

What one look cannot tell, several can: `Corrections` counts what is new from look to look.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from fluxtrail.model.doctor import commands
from fluxtrail.model.doctor.findings import Code, Evidence, Finding, Severity
from fluxtrail.model.doctor.making import finding, of_condition, span, value
from fluxtrail.model.doctor.patients import KUSTOMIZATION, RELEASE, Past, Patient
from fluxtrail.model.doctor.ward import Ward
from fluxtrail.model.observation import ObjectKey

_STANDING = frozenset({"deployed", "superseded"})
_SUCCEEDED = "ReconciliationSucceeded"
_KEPT = 64
MAX_OBJECTS = 20_000
_ONE_WRITER = (
    "Find the other writer (an autoscaler, a webhook, a second release of the same name) and let one of them have the "
    "field: spec.driftDetection.ignore."
)


@dataclass(slots=True)
class _Course:
    uid: str
    generation: int
    version: int
    digest: str
    drifted_at: datetime | None
    times: deque[datetime] = field(default_factory=lambda: deque(maxlen=_KEPT))


class Corrections:
    """Remembers, from look to look, when each release was made anew from the same, or its drift was found again."""

    def __init__(self) -> None:
        self._courses: dict[ObjectKey, _Course] = {}

    def note(self, patients: Iterable[Patient], now: datetime) -> None:
        """Take in a look at all objects; those that are gone are forgotten."""
        courses: dict[ObjectKey, _Course] = {}
        for patient in patients:
            if patient.key.kind == RELEASE and len(courses) < MAX_OBJECTS:
                courses[patient.key] = self._follow(patient, now)
        self._courses = courses

    def since(self, key: ObjectKey, moment: datetime) -> list[datetime]:
        course = self._courses.get(key)
        return [at for at in course.times if at >= moment] if course is not None else []

    def _follow(self, patient: Patient, now: datetime) -> _Course:
        digest = patient.history[0].digest if patient.history else f"{patient.attempted} {patient.config}"
        drifted = patient.find_condition("Drifted")
        drifted_at = drifted.changed_at if drifted is not None and drifted.status == "True" else None
        before = self._courses.get(patient.key)
        if before is None or before.uid != patient.uid or before.generation != patient.generation:
            return _Course(patient.uid, patient.generation, patient.newest_version, digest, drifted_at)
        grown = patient.newest_version - before.version
        if grown > 0 and digest == before.digest and not patient.failures:
            before.times.extend([now] * min(grown, _KEPT))
        elif drifted_at is not None and drifted_at != before.drifted_at and before.drifted_at is not None:
            before.times.append(now)
        before.version, before.digest = max(before.version, patient.newest_version), digest
        before.drifted_at = drifted_at or before.drifted_at
        return before


def drift_finding(patient: Patient, ward: Ward, corrections: Corrections | None) -> Finding | None:
    """Return that an object is corrected again and again, or that its drift is seen and left."""
    if patient.key.kind == KUSTOMIZATION:
        return _flapping(patient, ward)
    return _looping(patient, ward, corrections) or _left_alone(patient, ward)


def _looping(patient: Patient, ward: Ward, corrections: Corrections | None) -> Finding | None:
    window, count = ward.policy.drift_window, ward.policy.drift_count
    seen = corrections.since(patient.key, ward.now - window) if corrections is not None else []
    if len(seen) >= count:
        told = [
            value("releases of the same chart and values", f"{len(seen)} within {span(window)}"),
            value("status.history[0].version", patient.newest_version),
        ]
        return _loop(patient, ward, [*told, *of_condition(patient.find_condition("Drifted"))], since=seen[0])
    same = _same_in_a_row(patient.history)
    if len(same) < 2 or patient.was_forced or patient.was_reset:
        return None
    ends = [past.ended_at for past in same if past.ended_at is not None]
    if len(ends) < 2 or ward.age(max(ends)) > window:
        return None
    if len(same) < count and max(ends) - min(ends) > window / count:
        return None
    told = [
        value(
            f"status.history[{index}]",
            f"v{past.version} {past.digest} {past.status} at {past.ended_at:%Y-%m-%dT%H:%M:%SZ}",
        )
        for index, past in enumerate(same)
        if past.ended_at is not None
    ]
    return _loop(patient, ward, told, since=min(ends))


def _same_in_a_row(history: tuple[Past, ...]) -> list[Past]:
    """Return the newest releases that were made of one chart and one digest of values."""
    found: list[Past] = []
    for past in history:
        if past.status not in _STANDING or (found and past.digest != found[0].digest):
            break
        found.append(past)
    return found


def _loop(patient: Patient, ward: Ward, told: list[Evidence], *, since: datetime | None) -> Finding:
    return finding(
        patient,
        Code.DRIFT_LOOP,
        Severity.WARNING,
        "It is released again and again though neither chart nor values change: something undoes what Flux does.",
        told,
        since=since,
        commands=[
            f"flux events --for {patient.key.kind}/{patient.key.name} -n {patient.key.namespace}",
            commands.helm("history", patient.release_name, patient.storage_namespace, ward.context),
        ],
        advice=[_ONE_WRITER],
    )


def _left_alone(patient: Patient, ward: Ward) -> Finding | None:
    drifted = patient.find_condition("Drifted")
    if drifted is None or drifted.status != "True" or ward.age(drifted.changed_at) < ward.policy.patience:
        return None
    is_corrected = patient.drift_mode == "enabled"
    return finding(
        patient,
        Code.DRIFTED,
        Severity.WARNING if is_corrected else Severity.INFO,
        "The cluster differs from the release, and "
        + (
            "correcting it does not last."
            if is_corrected
            else f"nobody corrects it (driftDetection.mode {patient.drift_mode or 'unset'})."
        ),
        [*of_condition(drifted), value("spec.driftDetection.mode", patient.drift_mode or "unset")],
        since=drifted.changed_at,
        commands=commands.both("reconcile", patient.key, ward.context, "--force"),
    )


def _flapping(patient: Patient, ward: Ward) -> Finding | None:
    """One revision that is built to other manifests each time: two snapshots of it that take turns."""
    recent = [
        past
        for past in patient.history
        if past.status == _SUCCEEDED
        and past.ended_at is not None
        and ward.age(past.ended_at) <= ward.policy.drift_window
    ]
    if len(recent) < 2 or not recent[0].revision:
        return None
    of_one = [past for past in recent if past.revision == recent[0].revision]
    times = sum(past.total for past in of_one)
    is_alternating = len({past.digest for past in of_one}) >= 2 and all(past.total >= 2 for past in of_one[:2])
    if not (is_alternating or len(of_one) >= ward.policy.drift_count) or times < ward.policy.drift_count:
        return None
    told = [
        value(f"status.history[{index}]", f"{past.digest} {past.total} times, last {past.ended_at:%Y-%m-%dT%H:%M:%SZ}")
        for index, past in enumerate(of_one)
        if past.ended_at is not None
    ]
    starts = [past.began_at for past in of_one if past.began_at is not None]
    return finding(
        patient,
        Code.DRIFT_LOOP,
        Severity.WARNING,
        f"One revision is built to {len({past.digest for past in of_one})} different manifests that take turns: it is "
        "applied anew each time.",
        [value("revision", recent[0].revision), *told],
        since=min(starts, default=None),
        commands=[commands.flux("build", patient.key, ward.context, "--path ./")],
        advice=[
            "Look for what differs from build to build: a generated name, a time, a substitution whose value changes."
        ],
    )

"""Objects of any kind on which nothing moves: suspended, being deleted, not looked at, or in progress for too long."""

from __future__ import annotations

from datetime import datetime, timedelta

from fluxtrail.model.doctor import commands
from fluxtrail.model.doctor.findings import Code, Finding, Remedy, Severity
from fluxtrail.model.doctor.making import finding, of_condition, seconds, span, value
from fluxtrail.model.doctor.patients import KUSTOMIZATION, RELEASE, SOURCE_KINDS, Patient
from fluxtrail.model.doctor.ward import Ward

PROGRESSING = frozenset({"Progressing", "ProgressingWithRetry"})
_CONTROLLER = {RELEASE: "helm-controller", KUSTOMIZATION: "kustomize-controller"}
_RETRYING = "ProgressingWithRetry"
_WITHOUT_GENERATIONS = "ExternalArtifact"
"""Whose status says nothing of the generation it is of."""


def suspended_finding(patient: Patient, ward: Ward) -> Finding | None:
    """Return since when an object has been suspended, and by whom, once that is too long."""
    suspension = patient.suspension
    since = suspension.at if suspension is not None else None
    if since is None:
        since = patient.changed_at or patient.created_at
    if since is None or ward.age(since) < ward.policy.suspended_after:
        return None
    who = suspension.manager if suspension is not None else ""
    told = [value("spec.suspend", "true")]
    if suspension is not None:
        told.append(value("metadata.managedFields[f:suspend]", f"{who or 'unnamed'} at {_stamp(suspension.at)}"))
    cause = f"It has been suspended for {span(ward.age(since))}" + (
        f", by {who}." if who else "; nobody knows by whom."
    )
    return finding(
        patient,
        Code.SUSPENDED,
        Severity.INFO,
        cause,
        told,
        since=since,
        commands=commands.both("resume", patient.key, ward.context),
        advice=[f"{label_parent(patient)} states it: resume it there."] if is_declared(patient) else [],
    )


def deleting_finding(patient: Patient, ward: Ward) -> Finding | None:
    """Return what holds an object that is being deleted, once that takes too long."""
    since = patient.deleting_since
    if since is None or ward.age(since) < ward.policy.deletion_after:
        return None
    by = " It is suspended, and Flux leaves the finalizer to it." if patient.is_suspended else ""
    return finding(
        patient,
        Code.DELETION_STUCK,
        Severity.WARNING,
        f"Its deletion began {span(ward.age(since))} ago and does not end: {', '.join(patient.finalizers) or 'no'} "
        f"finalizer is still there.{by}",
        [
            value("metadata.deletionTimestamp", _stamp(since)),
            value("metadata.finalizers", ", ".join(patient.finalizers) or "none"),
            *of_condition(patient.ready),
        ],
        since=since,
        commands=[commands.kubectl("get", patient.key, ward.context, "-o yaml")],
    )


def unobserved_finding(patient: Patient, ward: Ward) -> Finding | None:
    """Return that its controller has not looked at what was changed.

    A HelmRelease and a Kustomization note a generation at the end only, but their conditions speak of it at once.
    """
    if patient.is_static or patient.key.kind == _WITHOUT_GENERATIONS:
        return None
    spoken_of = max((each.observed_generation or 0 for each in patient.conditions), default=patient.observed_generation)
    seen = max(patient.observed_generation, spoken_of)
    since = patient.changed_at or patient.created_at
    if seen >= patient.generation or since is None or ward.age(since) < ward.policy.patience:
        return None
    if patient.spoke_at is not None and patient.spoke_at >= since:
        return None  # before conditions had generations
    controller = _CONTROLLER.get(patient.key.kind, "source-controller")
    return finding(
        patient,
        Code.NOT_OBSERVED,
        Severity.CRITICAL,
        f"{controller} has not looked at generation {patient.generation} for {span(ward.age(since))}: it does not run, "
        "is overloaded, or watches other objects.",
        [
            value("metadata.generation", patient.generation),
            value("status.observedGeneration", patient.observed_generation),
            value("managedFields, last write of the status", _stamp(patient.spoke_at)),
        ],
        since=since,
        commands=[
            f"kubectl -n flux-system get deploy {controller}",
            f"kubectl -n flux-system logs deploy/{controller} --since=15m",
        ],
    )


def stuck_finding(patient: Patient, ward: Ward, *, obstacle: str = "") -> Finding | None:
    """Return that nothing has moved for longer than one attempt and the wait for the next can take."""
    if not is_in_progress(patient):
        return None
    moved = last_move(patient)
    limit = timedelta(seconds=min(patient.timeout_seconds + (patient.interval_seconds or 0), 10.0**7))
    if moved is None or ward.age(moved) <= max(limit, ward.policy.patience):
        return None
    ready, working = patient.ready, patient.find_condition("Reconciling")
    if patient.key.kind in SOURCE_KINDS:
        return None
    is_release = patient.key.kind == RELEASE
    return finding(
        patient,
        Code.STUCK,
        Severity.CRITICAL,
        f"It says it is in progress, and nothing has moved for {span(ward.age(moved))}: an attempt may take "
        f"{seconds(patient.timeout_seconds)}, the next comes after {seconds(patient.interval_seconds or 0)}.",
        [
            *of_condition(working),
            *(of_condition(ready) if ready is not None and ready.status != "True" else ()),
            value("last change of the status", _stamp(moved)),
            value("spec.timeout + spec.interval", seconds(limit.total_seconds())),
        ],
        since=moved,
        commands=commands.both("reconcile", patient.key, ward.context, *(["--reset"] if is_release else [])),
        remedy=release_remedy(patient, ward) if is_release else Remedy.RECONCILE,
        obstacle=obstacle,
    )


def is_in_progress(patient: Patient) -> bool:
    ready, working = patient.ready, patient.find_condition("Reconciling")
    if working is not None and working.status == "True":
        return working.reason != _RETRYING
    return ready is not None and ready.status == "Unknown"


def last_move(patient: Patient) -> datetime | None:
    """Return when its controller last said anything; conditions and releases tell where nobody keeps managers."""
    times = [each.changed_at for each in patient.conditions]
    times += [past.ended_at for past in patient.history]
    known = [each for each in (*times, patient.spoke_at) if each is not None]
    return max(known, default=None)


def release_remedy(patient: Patient, ward: Ward) -> Remedy:
    """Return the mildest remedy that the installed Flux knows."""
    if patient.is_old_helm:
        return Remedy.SUSPEND_RESUME
    if ward.abilities.has_reset:
        return Remedy.RESET
    return Remedy.FORCE if ward.abilities.has_force else Remedy.SUSPEND_RESUME


def is_declared(patient: Patient) -> bool:
    """Whether what suspends it is what applied it."""
    manager = patient.suspension.manager if patient.suspension is not None else ""
    return patient.parent is not None and manager in ("kustomize-controller", "helm-controller")


def label_parent(patient: Patient) -> str:
    return str(patient.parent) if patient.parent is not None else ""


def _stamp(moment: datetime | None) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ") if moment is not None else "unknown"

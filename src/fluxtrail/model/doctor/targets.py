"""Kustomizations and HelmReleases that do not get on: what they need is not there, they fail, or Flux gave them up."""

from __future__ import annotations

from datetime import datetime

from fluxtrail.model.doctor import commands
from fluxtrail.model.doctor.findings import Code, Finding, Severity
from fluxtrail.model.doctor.making import clip, finding, label, of_condition, value
from fluxtrail.model.doctor.patients import KUSTOMIZATION, Patient
from fluxtrail.model.doctor.waiting import Wait, find_wait
from fluxtrail.model.doctor.ward import Ward
from fluxtrail.model.flux import Condition

_SOURCE_REASONS = frozenset({"ArtifactFailed", "SourceNotReady"})
_RETRYING = "ProgressingWithRetry"
_SUCCEEDED = "ReconciliationSucceeded"


def obstacle_of(patient: Patient, ward: Ward) -> str:
    """Return why another attempt would fail for sure; empty where it might not."""
    if patient.key in ward.cycles:
        return "its dependencies lead back to itself"
    wait: Wait | None = find_wait(patient, ward)
    if wait is not None:
        return f"it waits for {label(wait.root)}, {wait.what}"
    key = patient.source
    if key is None:
        return ""
    source = ward.find(key)
    if source is None:
        return f"its source {label(key)} does not exist" if ward.is_missing(key) else ""
    if is_unusable(source, patient):
        return f"its source {label(key)} is not ready"
    return ""


def is_unusable(source: Patient, patient: Patient) -> bool:
    """Whether nothing can be made from a source: a Kustomization takes what there is, a release wants it ready."""
    if source.is_static:
        return False
    if patient.key.kind == KUSTOMIZATION or source.key.kind == "ExternalArtifact":
        return not source.artifact
    return not source.artifact or not source.is_ready or source.generation != source.observed_generation


def source_of_target_finding(patient: Patient, ward: Ward) -> Finding | None:
    """Return that what a target is made from is not there, or not to be had."""
    key = patient.source
    if key is None or patient.is_ready:
        return None
    source, ready = ward.find(key), patient.ready
    since = ready.changed_at if ready is not None else patient.created_at
    if source is None and ward.is_missing(key):
        if ward.age(since) < ward.policy.patience:
            return None
        return finding(
            patient,
            Code.SOURCE_MISSING,
            Severity.CRITICAL,
            f"It is made from {label(key)}, which does not exist.",
            [value("spec.sourceRef", label(key)), *of_condition(ready)],
            since=since,
            commands=[commands.kubectl("get", patient.key, ward.context, "-o yaml")],
            advice=["Create the source, or name another one, in Git."],
        )
    if ready is None or ready.reason not in _SOURCE_REASONS or ward.age(since) < ward.policy.patience:
        return None
    root = root_source(source, ward) if source is not None else None
    of = root or source
    by = (
        f"{label(of.key)} is suspended"
        if of is not None and of.is_suspended
        else f"{label(of.key if of else key)} is not ready"
    )
    fault = of.ready if of is not None else None
    told = of_condition(fault, of=f"{label(of.key)}: ") if of is not None and not of.is_ready else []
    if of is not None and of.is_ready and source is not None and source.is_ready:
        return None  # the chart itself, or the path: a failure of its own
    verb = "resume" if of is not None and of.is_suspended else "reconcile"
    return finding(
        patient,
        Code.SOURCE_NOT_READY,
        Severity.WARNING,
        f"What it is made from is not to be had: {by}.",
        [*of_condition(ready), *told],
        since=since,
        commands=commands.both(verb, of.key if of is not None else key, ward.context),
    )


def root_source(source: Patient, ward: Ward) -> Patient | None:
    """Return the repository behind a HelmChart where that one is to blame."""
    behind = ward.find(source.source)
    if behind is None or behind.is_static or (behind.is_ready and not behind.is_suspended):
        return None
    return behind


def stalled_finding(patient: Patient, ward: Ward) -> Finding | None:
    """Return that Flux has given up on it for another reason than retries."""
    stalled = patient.find_condition("Stalled")
    if stalled is None or stalled.status != "True":
        return None
    return finding(
        patient,
        Code.STALLED,
        Severity.CRITICAL,
        f"Flux has given it up until it is changed ({stalled.reason}): {clip(stalled.message, 160)}",
        [*of_condition(stalled), *of_condition(patient.ready)],
        since=stalled.changed_at,
        commands=[commands.kubectl("edit", patient.key, ward.context)],
        advice=["Mend what the message names, in Git; a reconciliation does not help before."],
    )


def failing_finding(patient: Patient, ward: Ward) -> Finding | None:
    """Return that it fails, and Flux goes on trying."""
    ready = patient.ready
    if ready is None or ready.status != "False":
        return None
    since = failing_since(patient, ready)
    if ward.age(since) < ward.policy.patience:
        return None
    told = of_condition(ready)
    for kind in ("Released", "TestSuccess", "Remediated", "Healthy"):
        other = patient.find_condition(kind)
        if other is not None and other.message != ready.message:
            told += of_condition(other)[:1]
    if patient.failures:
        told.append(value("status.failures", patient.failures))
    if patient.strategy:
        told.append(value(f"spec.{patient.action or 'upgrade'}.strategy.name", patient.strategy))
    again = "; Flux tries again by itself" if _is_retried(patient) else ""
    return finding(
        patient,
        Code.FAILING,
        Severity.WARNING,
        f"{ready.reason or 'It fails'}{again}: {clip(ready.message, 160)}",
        told,
        since=since,
        commands=commands.both("reconcile", patient.key, ward.context),
        advice=["Mend what the message names: another attempt at the same ends the same."],
    )


def _is_retried(patient: Patient) -> bool:
    working = patient.find_condition("Reconciling")
    return patient.key.kind == KUSTOMIZATION or (working is not None and working.reason == _RETRYING)


def failing_since(patient: Patient, ready: Condition) -> datetime | None:
    """Return since when it fails. Ready passes through Unknown with every attempt: its own time is the last one's."""
    times = [ready.changed_at]
    working = patient.find_condition("Reconciling")
    if working is not None and working.reason == _RETRYING:
        times.append(working.changed_at)
    newest = patient.history[0] if patient.history else None
    if patient.key.kind == KUSTOMIZATION and newest is not None and newest.status not in ("", _SUCCEEDED):
        times.append(newest.began_at)
    return min((each for each in times if each is not None), default=None)

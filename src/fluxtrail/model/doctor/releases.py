"""HelmReleases that Flux has given up: no retries left, nothing to roll back to, or held by an action that never ended.

Source: fluxcd/helm-controller internal/reconcile atomic_release.go, unlock.go; before 0.37 the messages of v2beta1.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from fluxtrail.model.doctor import commands
from fluxtrail.model.doctor.findings import Code, Evidence, Finding, Remedy, Severity
from fluxtrail.model.doctor.making import finding, label, of_condition, span, value
from fluxtrail.model.doctor.patients import Patient
from fluxtrail.model.doctor.standing_still import last_move, release_remedy
from fluxtrail.model.doctor.ward import Ward

_EXHAUSTED = re.compile(r"\b(install|upgrade)? ?retries exhausted|exceeded maximum retries")
_HELD = re.compile(r"another operation \(install/upgrade/rollback\) is in progress")
_PENDING = "pending-"
_ACTIONS = ("install", "upgrade")
_RETRY = "RetryOnFailure"
_UNLOCKING = (
    "Any reconciliation by Flux 2.2 or later unlocks it. If it comes again, helm-controller is killed amid upgrades: "
    "see its memory limit."
)


def exhausted_finding(patient: Patient, ward: Ward, *, obstacle: str) -> Finding | None:
    """Return that Flux will not try again by itself, in old words or in new."""
    stalled, ready = patient.find_condition("Stalled"), patient.ready
    is_stalled = stalled is not None and stalled.status == "True"
    if is_stalled and stalled is not None and stalled.reason == "MissingRollbackTarget":
        code, what = Code.ROLLBACK_IMPOSSIBLE, "there is no earlier release to roll back to"
    elif (is_stalled and stalled is not None and stalled.reason == "RetriesExceeded") or (
        ready is not None and ready.status == "False" and _EXHAUSTED.search(ready.message)
    ):
        code, what = Code.RETRIES_EXHAUSTED, "its retries are used up"
    else:
        return None
    since = stalled.changed_at if is_stalled and stalled is not None else ready.changed_at if ready else None
    remedy = release_remedy(patient, ward)
    return finding(
        patient,
        code,
        Severity.CRITICAL,
        f"The {_action(patient)} failed and {what}: Flux will not try again until it is changed or reset.",
        [*of_condition(stalled if is_stalled else None), *of_condition(ready), *_why(patient), *_counts(patient)],
        since=since,
        commands=commands_for(remedy, patient, ward),
        advice=_advice(patient, ward, code),
        remedy=remedy,
        obstacle=obstacle,
    )


def locked_finding(patient: Patient, ward: Ward, *, obstacle: str) -> Finding | None:
    """Return that Helm holds the release for an action that ended long ago, or never."""
    held, told, since = _find_lock(patient, ward)
    if not held:
        return None
    since = since or last_move(patient)
    limit = timedelta(seconds=min(patient.timeout_seconds + (patient.interval_seconds or 0), 10.0**7))
    if ward.age(since) <= max(limit, ward.policy.patience):
        return None  # an action that is under way looks the same
    if patient.is_old_helm or not ward.abilities.has_reset:
        return _locked_by_old(patient, ward, held, told, since)
    return finding(
        patient,
        Code.LOCKED,
        Severity.CRITICAL,
        f"Helm holds it for {held}, and has for {span(ward.age(since))}: what did that is gone.",
        told,
        since=since,
        commands=commands_for(Remedy.RESET, patient, ward),
        advice=[_UNLOCKING],
        remedy=Remedy.RESET,
        obstacle=obstacle,
    )


def _locked_by_old(patient: Patient, ward: Ward, held: str, told: list[Evidence], since: datetime | None) -> Finding:
    """Flux before 2.2 never unlocks: it takes Helm itself."""
    name, namespace = patient.release_name, patient.storage_namespace
    return finding(
        patient,
        Code.LOCKED,
        Severity.CRITICAL,
        f"Helm holds it for {held}, and has for {span(ward.age(since))}; this Flux does not unlock by itself.",
        told,
        since=since,
        commands=[
            commands.helm("history", name, namespace, ward.context),
            commands.helm("rollback", name, namespace, ward.context),
            *commands.suspend_and_resume(patient.key, ward.context),
        ],
        advice=["Flux 2.2 and later unlock a release by themselves."],
        obstacle="Helm refuses every action while it holds the release",
    )


def _find_lock(patient: Patient, ward: Ward) -> tuple[str, list[Evidence], datetime | None]:
    """Return what Helm holds it for, how that is known, and since when."""
    lock = ward.locks.get((patient.storage_namespace, patient.release_name))
    if lock is not None:
        told = [value(f"Secret {lock.secret}, label status", lock.status), value("version", lock.version)]
        return lock.status, told, lock.since
    newest = patient.history[0] if patient.history else None
    if newest is not None and newest.status.startswith(_PENDING):
        told = [value("status.history[0].status", newest.status), value("status.history[0].version", newest.version)]
        return newest.status, [*told, *of_condition(patient.ready)], newest.ended_at or newest.began_at
    for kind in ("Ready", "Released"):
        condition = patient.find_condition(kind)
        if condition is None or condition.status == "True":
            continue
        if _HELD.search(condition.message) or condition.reason == "PendingRelease":
            return "another operation", of_condition(condition), condition.changed_at
    return "", [], None


def commands_for(remedy: Remedy, patient: Patient, ward: Ward) -> tuple[str, ...]:
    match remedy:
        case Remedy.SUSPEND_RESUME:
            return commands.suspend_and_resume(patient.key, ward.context)
        case Remedy.RECONCILE:
            return commands.both("reconcile", patient.key, ward.context)
        case _:
            return commands.both("reconcile", patient.key, ward.context, f"--{remedy.value}")


def _action(patient: Patient) -> str:
    """Return what failed, `install` or `upgrade`."""
    if patient.action in _ACTIONS:
        return patient.action
    found = _EXHAUSTED.search(patient.ready.message) if patient.ready is not None else None
    return (found.group(1) if found else None) or ("upgrade" if patient.newest_version > 1 else "install")


def _why(patient: Patient) -> list[Evidence]:
    """Return what failed, where Ready only tells what was done about it."""
    ready = patient.ready
    found: list[Evidence] = []
    for kind in ("Released", "TestSuccess", "Remediated"):
        condition = patient.find_condition(kind)
        if condition is not None and ready is not None and condition.message != ready.message:
            found += of_condition(condition)
    return found


def _counts(patient: Patient) -> list[Evidence]:
    counts = [
        (name, count)
        for name, count in (
            ("failures", patient.failures),
            ("installFailures", patient.install_failures),
            ("upgradeFailures", patient.upgrade_failures),
        )
        if count
    ]
    found = [value(f"status.{name}", count) for name, count in counts]
    found.append(value(f"spec.{_action(patient)}.remediation.retries", patient.retries))
    if patient.attempted:
        found.append(value("status.lastAttemptedRevision", patient.attempted))
    return found


def _advice(patient: Patient, ward: Ward, code: Code) -> list[str]:
    action = _action(patient)
    found = []
    if ward.abilities.has_retry_on_failure and patient.strategy != _RETRY:
        found.append(
            f"So that it does not come again: spec.{action}.strategy.name: {_RETRY} (this Flux has it; "
            f"{ward.abilities.told_by} says so)."
        )
    elif patient.strategy != _RETRY:
        found.append(f"So that a passing fault is got over: spec.{action}.remediation.retries, 0 by default.")
    if code is Code.ROLLBACK_IMPOSSIBLE:
        found.append(f"What {label(patient.key)} could roll back to was removed: see spec.maxHistory.")
    return found

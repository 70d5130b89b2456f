"""Sources that bring nothing new: access refused, not to be fetched, not to be trusted, not to be stored, or stale.

An old artifact alone is no sign: a source whose content does not change keeps its artifact for years.
Source: fluxcd/source-controller api/v1 condition_types.go; pkg/apis/meta.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from fluxtrail.model.doctor import commands
from fluxtrail.model.doctor.findings import Code, Evidence, Finding, Severity
from fluxtrail.model.doctor.making import clip, finding, label, of_condition, seconds, span, value
from fluxtrail.model.doctor.patients import CHART, Patient
from fluxtrail.model.doctor.standing_still import last_move
from fluxtrail.model.doctor.ward import Ward
from fluxtrail.model.flux import Condition

_WITHOUT_SOURCE = frozenset({"NoSourceArtifact", "NoArtifact", "SourceUnavailable"})
_FAULTS = ("FetchFailed", "BuildFailed", "StorageOperationFailed", "IncludeUnavailable")
_STORAGE = frozenset(
    {
        "DirectoryCreationFailed",
        "StatOperationFailed",
        "ReadOperationFailed",
        "AcquireLockFailed",
        "ArchiveOperationFailed",
        "SymlinkUpdateFailed",
        "CacheOperationFailed",
        "PatchOperationFailed",
    }
)
_REFUSED = re.compile(
    r"authentication (?:required|failed)|unauthorized|\b40[13]\b|access denied|permission denied|invalid credentials"
    r"|could not read username|unable to authenticate|knownhosts|host key|\bdenied:|auth secret|no such secret"
    r"|secrets? \"[^\"]{1,253}\" not found|bad credentials",
    re.IGNORECASE,
)


def source_finding(patient: Patient, ward: Ward) -> Finding | None:
    """Return what is wrong with a source that is neither suspended nor being deleted."""
    if patient.is_static:
        return None
    stalled = patient.find_condition("Stalled")
    if stalled is not None and stalled.status == "True":
        return _stalled(patient, stalled, ward)
    fault = _fault(patient)
    if fault is not None:
        return _failing(patient, fault, ward)
    return _stale(patient, ward)


def _fault(patient: Patient) -> Condition | None:
    """Return the condition that says most: what failed, rather than that something did."""
    verified = patient.find_condition("SourceVerified")
    if verified is not None and verified.status == "False":
        return verified
    found = next((each for name in _FAULTS if (each := patient.find_condition(name)) and each.status == "True"), None)
    ready = patient.ready
    return found or (ready if ready is not None and ready.status == "False" else None)


def _failing(patient: Patient, fault: Condition, ward: Ward) -> Finding | None:
    since = _since(patient, fault)
    code, words = _classify(patient, fault)
    if ward.age(since) < ward.policy.patience and not (code is Code.ACCESS_FAILING and not patient.artifact):
        return None
    old, is_stale = _artifact(patient, ward)
    advice = []
    if code is Code.SOURCE_NOT_READY and patient.source is not None:
        advice.append(f"Look at {label(patient.source)}: what comes from it waits.")
    return finding(
        patient,
        code,
        Severity.CRITICAL if is_stale or code in (Code.ACCESS_FAILING, Code.UNVERIFIED) else Severity.WARNING,
        f"{words}: {clip(fault.message or fault.reason, 160)}",
        [*of_condition(fault), *old],
        since=since,
        commands=commands.both("reconcile", patient.key, ward.context),
        advice=advice,
    )


def _classify(patient: Patient, fault: Condition) -> tuple[Code, str]:
    if fault.reason == "AuthenticationFailed" or _REFUSED.search(fault.message):
        return Code.ACCESS_FAILING, "Its credentials are missing, or refused"
    if fault.type == "SourceVerified" or fault.reason == "VerificationError":
        return Code.UNVERIFIED, "Its signature could not be verified"
    if fault.type == "StorageOperationFailed" or fault.reason in _STORAGE:
        return Code.STORAGE_FAILING, "source-controller cannot store it"
    if fault.reason in _WITHOUT_SOURCE and patient.key.kind == CHART:
        return Code.SOURCE_NOT_READY, "What it is made from has not been fetched"
    if fault.type == "BuildFailed":
        return Code.FAILING, "It cannot be built"
    return Code.FETCH_FAILING, "It cannot be fetched"


def _since(patient: Patient, fault: Condition) -> datetime | None:
    """Return since when: Ready passes through Unknown with each attempt, what is wrong stays."""
    times = [fault.changed_at]
    ready = patient.ready
    if ready is not None and ready.status == "False":
        times.append(ready.changed_at)
    return min((each for each in times if each is not None), default=None)


def _artifact(patient: Patient, ward: Ward) -> tuple[list[Evidence], bool]:
    """Return what was fetched last, and whether that is `stale_after` intervals ago."""
    if not patient.artifact:
        return [value("status.artifact", "none: nothing was ever fetched")], True
    told = [value("status.artifact.revision", patient.artifact)]
    if patient.artifact_at is None:
        return told, False
    age = ward.age(patient.artifact_at)
    told.append(value("status.artifact.lastUpdateTime", f"{span(age)} ago"))
    return told, age > _patience(patient, ward)


def _patience(patient: Patient, ward: Ward) -> timedelta:
    allowed = timedelta(seconds=min((patient.interval_seconds or 60.0) * ward.policy.stale_after, 10.0**7))
    return max(allowed, ward.policy.patience)


def _stalled(patient: Patient, stalled: Condition, ward: Ward) -> Finding:
    return finding(
        patient,
        Code.STALLED,
        Severity.CRITICAL,
        f"Flux has given it up until it is changed ({stalled.reason}): {clip(stalled.message, 160)}",
        [*of_condition(stalled), *of_condition(patient.ready), *_artifact(patient, ward)[0]],
        since=stalled.changed_at,
        commands=[commands.kubectl("edit", patient.key, ward.context)],
        advice=["Mend what the message names, in Git; a reconciliation does not help before."],
    )


def _stale(patient: Patient, ward: Ward) -> Finding | None:
    """A source that does not say it fails, but for intervals has neither fetched nor said that there is nothing new."""
    outdated = patient.find_condition("ArtifactOutdated")
    is_outdated = outdated is not None and outdated.status == "True"
    is_busy = patient.is_true("Reconciling") or (patient.ready is not None and patient.ready.status == "Unknown")
    has_nothing = not patient.artifact and patient.ready is None and patient.key.kind != "ExternalArtifact"
    if not (is_outdated or is_busy or has_nothing):
        return None
    times = (
        [outdated.changed_at] if outdated is not None and is_outdated else [last_move(patient) or patient.created_at]
    )
    since = next((each for each in times if each is not None), None)
    allowed = _patience(patient, ward)
    if since is None or ward.age(since) <= allowed:
        return None
    why = "a newer revision is known and is not stored" if is_outdated else "its controller has said nothing since"
    return finding(
        patient,
        Code.SOURCE_STALE,
        Severity.CRITICAL,
        f"It has not been fetched for {span(ward.age(since))}, more than {ward.policy.stale_after} intervals of "
        f"{seconds(patient.interval_seconds or 60.0)}: {why}.",
        [
            *of_condition(outdated if is_outdated else patient.find_condition("Reconciling")),
            *of_condition(patient.ready),
            *_artifact(patient, ward)[0],
        ],
        since=since,
        commands=commands.both("reconcile", patient.key, ward.context),
    )

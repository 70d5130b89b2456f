"""The patches that remedies are. What is done and the memory of it are one write: no instant lies between the two."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from fluxtrail.model.doctor.findings import Remedy
from fluxtrail.model.doctor.memory import Treatment, read_treatments, treatment_key, write_treatments
from fluxtrail.model.doctor.patients import TREATED, Patient

REQUESTED_AT = "reconcile.fluxcd.io/requestedAt"
RESET_AT = "reconcile.fluxcd.io/resetAt"
FORCE_AT = "reconcile.fluxcd.io/forceAt"

Patch = dict[str, Any]


def first_patch(patient: Patient, remedy: Remedy, now: datetime) -> Patch:
    """Return the patch that is a remedy, or the first half of one.

    A request is a token; those to reset and to force have to equal the one to reconcile.
    Source: fluxcd/helm-controller api/v2 annotations.go, fluxcd/pkg apis/meta reconcile.go.

    Raises:
        MemoryFullError: the object cannot remember it: it is not to be treated.
        WireError: what it remembers cannot be read.
    """
    moment = now.replace(microsecond=0)
    token = now.isoformat()
    is_first_half = remedy is Remedy.SUSPEND_RESUME
    entry = Treatment(
        key=treatment_key(patient),
        at=moment,
        remedy=remedy,
        generation=patient.generation,
        is_half_done=is_first_half,
        has_stated=is_first_half and patient.has_suspend_field,
    )
    memory = write_treatments([*read_treatments(patient.treated), entry], generation=patient.generation, now=now)
    annotations = {TREATED: memory}
    if is_first_half:
        return {"metadata": {"annotations": annotations}, "spec": {"suspend": True}}
    annotations[REQUESTED_AT] = token
    if remedy is Remedy.RESET:
        annotations[RESET_AT] = token
    elif remedy is Remedy.FORCE:
        annotations[FORCE_AT] = token
    return {"metadata": {"annotations": annotations}}


def second_patch(patient: Patient, now: datetime) -> Patch:
    """Return the patch that resumes what was suspended as the first half of an act.

    Both halves make a generation: the state that comes of them is the one that was treated, so it is noted as such.

    Args:
        patient: as it is while suspended.
    """
    *before, last = read_treatments(patient.treated)
    generation = patient.generation + 1
    done = Treatment(key=last.key, at=last.at, remedy=last.remedy, generation=last.generation)
    after = Treatment(
        key=treatment_key(patient, generation=generation),
        at=last.at,
        remedy=last.remedy,
        generation=generation,
        follows=True,
    )
    memory = write_treatments([*before, done, after], generation=last.generation, now=now)
    suspend = False if last.has_stated else None
    return {"metadata": {"annotations": {TREATED: memory}}, "spec": {"suspend": suspend}}

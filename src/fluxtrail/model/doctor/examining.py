"""All findings of one look at a cluster: a pure function of what was read."""

from __future__ import annotations

import dataclasses

from fluxtrail.model.doctor.cycles import find_cycles
from fluxtrail.model.doctor.drifting import Corrections, drift_finding
from fluxtrail.model.doctor.findings import Finding, rank
from fluxtrail.model.doctor.patients import RELEASE, SOURCE_KINDS, Patient
from fluxtrail.model.doctor.releases import exhausted_finding, locked_finding
from fluxtrail.model.doctor.sources import source_finding
from fluxtrail.model.doctor.standing_still import (
    deleting_finding,
    stuck_finding,
    suspended_finding,
    unobserved_finding,
)
from fluxtrail.model.doctor.targets import (
    failing_finding,
    obstacle_of,
    source_of_target_finding,
    stalled_finding,
)
from fluxtrail.model.doctor.waiting import cycle_finding, is_waiting, waiting_finding
from fluxtrail.model.doctor.ward import Ward


def examine(ward: Ward, corrections: Corrections | None = None) -> tuple[Finding, ...]:
    """Return what is wrong, the gravest first; at most one finding an object: the one that explains the others.

    Args:
        ward: what was read. Its `cycles` are filled in here.
        corrections: what earlier looks saw; without it a loop is known only where one look shows it.
    """
    targets = [patient for patient in ward.patients.values() if patient.depends_on]
    cycles = find_cycles({patient.key: [each.key for each in patient.depends_on] for patient in targets})
    ward = dataclasses.replace(ward, cycles=cycles)
    found = (examine_one(patient, ward, corrections) for patient in ward.patients.values())
    return tuple(sorted((each for each in found if each is not None), key=rank))


def examine_one(patient: Patient, ward: Ward, corrections: Corrections | None = None) -> Finding | None:
    if patient.deleting_since is not None:
        return deleting_finding(patient, ward)
    if patient.is_suspended:
        return suspended_finding(patient, ward)
    if patient.key.kind in SOURCE_KINDS:
        return unobserved_finding(patient, ward) or source_finding(patient, ward)
    return _of_target(patient, ward, corrections)


def _of_target(patient: Patient, ward: Ward, corrections: Corrections | None) -> Finding | None:
    circle = cycle_finding(patient, ward)
    if circle is not None:
        return circle
    unobserved = unobserved_finding(patient, ward)
    if unobserved is not None:
        return unobserved
    if is_waiting(patient):
        return waiting_finding(patient, ward)
    obstacle = obstacle_of(patient, ward)
    if patient.key.kind == RELEASE:
        given_up = locked_finding(patient, ward, obstacle=obstacle) or exhausted_finding(
            patient, ward, obstacle=obstacle
        )
        if given_up is not None:
            return given_up
    return (
        stalled_finding(patient, ward)
        or source_of_target_finding(patient, ward)
        or stuck_finding(patient, ward, obstacle=obstacle)
        or failing_finding(patient, ward)
        or drift_finding(patient, ward, corrections)
    )

"""What would be done about findings: decided from what was read, without doing anything."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum

import msgspec

from fluxtrail.model.doctor.budgets import Budget, Limits
from fluxtrail.model.doctor.findings import Finding, Remedy
from fluxtrail.model.doctor.memory import Treatment, read_treatments, spent_at, treatment_key
from fluxtrail.model.doctor.patients import Patient
from fluxtrail.model.errors import WireError
from fluxtrail.model.observation import ObjectKey


class Hold(StrEnum):
    """Why nothing is done."""

    NO_REMEDY = "no_remedy"
    """It is for people."""
    WOULD_FAIL = "would_fail_again"
    SUSPENDED = "suspended"
    DELETING = "deleting"
    TREATED = "already_treated"
    """This very state was treated before, and the remedy did not help."""
    FROZEN = "frozen"
    BUDGET = "budget_spent"
    NAMESPACE_BUDGET = "namespace_budget_spent"
    UNREADABLE = "memory_unreadable"
    """Somebody else wrote into what the object remembers."""
    FULL = "memory_full"
    OUTSIDE = "outside_namespaces"


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be done about one finding, or why nothing is."""

    finding: Finding
    remedy: Remedy | None = None
    hold: Hold | None = None
    why: str = ""
    """Of a hold, for people."""


class Spent(msgspec.Struct):
    """The acts of this process: objects may be gone, and what they remembered with them."""

    acts: list[tuple[str, datetime]] = []
    keys: set[str] = set()
    """`<uid> <key>`."""


def plan(
    findings: Sequence[Finding],
    patients: Mapping[ObjectKey, Patient],
    *,
    limits: Limits,
    now: datetime,
    spent: Spent | None = None,
    namespaces: Sequence[str] = (),
) -> list[Plan]:
    """Return for each finding what would be done, in their order; the budget goes to the first ones.

    Args:
        patients: all that was read, for what they remember: the budget is counted over them.
        namespaces: where anything may be done; none means everywhere.
    """
    spent = spent or Spent()
    budget = Budget(limits, _all_spent(patients.values(), spent), now)
    frozen = limits.frozen_by(now)
    made = []
    for finding in findings:
        patient = patients.get(finding.key)
        hold, why = _held(finding, patient, spent=spent, namespaces=namespaces)
        if hold is None and frozen is not None:
            hold, why = Hold.FROZEN, f"nothing is done now: {frozen}"
        if hold is None:
            hold, why = _over_budget(budget, finding.namespace, limits)
        if hold is None:
            budget.spend(finding.namespace)
        made.append(Plan(finding=finding, remedy=None if hold else finding.remedy, hold=hold, why=why))
    return made


def left_suspended(patients: Iterable[Patient], *, manager: str) -> list[Patient]:
    """Return objects that a doctor has suspended, and was stopped before it resumed them: that is still to be done.

    Args:
        manager: the doctor's field manager. What somebody else suspended meanwhile is theirs; where nobody is
            recorded, it was the doctor that suspended it last, as far as is known.
    """
    return [each for each in patients if each.is_suspended and half_done(each, manager=manager) is not None]


def half_done(patient: Patient, *, manager: str) -> Treatment | None:
    """Return the act that was begun on an object and not finished."""
    if patient.suspension is not None and patient.suspension.manager != manager:
        return None
    try:
        entries = read_treatments(patient.treated)
    except WireError:
        return None
    last = entries[-1] if entries else None
    return last if last is not None and last.is_half_done else None


def _all_spent(patients: Iterable[Patient], spent: Spent) -> list[tuple[str, datetime]]:
    remembered: list[tuple[str, datetime]] = []
    for patient in patients:
        try:
            remembered += [(patient.key.namespace, at) for at in spent_at(read_treatments(patient.treated))]
        except WireError:
            continue
    # What this process did is on the objects too: only what is not seen there is added.
    missing = list(spent.acts)
    for act in remembered:
        if act in missing:
            missing.remove(act)
    return remembered + missing


def _held(
    finding: Finding, patient: Patient | None, *, spent: Spent, namespaces: Sequence[str]
) -> tuple[Hold | None, str]:
    if finding.remedy is None or patient is None:
        return Hold.NO_REMEDY, "this is for people"
    if namespaces and finding.namespace not in namespaces:
        return Hold.OUTSIDE, "nothing may be done in this namespace"
    if patient.deleting_since is not None:
        return Hold.DELETING, "it is being deleted"
    if patient.is_suspended:
        return Hold.SUSPENDED, "somebody suspended it"
    if finding.obstacle:
        return Hold.WOULD_FAIL, f"it would fail again: {finding.obstacle}"
    try:
        entries = read_treatments(patient.treated)
    except WireError as exc:
        return Hold.UNREADABLE, str(exc)
    key = treatment_key(patient)
    before = next((each for each in entries if each.key == key), None)
    if before is not None:
        return Hold.TREATED, f"{before.remedy.value} was tried at {before.at:%Y-%m-%dT%H:%M:%SZ}, and nothing changed"
    if f"{patient.uid} {key}" in spent.keys:
        return Hold.TREATED, "it was tried before, and nothing changed"
    return None, ""


def _over_budget(budget: Budget, namespace: str, limits: Limits) -> tuple[Hold | None, str]:
    if budget.left == 0:
        return Hold.BUDGET, f"{limits.per_hour} acts an hour are allowed, and done"
    if budget.left_in(namespace) == 0:
        return (
            Hold.NAMESPACE_BUDGET,
            f"{limits.per_namespace_per_hour} acts an hour are allowed in a namespace, and done",
        )
    return None, ""

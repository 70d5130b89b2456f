"""Does what was planned, one object at a time: the patch that remembers itself, an audit line, an Event."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

import msgspec
import structlog

from fluxtrail.clusters.answers import UNREADABLE
from fluxtrail.clusters.writing import Occurrence, Writer
from fluxtrail.model.doctor.acts import first_patch, second_patch
from fluxtrail.model.doctor.findings import Remedy
from fluxtrail.model.doctor.memory import MemoryFullError, treatment_key
from fluxtrail.model.doctor.patients import Patient, project_target
from fluxtrail.model.doctor.treating import Hold, Plan, Spent, half_done
from fluxtrail.model.doctor.wire import WireTarget
from fluxtrail.model.errors import ConflictError, FluxtrailError, NotFoundError, WireError
from fluxtrail.model.observation import ObjectKey

FIELD_MANAGER = "fluxtrail-doctor"
COMPONENT = "fluxtrail-doctor"
AUDITED = "write"
"""The event of every line of the audit."""
MAX_REMEMBERED = 10_000

MOST_TRIES = 3

_DONE = {
    Remedy.RECONCILE: "Asked for a reconciliation",
    Remedy.RESET: "Reset the count of failures",
    Remedy.FORCE: "Asked for a forced upgrade",
    Remedy.SUSPEND_RESUME: "Suspended and resumed it",
}
_WOULD = {
    Remedy.RECONCILE: "would ask for a reconciliation",
    Remedy.RESET: "would reset the count of failures",
    Remedy.FORCE: "would ask for a forced upgrade",
    Remedy.SUSPEND_RESUME: "would suspend and resume it",
}

log = structlog.get_logger(__name__)
audit_log = structlog.get_logger("fluxtrail.audit")


class Treated(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one plan."""

    plan: Plan
    outcome: str
    """`acted`, `dry_run`, `held`, `changed` (somebody else wrote meanwhile), `failed`."""
    message: str = ""


class Now(Protocol):
    def __call__(self) -> datetime: ...


@dataclass(slots=True)
class Treater:
    """Acts on the objects of one cluster. Not for two tasks at a time.

    Args:
        spent: what this process did; lives as long as the process.
        acts: whether anything is written at all; else it is only said what would be.
    """

    writer: Writer
    cluster: str
    now: Now
    acts: bool = False
    spent: Spent = field(default_factory=Spent)

    async def treat(self, plan: Plan, patient: Patient) -> Treated:
        """Do one plan. An object that changed since it was read is left alone: it will be looked at again."""
        if plan.hold is not None or plan.remedy is None:
            return Treated(plan=plan, outcome="held", message=plan.why)
        if not self.acts:
            return Treated(plan=plan, outcome="dry_run", message=_WOULD[plan.remedy])
        try:
            stored = await self._first(patient, plan.remedy)
            if plan.remedy is Remedy.SUSPEND_RESUME:
                await self._second(_reread(stored, patient))
        except MemoryFullError as exc:
            held = msgspec.structs.replace(plan, remedy=None, hold=Hold.FULL, why=str(exc))
            return Treated(plan=held, outcome="held", message=str(exc))
        except (ConflictError, NotFoundError) as exc:
            return Treated(plan=plan, outcome="changed", message=exc.message)
        except FluxtrailError as exc:
            log.warning("treatment failed", cluster=self.cluster, object=str(patient.key), error=str(exc))
            return Treated(plan=plan, outcome="failed", message=str(exc))
        await self._tell(patient, plan)
        return Treated(plan=plan, outcome="acted", message=_DONE[plan.remedy])

    async def finish(self, patient: Patient) -> bool:
        """Resume what was suspended by an act that was cut short. Returns whether that was done now."""
        if not self.acts or half_done(patient, manager=FIELD_MANAGER) is None:
            return False
        try:
            await self._second(patient)
        except FluxtrailError as exc:
            log.warning("resuming failed", cluster=self.cluster, object=str(patient.key), error=str(exc))
            return False
        return True

    async def _first(self, patient: Patient, remedy: Remedy) -> dict[str, Any]:
        now = self.now()
        patch = first_patch(patient, remedy, now)
        self._audit(remedy.value, patient.key)
        # Noted before it is sent: where no answer comes, it may have been done all the same.
        self._remember(patient, now)
        return await self._write(patient, patch)

    async def _second(self, patient: Patient) -> None:
        """Resume it. Its controller may write its status in between: then it is read again."""
        for left in reversed(range(MOST_TRIES)):
            patch = second_patch(patient, self.now())
            self._audit("resume", patient.key)
            try:
                await self._write(patient, patch)
                return
            except ConflictError:
                found = await self.writer.read(patient.key) if left else None
                if found is None:
                    raise
                patient = _reread(found, patient)
                if half_done(patient, manager=FIELD_MANAGER) is None:
                    return  # somebody else has finished it

    async def _write(self, patient: Patient, patch: dict[str, Any]) -> dict[str, Any]:
        return await self.writer.merge_patch(
            patient.key, patch, resource_version=patient.resource_version, uid=patient.uid
        )

    def _remember(self, patient: Patient, now: datetime) -> None:
        if len(self.spent.keys) >= MAX_REMEMBERED:
            self.spent.keys.clear()  # the objects remember it too
        self.spent.keys.add(f"{patient.uid} {treatment_key(patient)}")
        self.spent.acts.append((patient.key.namespace, now.replace(microsecond=0)))
        del self.spent.acts[:-MAX_REMEMBERED]

    def _audit(self, what: str, key: ObjectKey) -> None:
        audit_log.info(AUDITED, what=f"doctor {what}", where=f"{self.cluster} {key}")

    async def _tell(self, patient: Patient, plan: Plan) -> None:
        """Say it as an Event of the object. Where that is refused, the audit line has said it."""
        if plan.remedy is None:
            return
        event = Occurrence(
            key=patient.key,
            api_version=patient.api_version,
            uid=patient.uid,
            reason="DoctorTreated",
            action=plan.remedy.value,
            message=f"{_DONE[plan.remedy]}: {plan.finding.cause}",
            at=self.now(),
        )
        try:
            await self.writer.create_event(event, component=COMPONENT)
        except FluxtrailError as exc:
            log.warning("event not written", cluster=self.cluster, object=str(patient.key), error=str(exc))


def _reread(stored: dict[str, Any], before: Patient) -> Patient:
    """Return the object as the write left it.

    Raises:
        WireError: the server's answer is none of the kind.
    """
    group, _, version = before.api_version.rpartition("/")
    try:
        wire = msgspec.json.decode(msgspec.json.encode(stored), type=WireTarget)
    except (*UNREADABLE, msgspec.MsgspecError) as exc:
        raise WireError(f"unexpected answer to a write: {str(exc)[:200]}", subject=str(before.key)) from exc
    return project_target(wire, group=group, kind=before.key.kind, version=version)

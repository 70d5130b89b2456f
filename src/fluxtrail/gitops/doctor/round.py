"""One round through a cluster: look at everything, judge, and do what is allowed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import msgspec
import structlog

from fluxtrail.clusters.connection import Connection
from fluxtrail.gitops.doctor.abilities import find_abilities
from fluxtrail.gitops.doctor.listing import Look, look_at
from fluxtrail.gitops.doctor.treatment import FIELD_MANAGER, Treated, Treater
from fluxtrail.model.doctor.budgets import Limits
from fluxtrail.model.doctor.drifting import Corrections
from fluxtrail.model.doctor.examining import examine
from fluxtrail.model.doctor.findings import Finding
from fluxtrail.model.doctor.policy import Abilities, Policy
from fluxtrail.model.doctor.treating import left_suspended, plan
from fluxtrail.model.doctor.ward import Ward

MOST_ACTS = 20
"""In one round: what is left has the next one."""
ABILITIES_ROUNDS = 60

log = structlog.get_logger(__name__)


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What one round found and did."""

    cluster: str
    at: datetime
    findings: tuple[Finding, ...] = ()
    treated: tuple[Treated, ...] = ()
    problems: tuple[str, ...] = ()
    """What could not be read."""
    looked_at: int = 0
    seen: frozenset[str] = frozenset()
    """The kinds that could be read, in one place at least."""


@dataclass(slots=True, kw_only=True)
class Rounds:
    """Goes through one cluster again and again; remembers what only several looks can tell.

    Args:
        namespaces: looked at; none means all.
        fallback: looked at where not all may be.
        treated: namespaces in which anything may be done; none means all.
        context: what commands have to name.
    """

    connection: Connection
    treater: Treater
    policy: Policy
    limits: Limits
    namespaces: Sequence[str] = ()
    fallback: Sequence[str] = ()
    treated: Sequence[str] = ()
    reads_locks: bool = False
    context: str = ""
    _corrections: Corrections = field(default_factory=Corrections)
    _abilities: Abilities | None = None
    _rounds: int = 0

    async def go(self, *, only: Callable[[Finding], bool] = lambda _: True) -> Report:
        """Look, judge, act.

        Args:
            only: of what somebody asked for; nothing else is told, or treated.

        Raises:
            UpstreamError: the server could not be asked.
        """
        look = await look_at(
            self.connection, namespaces=self.namespaces, fallback=self.fallback, reads_locks=self.reads_locks
        )
        now = self.treater.now()
        ward = Ward(
            patients=look.patients,
            now=now,
            policy=self.policy,
            abilities=await self._find_abilities(look),
            listed=frozenset(look.listed),
            locks=look.locks,
            context=self.context,
        )
        self._corrections.note(look.patients.values(), now)
        findings = tuple(
            msgspec.structs.replace(each, cluster=self.treater.cluster)
            for each in examine(ward, self._corrections)
            if only(each)
        )
        treated = await self._treat(findings, look, now)
        return Report(
            cluster=self.treater.cluster,
            at=now,
            findings=findings,
            treated=tuple(treated),
            problems=tuple(look.problems),
            looked_at=len(look.patients),
            seen=frozenset(kind for kind, _ in look.listed),
        )

    async def _treat(self, findings: Sequence[Finding], look: Look, now: datetime) -> list[Treated]:
        for patient in left_suspended(look.patients.values(), manager=FIELD_MANAGER):
            await self.treater.finish(patient)
        plans = plan(
            findings,
            look.patients,
            limits=self.limits,
            now=now,
            spent=self.treater.spent,
            namespaces=self.treated,
        )
        treated, acts = [], 0
        for each in plans:
            if each.remedy is not None and acts >= MOST_ACTS:
                continue
            acts += each.remedy is not None
            treated.append(await self.treater.treat(each, look.patients[each.finding.key]))
        return treated

    async def _find_abilities(self, look: Look) -> Abilities:
        """Return what Flux can; it is asked again now and then, for it may be upgraded meanwhile."""
        if not look.helm_version:
            return Abilities()
        if self._abilities is None or self._rounds % ABILITIES_ROUNDS == 0:
            self._abilities = await find_abilities(self.connection, look.helm_version)
        self._rounds += 1
        return self._abilities

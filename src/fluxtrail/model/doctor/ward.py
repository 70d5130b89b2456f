"""All that was read of one cluster at one time, and what is known not to be there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from fluxtrail.model.doctor.patients import Patient
from fluxtrail.model.doctor.policy import Abilities, Policy
from fluxtrail.model.observation import ObjectKey

EVERYWHERE = ""
"""In the place of a namespace: all of them were listed."""


@dataclass(frozen=True, slots=True)
class Locked:
    """A release that Helm itself holds for pending, as the labels of its storage Secret say."""

    status: str
    """`pending-install`, `pending-upgrade`, `pending-rollback`."""
    version: str
    since: datetime | None
    secret: str
    """`<namespace>/<name>`."""


@dataclass(frozen=True, kw_only=True)
class Ward:
    patients: Mapping[ObjectKey, Patient]
    now: datetime
    policy: Policy = field(default_factory=Policy)
    abilities: Abilities = field(default_factory=Abilities)
    listed: frozenset[tuple[str, str]] = frozenset()
    """(kind, namespace) of every complete list."""
    locks: Mapping[tuple[str, str], Locked] = field(default_factory=dict)
    """By (storage namespace, release name); empty where Helm's Secrets may not be read."""
    cycles: Mapping[ObjectKey, tuple[ObjectKey, ...]] = field(default_factory=dict)
    """The whole way round, for each object on one."""
    context: str = ""
    """What commands have to name."""

    def find(self, key: ObjectKey | None) -> Patient | None:
        return self.patients.get(key) if key is not None else None

    def is_missing(self, key: ObjectKey) -> bool:
        """True if it is certain that there is no such object; what was not listed is not known."""
        if key in self.patients:
            return False
        return (key.kind, EVERYWHERE) in self.listed or (key.kind, key.namespace) in self.listed

    def age(self, moment: datetime | None) -> timedelta:
        """Return how long ago; nothing for what is not known, or lies ahead by another clock."""
        return max(self.now - moment, timedelta()) if moment is not None else timedelta()


def by_key(patients: Iterable[Patient]) -> dict[ObjectKey, Patient]:
    return {patient.key: patient for patient in patients}

"""A day of releases that flap, with a doctor that is killed at any instant: no act beyond the budget, none twice."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta

import msgspec
import pytest
from tests.model.doctor.wards import CHARTS, FLEET, condition, patient_of, release

from fluxtrail.model.doctor.acts import first_patch, second_patch
from fluxtrail.model.doctor.budgets import Freeze, Limits
from fluxtrail.model.doctor.examining import examine
from fluxtrail.model.doctor.findings import Remedy
from fluxtrail.model.doctor.memory import treatment_key
from fluxtrail.model.doctor.patients import TREATED, Patient, Suspension
from fluxtrail.model.doctor.policy import Abilities, Policy
from fluxtrail.model.doctor.treating import Spent, left_suspended, plan
from fluxtrail.model.doctor.ward import EVERYWHERE, Ward, by_key
from fluxtrail.model.flux import Condition
from fluxtrail.model.observation import ObjectKey

BEGIN = datetime(2026, 11, 22, tzinfo=UTC)
STEP = timedelta(minutes=3)
LIMITS = Limits(
    per_hour=6,
    per_namespace_per_hour=2,
    freezes=(Freeze(zone=UTC, zone_name="UTC", start=time(12), until=time(14)),),
)
MANAGER = "fluxtrail-doctor"
replace = msgspec.structs.replace


@dataclass
class Day:
    """The cluster: objects outlive every doctor. `acts` is the truth of what reached it."""

    dice: random.Random
    patients: dict[ObjectKey, Patient]
    now: datetime = BEGIN
    acts: list[tuple[datetime, Patient, Remedy]] = field(default_factory=list)
    resumes: int = 0

    def flap(self) -> None:
        for key, patient in self.patients.items():
            if patient.key.kind == "HelmRelease" and not patient.is_suspended and self.dice.random() < 0.3:
                self.patients[key] = self._changed(patient)

    def _changed(self, patient: Patient) -> Patient:
        """Something happens to a release: a commit, a chart that goes back and forth, an attempt that ends."""
        match self.dice.randrange(4):
            case 0:
                generation = patient.generation + 1
                return replace(
                    patient, generation=generation, observed_generation=generation, conditions=_given_up(self.now)
                )
            case 1:
                revision = self.dice.choice(("1.0.0", "1.0.1"))
                return replace(patient, attempted=revision, conditions=_given_up(self.now))
            case 2:
                return replace(patient, conditions=(Condition("Ready", "True", "UpgradeSucceeded", "", self.now, 0),))
            case _:
                return replace(patient, conditions=_given_up(self.now))

    def write(self, patient: Patient, patch: dict[str, dict[str, dict[str, str]]]) -> Patient:
        assert self.patients[patient.key].resource_version == patient.resource_version
        spec = patch.get("spec")
        written = replace(
            patient,
            treated=patch["metadata"]["annotations"][TREATED],
            resource_version=str(int(patient.resource_version) + 1),
        )
        if spec is not None:
            written = replace(
                written,
                is_suspended=bool(spec["suspend"]),
                suspension=Suspension(MANAGER, self.now),
                generation=patient.generation + 1,
                observed_generation=patient.generation + 1,
            )
        self.patients[patient.key] = written
        return written


def _given_up(at: datetime) -> tuple[Condition, ...]:
    return (
        Condition("Ready", "False", "UpgradeFailed", "upgrade retries exhausted", at, 0),
        Condition("Stalled", "True", "RetriesExceeded", "Failed to upgrade after 1 attempt(s)", at, 0),
    )


def _world(dice: random.Random) -> Day:
    objects = []
    for number in range(20):
        spec: dict[str, object] = {"chartRef": {"kind": "OCIRepository", "name": "charts", "namespace": "apps"}}
        if number % 7 == 6:
            spec["dependsOn"] = [{"name": "gone"}]
        obj = release(f"r{number}", condition("Ready", "True", "UpgradeSucceeded"), spec=spec)
        obj["metadata"] |= {"namespace": f"team-{number % 5}", "managedFields": []}
        objects.append(patient_of(obj, version="v2beta1" if number % 4 == 0 else "v2"))
    return Day(dice, by_key([*objects, patient_of(FLEET), patient_of(CHARTS)]))


def _doctor(day: Day) -> Iterator[bool]:
    """One process, as the real one works: it may be killed wherever it yields. It yields True after each round."""
    spent = Spent()
    while True:
        for patient in left_suspended(day.patients.values(), manager=MANAGER):
            day.write(patient, second_patch(patient, day.now))
            day.resumes += 1
            yield False
        ward = Ward(
            patients=dict(day.patients),
            now=day.now,
            policy=Policy(),
            abilities=Abilities(),
            listed=frozenset((kind, EVERYWHERE) for kind in ("HelmRelease", "OCIRepository")),
        )
        for each in plan(examine(ward), ward.patients, limits=LIMITS, now=day.now, spent=spent):
            if each.remedy is None:
                continue
            yield False
            patient = ward.patients[each.finding.key]
            spent.keys.add(f"{patient.uid} {treatment_key(patient)}")
            spent.acts.append((patient.key.namespace, day.now.replace(microsecond=0)))
            written = day.write(patient, first_patch(patient, each.remedy, day.now))
            day.acts.append((day.now, patient, each.remedy))
            yield False
            if each.remedy is Remedy.SUSPEND_RESUME:
                day.write(written, second_patch(written, day.now))
                day.resumes += 1
                yield False
        yield True


def _live(day: Day) -> None:
    """Let a day pass: in each step something happens, and a doctor goes round, killed amid it every now and then."""
    doctor = _doctor(day)
    while day.now < BEGIN + timedelta(days=1):
        day.flap()
        while not next(doctor):
            if day.dice.random() < 0.1:
                doctor = _doctor(day)
        day.now += STEP


@pytest.mark.parametrize("seed", range(2))
def test_a_day_of_flapping_stays_within_the_budget_and_treats_no_state_twice(seed: int) -> None:
    day = _world(random.Random(seed))
    _live(day)
    keys = Counter((patient.uid, treatment_key(patient)) for _, patient, _ in day.acts)
    assert len(day.acts) > 80
    assert set(keys.values()) == {1}
    for index, (at, _, _) in enumerate(day.acts):
        hour = [act for act in day.acts[: index + 1] if at - act[0] < timedelta(hours=1)]
        assert len(hour) <= LIMITS.per_hour
        assert max(Counter(patient.key.namespace for _, patient, _ in hour).values()) <= LIMITS.per_namespace_per_hour
    assert not any(LIMITS.frozen_by(at) for at, _, _ in day.acts)
    assert not any(patient.is_suspended or patient.depends_on for _, patient, _ in day.acts)
    assert {remedy for _, _, remedy in day.acts} == {Remedy.RESET, Remedy.SUSPEND_RESUME}
    halves = [act for act in day.acts if act[2] is Remedy.SUSPEND_RESUME]
    still_open = len(left_suspended(day.patients.values(), manager=MANAGER))
    assert day.resumes + still_open == len(halves)

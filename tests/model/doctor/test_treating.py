from __future__ import annotations

from datetime import UTC, timedelta

import pytest
from tests.model.doctor.wards import CHARTS, NOW, Object, condition, release, ward_of

from fluxtrail.model.doctor.budgets import Freeze, Limits
from fluxtrail.model.doctor.examining import examine
from fluxtrail.model.doctor.findings import Remedy
from fluxtrail.model.doctor.memory import treatment_key
from fluxtrail.model.doctor.patients import TREATED
from fluxtrail.model.doctor.treating import Hold, Plan, Spent, plan

GIVEN_UP = (condition("Ready", "False", "UpgradeFailed", "x"), condition("Stalled", "True", "RetriesExceeded", "x"))
STATUS = {"lastAttemptedRevision": "1.2.0", "lastAttemptedConfigDigest": "sha256:c"}


def exhausted(name: str = "api", namespace: str = "apps", **metadata: object) -> Object:
    spec = {"chartRef": {"kind": "OCIRepository", "name": "charts", "namespace": "apps"}}
    return release(name, *GIVEN_UP, spec=spec, status=STATUS, metadata={"namespace": namespace, **metadata})


def planned(
    *objects: Object, limits: Limits | None = None, spent: Spent | None = None, namespaces: tuple[str, ...] = ()
) -> list[Plan]:
    ward = ward_of(*objects, CHARTS)
    return plan(examine(ward), ward.patients, limits=limits or Limits(), now=NOW, spent=spent, namespaces=namespaces)


def test_a_release_that_was_given_up_is_reset() -> None:
    (found,) = planned(exhausted())
    assert (found.remedy, found.hold) == (Remedy.RESET, None)


def memory(key: str, minutes: float = 300, generation: int = 1) -> str:
    at = (NOW - timedelta(minutes=minutes)).isoformat()
    return f'[{{"key":"{key}","at":"{at}","remedy":"reset","generation":{generation}}}]'


def key() -> str:
    ward = ward_of(exhausted())
    return treatment_key(next(iter(ward.patients.values())))


@pytest.mark.parametrize(
    ("obj", "hold"),
    [
        (exhausted(annotations={TREATED: memory(key())}), Hold.TREATED),
        (exhausted(annotations={TREATED: memory("another state")}), None),
        (exhausted(annotations={TREATED: "mine now"}), Hold.UNREADABLE),
        (release("api", condition("Ready", "False", "ValuesError", "x")), Hold.NO_REMEDY),
        (release("api", *GIVEN_UP, spec={"dependsOn": [{"name": "gone"}]}), Hold.WOULD_FAIL),
        (release("api", *GIVEN_UP, spec={"chartRef": {"kind": "OCIRepository", "name": "gone"}}), Hold.WOULD_FAIL),
    ],
    ids=["treated", "other-state", "unreadable", "no-remedy", "dependency-missing", "source-missing"],
)
def test_what_is_held_back_says_why(obj: Object, hold: Hold | None) -> None:
    (found,) = planned(obj)
    assert found.hold is hold
    assert bool(found.why) is bool(hold)
    assert (found.remedy is None) is bool(hold)


def test_a_state_that_this_process_treated_is_not_treated_again_even_where_the_object_forgot() -> None:
    (found,) = planned(exhausted(), spent=Spent(keys={f"uid-api {key()}"}))
    assert found.hold is Hold.TREATED


def test_suspended_and_deleted_objects_are_never_planned() -> None:
    suspended = release("api", *GIVEN_UP, spec={"suspend": True})
    deleting = release("db", *GIVEN_UP, metadata={"deletionTimestamp": "2026-11-22T10:00:00Z"})
    assert all(each.remedy is None for each in planned(suspended, deleting))


def test_the_budget_goes_to_the_first_ones_of_each_namespace() -> None:
    objects = [exhausted(f"r{n}", namespace) for namespace in ("a", "b") for n in range(3)]
    found = planned(*objects, limits=Limits(per_hour=3, per_namespace_per_hour=2))
    assert [(each.finding.namespace, each.finding.name, each.hold) for each in found] == [
        ("a", "r0", None),
        ("a", "r1", None),
        ("a", "r2", Hold.NAMESPACE_BUDGET),
        ("b", "r0", None),
        ("b", "r1", Hold.BUDGET),
        ("b", "r2", Hold.BUDGET),
    ]


def test_what_others_remember_is_off_the_budget_and_what_we_did_counts_once() -> None:
    at = (NOW - timedelta(minutes=10)).replace(microsecond=0)
    treated = exhausted("other", annotations={TREATED: memory("k", minutes=10)})
    spent = Spent(acts=[("apps", at), ("gone", at)])
    found = planned(treated, exhausted(), limits=Limits(per_hour=3, per_namespace_per_hour=2), spent=spent)
    assert [each.hold for each in found] == [None, Hold.BUDGET]


def test_nothing_is_done_in_a_freeze() -> None:
    (found,) = planned(exhausted(), limits=Limits(freezes=(Freeze(zone=UTC, zone_name="UTC"),)))
    assert found.hold is Hold.FROZEN
    assert found.why == "nothing is done now: every day 00:00-00:00 UTC"


def test_nothing_is_done_outside_of_the_stated_namespaces() -> None:
    found = planned(exhausted(), exhausted("b", "other"), namespaces=("other",))
    assert [(each.finding.namespace, each.hold) for each in found] == [("apps", Hold.OUTSIDE), ("other", None)]

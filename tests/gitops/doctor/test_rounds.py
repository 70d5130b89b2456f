from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from tests.gitops.doctor.clinic import HELM, Clinic
from tests.model.doctor.wards import condition, kustomization, release

from fluxtrail.gitops.doctor.listing import look_at
from fluxtrail.model.doctor.acts import first_patch
from fluxtrail.model.doctor.budgets import Limits
from fluxtrail.model.doctor.findings import Code, Remedy
from fluxtrail.model.doctor.patients import TREATED
from fluxtrail.model.doctor.treating import Hold

RESET_AT = "reconcile.fluxcd.io/resetAt"


async def test_a_dry_run_writes_nothing(clinic: Clinic) -> None:
    before = clinic.put_exhausted()
    report = await clinic.go(acts=False)
    assert [each.code for each in report.findings] == [Code.RETRIES_EXHAUSTED]
    assert [(each.outcome, each.message) for each in report.treated] == [
        ("dry_run", "would reset the count of failures")
    ]
    assert clinic.read() == before
    assert clinic.events() == []


async def test_an_exhausted_release_is_reset_once_and_an_event_says_so(clinic: Clinic) -> None:
    clinic.put_exhausted()
    report = await clinic.go()
    assert [each.outcome for each in report.treated] == ["acted"]
    annotations = clinic.read()["metadata"]["annotations"]
    assert annotations[RESET_AT] == annotations["reconcile.fluxcd.io/requestedAt"]
    assert [each["remedy"] for each in json.loads(annotations[TREATED])] == ["reset"]
    (event,) = clinic.events()
    assert (event["reason"], event["involvedObject"]["name"], event["source"]) == (
        "DoctorTreated",
        "api",
        {"component": "fluxtrail-doctor"},
    )
    again = await clinic.go()
    assert [(each.outcome, each.plan.hold) for each in again.treated] == [("held", Hold.TREATED)]
    assert clinic.read()["metadata"]["annotations"] == annotations


async def test_an_object_that_changed_since_it_was_read_is_left_alone(clinic: Clinic) -> None:
    clinic.put_exhausted()
    rounds = clinic.rounds(acts=False)
    report = await rounds.go()
    look_before = report.treated[0].plan
    look = await look_at(clinic.connection)
    clinic.server.store.patch(HELM, "api", "apps", {"metadata": {"labels": {"by": "somebody"}}})
    rounds.treater.acts = True
    treated = await rounds.treater.treat(look_before, look.patients[look_before.finding.key])
    assert treated.outcome == "changed"
    assert "annotations" not in clinic.read()["metadata"]


async def test_the_budget_is_shared_by_processes_that_know_nothing_of_each_other(clinic: Clinic) -> None:
    for name in "abcd":
        clinic.put_exhausted(name)
    limits = Limits(per_hour=3, per_namespace_per_hour=1)
    first = await clinic.go(limits=limits)
    assert [each.outcome for each in first.treated] == ["acted", "held", "held", "held"]
    second = await clinic.go(limits=limits)
    assert {each.plan.hold for each in second.treated} == {Hold.TREATED, Hold.NAMESPACE_BUDGET}
    clinic.now += timedelta(hours=1, seconds=1)
    third = await clinic.go(limits=limits)
    assert [each.outcome for each in third.treated] == ["held", "acted", "held", "held"]


@pytest.mark.parametrize("has_stated", [False, True])
async def test_old_flux_is_suspended_and_resumed_and_then_left_alone(clinic: Clinic, has_stated: bool) -> None:
    clinic.server.store.set_versions(HELM, "v2beta1")
    spec: dict[str, Any] = {"suspend": False} if has_stated else {}
    clinic.put_exhausted(**spec)
    report = await clinic.go()
    assert [each.outcome for each in report.treated] == ["acted"]
    stored = clinic.read()
    assert stored["spec"].get("suspend") is (False if has_stated else None)
    assert stored["metadata"]["generation"] == 3
    assert RESET_AT not in stored["metadata"]["annotations"]
    clinic.server.store.patch_status(HELM, "api", "apps", {"observedGeneration": 3})
    again = await clinic.go()
    assert [each.plan.hold for each in again.treated] == [Hold.TREATED]


async def test_what_was_suspended_before_a_crash_is_resumed_after_it(clinic: Clinic) -> None:
    clinic.server.store.set_versions(HELM, "v2beta1")
    clinic.put_exhausted()
    look = await look_at(clinic.connection)
    (patient,) = [each for each in look.patients.values() if each.key.kind == "HelmRelease"]
    first = first_patch(patient, Remedy.SUSPEND_RESUME, clinic.now)
    await clinic.rounds().treater.writer.merge_patch(patient.key, first)
    assert clinic.read()["spec"]["suspend"] is True
    dry = await clinic.go(acts=False)
    assert dry.treated == ()
    assert clinic.read()["spec"]["suspend"] is True
    report = await clinic.go()
    assert report.treated == ()
    assert "suspend" not in clinic.read()["spec"]
    entries = json.loads(clinic.read()["metadata"]["annotations"][TREATED])
    assert [(each["generation"], each.get("follows", False)) for each in entries] == [(1, False), (3, True)]


async def test_what_somebody_else_suspended_stays_suspended(clinic: Clinic) -> None:
    clinic.put_exhausted()
    clinic.server.store.patch(HELM, "api", "apps", {"spec": {"suspend": True}}, manager="flux")
    report = await clinic.go()
    assert report.treated == ()
    assert clinic.read()["spec"]["suspend"] is True


async def test_a_kind_that_may_not_be_listed_is_told_and_the_others_are_examined(clinic: Clinic) -> None:
    clinic.put_exhausted()
    clinic.server.access.forbid("", resource="gitrepositories")
    report = await clinic.go()
    assert report.problems == ("GitRepository: not allowed to list it in all namespaces",)
    assert len(report.findings) == 1


async def test_where_not_everything_may_be_listed_the_own_namespace_is(clinic: Clinic) -> None:
    clinic.put_exhausted()
    clinic.server.access.forbid("")
    report = await clinic.go(fallback=("apps",))
    assert report.problems == ()
    assert [each.outcome for each in report.treated] == ["acted"]


async def test_a_kind_that_is_not_installed_has_no_objects(clinic: Clinic) -> None:
    spec = {"dependsOn": [], "sourceRef": {"kind": "Bucket", "name": "gone"}}
    clinic.put(kustomization("apps", condition("Ready", "False", "ArtifactFailed"), spec=spec))
    clinic.server.store.uninstall("buckets")
    report = await clinic.go()
    assert [each.code for each in report.findings] == [Code.SOURCE_MISSING]


async def test_helms_locks_are_read_by_their_labels_only_where_that_is_asked_for(clinic: Clinic) -> None:
    clinic.put(
        release(
            "api",
            condition("Ready", "True", "UpgradeSucceeded"),
            spec={"chartRef": {"kind": "OCIRepository", "name": "charts"}},
        )
    )
    labels = {"owner": "helm", "status": "pending-upgrade", "name": "api", "version": "4", "modifiedAt": "1700000000"}
    secret = {
        "metadata": {"name": "sh.helm.release.v1.api.v4", "namespace": "apps", "labels": labels},
        "data": {"release": "c2VjcmV0"},
    }
    clinic.server.store.create("secrets", secret)
    assert (await clinic.go()).findings == ()
    report = await clinic.go(reads_locks=True)
    assert [each.code for each in report.findings] == [Code.LOCKED]
    assert report.findings[0].evidence[0].value == "pending-upgrade"


async def test_many_objects_come_page_by_page(clinic: Clinic) -> None:
    for number in range(450):
        clinic.put(release(f"r{number:03}", condition("Ready", "True", "UpgradeSucceeded")))
    report = await clinic.go()
    assert report.looked_at == 451


@pytest.mark.parametrize("status", [403, 500])
async def test_a_refused_write_is_told_and_ends_nothing(clinic: Clinic, status: int) -> None:
    for name in "ab":
        clinic.put_exhausted(name)
    clinic.server.faults.fail_requests(status, "helmreleases", verbs=("patch",))
    report = await clinic.go()
    assert [each.outcome for each in report.treated] == ["failed", "acted"]


async def test_an_event_that_is_refused_changes_nothing_about_the_act(clinic: Clinic) -> None:
    clinic.put_exhausted()
    clinic.server.faults.fail_requests(403, "events", verbs=("create",))
    report = await clinic.go()
    assert [each.outcome for each in report.treated] == ["acted"]
    assert clinic.events() == []


async def test_an_act_whose_answer_is_lost_is_not_done_again(clinic: Clinic) -> None:
    clinic.put_exhausted()
    clinic.server.faults.drop_requests("helmreleases", verbs=("patch",))
    rounds = clinic.rounds()
    assert [each.outcome for each in (await rounds.go()).treated] == ["failed"]
    assert [each.plan.hold for each in (await rounds.go()).treated] == [Hold.TREATED]


async def test_a_list_that_expires_amid_its_pages_is_begun_again(clinic: Clinic) -> None:
    clinic.put_exhausted()
    clinic.server.faults.expire_lists("helmreleases", count=1)
    assert len((await clinic.go()).findings) == 1

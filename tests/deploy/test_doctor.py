"""The rights of deploy/components/doctor against what the doctor asks an API server that grants nothing else."""

from __future__ import annotations

import pytest
from tests.deploy.documents import DEPLOY, load
from tests.deploy.test_permissions import Rules, _not_yet_simulated
from tests.gitops.doctor.clinic import HELM, open_clinic
from tests.model.doctor.wards import READY, condition, kustomization, source

from fluxtrail.gitops.doctor.listing import look_at
from fluxtrail.model.doctor.acts import first_patch
from fluxtrail.model.doctor.findings import Remedy

GRANTED = load(DEPLOY / "components" / "doctor" / "treat.yaml")


async def test_the_doctor_is_granted_what_it_asks_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    rules = Rules(GRANTED)
    async with open_clinic() as clinic:
        for definition in _not_yet_simulated():
            clinic.server.store.install(definition)
        clinic.put(source("GitRepository", "fleet", READY))
        clinic.put_exhausted()
        hanging = kustomization("apps", condition("Ready", "Unknown", "Progressing", since="2026-01-01T00:00:00Z"))
        clinic.put(hanging)
        monkeypatch.setattr(clinic.server.access, "authorize", rules.authorize)
        dry = await clinic.go(acts=False)
        assert {verb for _, _, verb in rules.used} == {"list"}
        clinic.now = max(clinic.now, dry.at)
        report = await clinic.go()
        assert "reset" in {each.plan.remedy for each in report.treated if each.outcome == "acted"}

        clinic.server.store.set_versions(HELM, "v2beta1")
        clinic.put_exhausted("old")
        look = await look_at(clinic.connection)
        (old,) = [each for each in look.patients.values() if each.key.name == "old"]
        treater = clinic.rounds().treater
        await treater.writer.merge_patch(old.key, first_patch(old, Remedy.SUSPEND_RESUME, clinic.now))
        half = next(p for p in (await look_at(clinic.connection)).patients.values() if p.key.name == "old")
        clinic.server.store.patch_status(HELM, "old", "apps", {"failures": 1})
        assert await treater.finish(half)
        (apps,) = [each for each in look.patients.values() if each.key.kind == "Kustomization"]
        await treater.writer.merge_patch(apps.key, first_patch(apps, Remedy.RECONCILE, clinic.now))
    assert rules.refused == []
    assert rules.used == rules.granted

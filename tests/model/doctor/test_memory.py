from __future__ import annotations

import json
from datetime import timedelta

import msgspec
import pytest
from tests.model.doctor.wards import NOW, Object, ago, condition, patient_of, release

from fluxtrail.model.doctor.acts import first_patch, second_patch
from fluxtrail.model.doctor.findings import Remedy
from fluxtrail.model.doctor.memory import (
    MAX_ENTRIES,
    MemoryFullError,
    Treatment,
    read_treatments,
    treatment_key,
    write_treatments,
)
from fluxtrail.model.doctor.patients import TREATED, Patient
from fluxtrail.model.doctor.treating import half_done
from fluxtrail.model.errors import WireError

STATUS = {"lastAttemptedRevision": "1.2.0", "lastAttemptedConfigDigest": "sha256:c"}


def patient(*, generation: int = 4, annotations: Object | None = None, **status: object) -> Patient:
    metadata = {"generation": generation, "annotations": annotations}
    return patient_of(
        release("api", condition("Ready", "False", "UpgradeFailed"), status=STATUS | status, metadata=metadata)
    )


def test_a_key_is_of_generation_revision_and_values_and_of_nothing_else() -> None:
    key = treatment_key(patient())
    assert key == treatment_key(patient(failures=9))
    assert key != treatment_key(patient(generation=5))
    assert key != treatment_key(patient(lastAttemptedRevision="1.2.1"))
    assert key != treatment_key(patient(lastAttemptedConfigDigest="sha256:d"))


def test_the_patch_that_resets_is_the_one_that_remembers() -> None:
    patch = first_patch(patient(), Remedy.RESET, NOW)
    annotations = patch["metadata"]["annotations"]
    assert "spec" not in patch
    assert annotations["reconcile.fluxcd.io/resetAt"] == annotations["reconcile.fluxcd.io/requestedAt"]
    assert json.loads(annotations[TREATED]) == [
        {"key": treatment_key(patient()), "at": "2026-11-22T12:00:00Z", "remedy": "reset", "generation": 4}
    ]


@pytest.mark.parametrize(
    ("remedy", "requests"), [(Remedy.FORCE, {"requestedAt", "forceAt"}), (Remedy.RECONCILE, {"requestedAt"})]
)
def test_other_requests_are_annotations_too(remedy: Remedy, requests: set[str]) -> None:
    annotations = first_patch(patient(), remedy, NOW)["metadata"]["annotations"]
    assert set(annotations) - {TREATED} == {f"reconcile.fluxcd.io/{name}" for name in requests}


@pytest.mark.parametrize("has_stated", [False, True])
def test_suspending_and_resuming_leaves_the_field_as_it_was(has_stated: bool) -> None:
    obj = release("api", spec={"suspend": False} if has_stated else {}, status=STATUS, metadata={"generation": 4})
    first = first_patch(patient_of(obj), Remedy.SUSPEND_RESUME, NOW)
    assert first["spec"] == {"suspend": True}
    owner = {"manager": "fluxtrail-doctor", "time": ago(), "fieldsV1": {"f:spec": {"f:suspend": {}}}}
    obj["spec"] |= first["spec"]
    obj["metadata"] |= {"generation": 5, "managedFields": [owner], **first["metadata"]}
    between = patient_of(obj)
    assert half_done(between, manager="fluxtrail-doctor")
    assert half_done(between, manager="flux") is None
    second = second_patch(between, NOW)
    assert second["spec"] == {"suspend": False if has_stated else None}
    obj["spec"]["suspend"] = False
    obj["metadata"] |= {"generation": 6, **second["metadata"]}
    after = patient_of(obj)
    entries = read_treatments(after.treated)
    assert {each.key for each in entries} == {treatment_key(after), treatment_key(after, generation=4)}
    assert [each.follows for each in entries] == [False, True]
    assert half_done(after, manager="fluxtrail-doctor") is None


@pytest.mark.parametrize(
    "text",
    [
        "no json",
        "{}",
        "[1]",
        '[{"key": "a"}]',
        '[{"key":"a","at":"2026-11-22T12:00:00","remedy":"reset"}]',
        '[{"key":"a","at":"2026-11-22T12:00:00Z","remedy":"burn"}]',
        "[" * 5000,
        "x" * 20_000,
    ],
)
def test_a_memory_that_somebody_else_wrote_is_not_guessed_at(text: str) -> None:
    with pytest.raises(WireError, match="treated"):
        read_treatments(text)


def entry(index: int, *, generation: int = 4, minutes: float = 0) -> Treatment:
    return Treatment(
        key=f"{index:016}", at=NOW - timedelta(minutes=minutes), remedy=Remedy.RESET, generation=generation
    )


def test_entries_that_can_matter_no_more_are_left_out() -> None:
    entries = [entry(1, generation=3, minutes=61), entry(2, generation=3, minutes=59), entry(3, minutes=6000), entry(4)]
    kept = read_treatments(write_treatments(entries, generation=4, now=NOW))
    assert [each.key[-1] for each in kept] == ["3", "2", "4"]


def test_an_object_that_cannot_remember_more_is_not_treated() -> None:
    entries = [entry(index) for index in range(MAX_ENTRIES)]
    memory = write_treatments(entries, generation=4, now=NOW)
    assert len(memory) < 16 * 1024
    with pytest.raises(MemoryFullError):
        first_patch(patient(annotations={TREATED: memory}), Remedy.RESET, NOW)


def test_an_entry_is_read_as_it_was_written() -> None:
    entries = (
        msgspec.structs.replace(entry(1), is_half_done=True, has_stated=True),
        msgspec.structs.replace(entry(2), follows=True),
    )
    assert read_treatments(write_treatments(entries, generation=0, now=NOW)) == entries
    assert read_treatments(None) == read_treatments("") == ()

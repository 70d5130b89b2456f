"""Ids are public: others compute them too, so their values never change."""

from __future__ import annotations

import hashlib

import pytest

from fluxtrail.reports.telemetry.ids import root_span_id, span_id, trace_id

SHA = "7fffb7d9" + "0" * 32
TRACE = "c05c26017977d46c3627b3ca670df4e8"
ROOT = "1b652c8cf9cd98fc"
APPLIED = "37be7a72f4db6fa2"


def test_the_trace_of_a_commit_has_a_fixed_value() -> None:
    text = f"fluxtrail/trace\ngithub.com/acme/shop\n{SHA}"
    assert trace_id("github.com/acme/shop", SHA).hex() == hashlib.sha256(text.encode()).hexdigest()[:32] == TRACE


def test_spans_have_fixed_values() -> None:
    trace = bytes.fromhex(TRACE)
    target = "uid/kustomize.toolkit.fluxcd.io/Kustomization/flux-system/apps"
    assert root_span_id(trace).hex() == ROOT
    assert span_id(trace, target=target, sync=5, stage="applied").hex() == APPLIED


def test_the_letter_case_of_a_sha_is_no_difference() -> None:
    assert trace_id("github.com/acme/shop", SHA.upper()) == trace_id("github.com/acme/shop", SHA)


@pytest.mark.parametrize(
    "other",
    [
        {"target": "a/b"},
        {"sync": 6},
        {"sync": None},
        {"stage": "healthy"},
    ],
    ids=["target", "sync", "no sync", "stage"],
)
def test_every_part_makes_another_span(other: dict[str, object]) -> None:
    parts = {"target": "a/c", "sync": 5, "stage": "applied"}
    trace = trace_id("github.com/acme/shop", SHA)
    assert span_id(trace, **parts) != span_id(trace, **(parts | other))  # type: ignore[arg-type]


def test_ids_are_never_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    class Zeros:
        def digest(self) -> bytes:
            return bytes(32)

    monkeypatch.setattr(hashlib, "sha256", lambda _: Zeros())
    assert any(trace_id("github.com/acme/shop", SHA))
    assert any(root_span_id(bytes(16)))

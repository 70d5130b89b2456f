"""Small words of the model that people read."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from fluxtrail.model.commit import CommitFacts
from fluxtrail.model.observation import ObjectKey
from fluxtrail.model.repository import parse_repository
from fluxtrail.model.views import TargetName

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_objects_are_named_by_kind_namespace_and_name() -> None:
    assert str(ObjectKey("kustomize.toolkit.fluxcd.io", "Kustomization", "flux-system", "apps")) == (
        "Kustomization/flux-system/apps"
    )
    assert str(TargetName(kind="Kustomization", namespace="flux-system", name="apps")) == (
        "Kustomization/flux-system/apps"
    )


@pytest.mark.parametrize(("parents", "expected"), [((), False), (("a",), False), (("a", "b"), True)])
def test_a_merge_has_several_parents(parents: tuple[str, ...], expected: bool) -> None:
    facts = CommitFacts(sha="c", parents=parents, author="Ada", committed_at=NOON, authored_at=NOON, subject="s")
    assert facts.is_merge is expected


def test_an_azure_address_without_git_in_it() -> None:
    assert parse_repository("https://dev.azure.com/acme/shop").canonical == "dev.azure.com/acme/shop"

"""The commit of a Flux event: gitops-connector's cases, and every other kind."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluxtrail.model.notice_commits import commit_of, metadata_value, parse_revision_commit
from fluxtrail.model.notices import FluxNotice

SHA = "40d6b21b888db0ca794876cf7bdd399e3da2137e"
OTHER = "b2" * 20
DIGEST = "c3" * 32
KUSTOMIZE, SOURCE = "kustomize.toolkit.fluxcd.io/revision", "source.toolkit.fluxcd.io/revision"
STORED = (
    f"stored artifact with revision 'latest@sha256:{DIGEST}' from 'oci://r/m', origin source 'https://g/m', "
    f"origin revision 'main@sha1:{SHA}'"
)
GROUPS = {
    "Kustomization": "kustomize.toolkit.fluxcd.io",
    "HelmRelease": "helm.toolkit.fluxcd.io",
    "ImageUpdateAutomation": "image.toolkit.fluxcd.io",
}


def event(kind: str, metadata: dict[str, str], message: str = "") -> FluxNotice:
    api_version = f"{GROUPS.get(kind, 'source.toolkit.fluxcd.io')}/v1"
    return FluxNotice(kind=kind, namespace="ns", name="n", api_version=api_version, metadata=metadata, message=message)


@pytest.mark.parametrize(
    ("kind", "metadata"),
    [
        ("GitRepository", {SOURCE: f"main@sha1:{SHA}"}),
        ("GitRepository", {SOURCE: f"main/{SHA}"}),
        ("GitRepository", {"revision": f"main/{SHA}"}),
        ("GitRepository", {"message": f"Fetched revision: main/{SHA}"}),
        ("Kustomization", {KUSTOMIZE: f"main@sha1:{SHA}"}),
        ("Kustomization", {KUSTOMIZE: f"main/{SHA}"}),
        ("Kustomization", {"revision": f"main/{SHA}"}),
    ],
)
def test_gitops_connectors_own_cases(kind: str, metadata: dict[str, str]) -> None:
    assert commit_of(event(kind, metadata)) == SHA


def test_helm_repository_has_no_commit() -> None:
    assert commit_of(event("HelmRepository", {"revision": f"sha256:{DIGEST}"})) == ""


@pytest.mark.parametrize(
    ("revision", "commit"),
    [
        ("", ""),
        ("main@sha1:abc", "abc"),
        ("main/abc", "abc"),
        ("feature/x/abc", "abc"),
        ("abc", "abc"),
        (":abc", ":abc"),
        (":x/abc", "abc"),
        ("main@sha1:", ""),
        # There `dead`: the digest of an artifact is no commit.
        ("latest@sha256:dead", ""),
        ("sha256:dead", ""),
        ("latest@sha512:dead", ""),
        (f"main@<unknown>:{DIGEST}", DIGEST),
    ],
)
def test_parser_as_it_was_seen_to_work(revision: str, commit: str) -> None:
    assert parse_revision_commit(revision) == commit


@given(st.text())
def test_parser_takes_any_text(revision: str) -> None:
    assert parse_revision_commit(revision) in ("", *[revision[start:] for start in range(len(revision) + 1)])


@pytest.mark.parametrize(
    ("kind", "metadata", "message"),
    [
        ("Kustomization", {"revision": f"latest@sha256:{DIGEST}", "originRevision": f"main@sha1:{SHA}"}, ""),
        ("Kustomization", {f"{GROUPS['Kustomization']}/originRevision": f"main@sha1:{SHA}"}, ""),
        ("HelmRelease", {"revision": "1.2.3", "event.toolkit.fluxcd.io/commit": SHA}, ""),
        ("HelmRelease", {"revision": "1.2.3", "commit": SHA, "originRevision": OTHER}, ""),
        ("OCIRepository", {"revision": f"latest@sha256:{DIGEST}", "originRevision": SHA}, ""),
        (
            "OCIRepository",
            {"revision": f"latest@sha256:{DIGEST}"},
            STORED,
        ),
        ("Bucket", {"commit": SHA.upper()}, ""),
        ("ImageUpdateAutomation", {"commit": f"main@sha1:{SHA}"}, ""),
        ("Kustomization", {"revision": "", KUSTOMIZE: f"main@sha1:{SHA}"}, ""),
        ("GitRepository", {"revision": f"refs/tags/v1@sha1:{SHA}", "message": f"main/{OTHER}"}, ""),
        ("Kustomization", {SOURCE: f"main@sha1:{SHA}"}, ""),
    ],
)
def test_any_kind_with_a_commit(kind: str, metadata: dict[str, str], message: str) -> None:
    assert commit_of(event(kind, metadata, message)) == SHA


@pytest.mark.parametrize(
    ("kind", "metadata"),
    [
        ("Kustomization", {"revision": f"latest@sha256:{DIGEST}"}),
        ("OCIRepository", {"revision": f"sha256:{DIGEST}"}),
        ("HelmRelease", {"revision": "1.2.3+abcdef123456"}),
        ("Kustomization", {"revision": "main@sha1:abcdef123456"}),
        ("Kustomization", {}),
        ("ImageUpdateAutomation", {"message": f"main/{SHA}"}),
    ],
)
def test_what_no_forge_knows_is_no_commit(kind: str, metadata: dict[str, str]) -> None:
    assert commit_of(event(kind, metadata)) == ""


def test_metadata_is_found_under_any_prefix() -> None:
    notice = event(
        "Kustomization", {"event.toolkit.fluxcd.io/a": "1", f"{GROUPS['Kustomization']}/a": "2", SOURCE: "3"}
    )
    assert metadata_value(notice, "a") == "2"
    assert metadata_value(notice, "revision") == "3"
    assert metadata_value(notice, "b") == ""

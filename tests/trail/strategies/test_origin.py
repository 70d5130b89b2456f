from __future__ import annotations

import pytest

from fluxtrail.model.records import ExportEvidence
from fluxtrail.trail.strategies.origin import export_of_origin
from fluxtrail.trail.strategies.stated import ExportedCommit, StatedExport

SHA = "5394cb7f48332b2de7c17dd8b8384bbc84b7e738"


@pytest.mark.parametrize(
    "origin", [SHA, SHA.upper(), f"main@sha1:{SHA}", f"v1.2@sha1:{SHA}", f"refs/heads/main@sha1:{SHA}", f"main/{SHA}"]
)
def test_forms_of_an_origin(origin: str) -> None:
    assert export_of_origin(origin, None) == StatedExport(
        commits=(ExportedCommit(sha=SHA),), evidence=ExportEvidence.ORIGIN
    )


@pytest.mark.parametrize(
    "origin", [None, "", "main", "5394cb7", "main@sha1:5394cb7f4833", "6.5.3+5394cb7f4833", f"sha256:{'a' * 64}", "?"]
)
def test_what_names_no_whole_commit_is_no_origin(origin: str | None) -> None:
    assert export_of_origin(origin, "https://github.com/acme/app") is None


@pytest.mark.parametrize(
    ("url", "canonical"),
    [
        ("https://github.com/Acme/App.git", "github.com/acme/app"),
        ("git@gitlab.example.com:group/sub/app.git", "gitlab.example.com/group/sub/app"),
        (None, None),
        ("", None),
        ("not a url", None),
        ("https://user:secret@/", None),
    ],
)
def test_the_repository_is_named_where_it_can_be_read(url: str | None, canonical: str | None) -> None:
    found = export_of_origin(SHA, url)
    assert found is not None
    assert found.repository == canonical

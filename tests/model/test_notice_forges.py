"""Webhooks of GitLab and service hooks of Azure DevOps as notices."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from fluxtrail.model.errors import WireError
from fluxtrail.model.notice_azure import read_azure_devops
from fluxtrail.model.notice_gitlab import read_gitlab
from fluxtrail.model.notices import PullRequestNotice, PushNotice, RunNotice

SHA, BEFORE = "da1560886d4f094c3e6c9ef40349f7d38b5d27d7", "95790bf891e76fee5e1747ab589903a6a1f80f22"
PROJECT = {
    "id": 15, "git_http_url": "https://gitlab.example.com/mike/diaspora.git",
    "web_url": "https://gitlab.example.com/mike/diaspora", "path_with_namespace": "mike/diaspora",
}  # fmt: skip
CLONE = "https://gitlab.example.com/mike/diaspora.git"
REMOTE = "https://dev.azure.com/fabrikam/Web%20Shop/_git/Fabrikam"
CONTAINERS = {
    "collection": {"id": "c12d"}, "account": {"id": "bd3e", "baseUrl": "https://dev.azure.com/fabrikam/"},
    "project": {"id": "be9b", "baseUrl": "https://dev.azure.com/fabrikam/"},
}  # fmt: skip


def gitlab(**body: Any) -> Any:
    return read_gitlab(json.dumps({"project": PROJECT, **body}).encode())


def azure(kind: str, resource: Any, **more: Any) -> Any:
    body = {"id": "03c1", "eventType": kind, "publisherId": "tfs", "resource": resource, **more}
    return read_azure_devops(json.dumps(body).encode())


def test_a_push_to_gitlab() -> None:
    said = gitlab(object_kind="push", ref="refs/heads/master", before=BEFORE, after=SHA, project_id=15)
    assert said == PushNotice(repository=CLONE, ref="refs/heads/master", before=BEFORE, after=SHA)


def test_a_branch_of_gitlab_that_is_deleted_has_no_sha() -> None:
    assert gitlab(object_kind="push", ref="refs/heads/x", before=SHA, after="0" * 40).after == ""


def test_a_merge_request() -> None:
    attributes = {
        "iid": 1, "action": "merge", "state": "merged", "target_branch": "master", "merge_commit_sha": SHA,
        "merged_at": "2026-01-12T02:00:00Z",
    }  # fmt: skip
    assert gitlab(object_kind="merge_request", object_attributes=attributes) == PullRequestNotice(
        repository=CLONE, number=1, action="merge", base="master", merge_sha=SHA,
        merged_at=datetime(2026, 1, 12, 2, tzinfo=UTC),
    )  # fmt: skip
    opened = gitlab(object_kind="merge_request", object_attributes={**attributes, "state": "opened"})
    assert opened.merge_sha == "", "of one that is open it is a test merge"


def test_a_pipeline() -> None:
    attributes = {"id": 31, "ref": "master", "sha": SHA, "status": "success"}
    said = gitlab(object_kind="pipeline", object_attributes=attributes, builds=[{"id": 380}])
    assert said == RunNotice(repository=CLONE, action="success", sha=SHA)


@pytest.mark.parametrize("kind", ["note", "issue", "build", "tag_push", "of tomorrow"])
def test_other_events_of_gitlab_are_no_use(kind: str) -> None:
    assert gitlab(object_kind=kind, object_attributes={}) is None


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "object_kind"),
        ({"object_kind": "push"}, "ref"),
        ({"object_kind": "push", "ref": "refs/heads/x", "project": {}}, "project.git_http_url"),
        ({"object_kind": "push", "ref": "refs/heads/x", "project": {"git_http_url": "x y"}}, "project.git_http_url"),
        ({"object_kind": "merge_request", "object_attributes": {"iid": 0}}, "object_attributes.iid"),
        ({"object_kind": "merge_request", "object_attributes": {"iid": "x"}}, "object_attributes.iid"),
    ],
)
def test_what_is_wrong_with_gitlabs_is_named(body: dict[str, Any], field: str) -> None:
    with pytest.raises(WireError) as caught:
        gitlab(**body)
    assert caught.value.subject == field


def test_a_push_to_azure_devops() -> None:
    updates = [{"name": "refs/heads/master", "oldObjectId": BEFORE, "newObjectId": SHA}]
    said = azure("git.push", {"refUpdates": updates, "repository": {"name": "Fabrikam", "remoteUrl": REMOTE}})
    assert said == PushNotice(repository=REMOTE, ref="refs/heads/master", before=BEFORE, after=SHA)


@pytest.mark.parametrize(("status", "sha"), [("completed", SHA), ("active", "")])
def test_a_pull_request_of_azure_devops(status: str, sha: str) -> None:
    resource = {
        "repository": {"remoteUrl": REMOTE}, "pullRequestId": 1354, "status": status, "closedDate": None,
        "targetRefName": "refs/heads/master", "lastMergeCommit": {"commitId": SHA},
    }  # fmt: skip
    said = azure("git.pullrequest.updated", resource)
    assert said == PullRequestNotice(repository=REMOTE, number=1354, action="updated", base="master", merge_sha=sha)


@pytest.mark.parametrize(
    ("resource", "containers", "repository", "is_part"),
    [
        ({"repository": {"url": "https://github.com/acme/shop", "type": "GitHub"}, "sourceVersion": SHA}, CONTAINERS,
         "https://github.com/acme/shop", False),
        ({"project": {"name": "Web Shop"}, "sourceVersion": SHA}, CONTAINERS,
         "https://dev.azure.com/fabrikam/Web Shop", True),
        ({"repository": {"id": "guid", "url": "https://dev.azure.com/fabrikam/_apis/git/repositories/guid"}},
         CONTAINERS, "https://dev.azure.com/fabrikam", True),
        ({"url": "https://fabrikam.visualstudio.com/DefaultCollection/71777fbc/_apis/build/Builds/2"}, {},
         "https://dev.azure.com/fabrikam", True),
        ({"run": {"url": "https://ado.test/tfs/acme/guid/_apis/pipelines/3/runs/7"}}, {},
         "https://ado.test/tfs/acme", True),
    ],
)  # fmt: skip
def test_a_build_of_azure_pipelines(resource: Any, containers: Any, repository: str, is_part: bool) -> None:
    for kind in ("build.complete", "ms.vss-pipelines.run-state-changed-event"):
        said = azure(kind, resource, resourceContainers=containers)
        assert (said.repository, said.is_part) == (repository, is_part)
        assert said.sha == resource.get("sourceVersion", "")


@pytest.mark.parametrize("kind", ["workitem.created", "git.pull", "of tomorrow"])
def test_other_events_of_azure_devops_are_no_use(kind: str) -> None:
    assert azure(kind, {}) is None


@pytest.mark.parametrize(
    ("kind", "resource", "field"),
    [
        (None, {}, "eventType"),
        ("git.push", {}, "resource.refUpdates"),
        ("git.push", {"refUpdates": [{"name": "x"}]}, "resource.repository.remoteUrl"),
        ("git.pullrequest.created", {"pullRequestId": 0}, "resource.pullRequestId"),
        ("build.complete", {}, "resourceContainers"),
        ("build.complete", {"url": "javascript:alert(1)"}, "resourceContainers"),
        ("build.complete", {"url": "https://[::1/x/_apis/"}, "resourceContainers"),
        ("build.complete", [], "resource"),
    ],
)
def test_what_is_wrong_with_a_service_hook_is_named(kind: Any, resource: Any, field: str) -> None:
    with pytest.raises(WireError) as caught:
        azure(kind, resource)
    assert caught.value.subject == field

"""The answers of Spektate's backend, field by field, as its clients read them."""

from typing import Any

import msgspec

Repo = dict[str, str]
"""GitHub `{username, reponame}`, Azure DevOps `{org, project, repo}`, anything else `{projectId}`."""


class Shape(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """What is not known is left out, as Spektate left `undefined` out."""


class Author(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    url: str = ""
    name: str
    username: str = ""
    image_url: str = ""


class PullRequestShape(Shape, frozen=True, kw_only=True):
    id: int
    title: str
    source_branch: str
    target_branch: str
    description: str
    merged_by: Author | None = None
    url: str


class Stage(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    name: str
    id: str
    state: str
    result: str
    order: int


class Build(Shape, frozen=True, kw_only=True):
    """A run. Times are as `Date.toJSON` writes them, null where there is none yet; words are those of Azure Pipelines,
    whatever the run is of.
    """

    build_number: str
    id: str
    author: str
    queue_time: str | None
    result: str | None = None
    """`succeeded`, `failed`, `canceled`, `skipped`; left out while it is not over."""
    status: str
    """`notStarted`, `inProgress`, `completed`, `none`."""
    source_branch: str
    source_version: str
    source_version_url: str = msgspec.field(name="sourceVersionURL")
    start_time: str | None
    finish_time: str | None
    url: str = msgspec.field(name="URL")
    repository: Repo | None = None
    last_update_time: str | None
    timeline_url: str = msgspec.field(name="timelineURL")
    """Where its stages are asked for; of what is not of Azure Pipelines, its page."""
    stages: dict[str, Stage] | None = None


class Release(Shape, frozen=True, kw_only=True):
    release_name: str
    id: str
    image_version: str | None = None
    registry_url: str | None = msgspec.field(default=None, name="registryURL")
    queue_time: str | None
    status: str
    result: str | None = None
    start_time: str | None
    finish_time: str | None
    url: str = msgspec.field(name="URL")
    last_update_time: str | None


class Deployment(Shape, frozen=True, kw_only=True):
    """A row: a source commit of one service, on its way to one environment. Commits are their first 7 digits, and those
    of the definitions and the manifests empty until they are known.
    """

    deployment_id: str
    src_to_docker_build: Build | None = None
    docker_to_hld_release: Release | None = None
    docker_to_hld_release_stage: Build | None = None
    hld_to_manifest_build: Build | None = None
    commit_id: str
    hld_commit_id: str
    image_tag: str
    time_stamp: str
    manifest_commit_id: str
    author: Author | None = None
    environment: str
    service: str
    duration: str
    """Minutes, with two decimals."""
    status: str
    """`Complete`, `In Progress`, `failed`, `canceled` or `Incomplete`."""
    end_time: str
    pr: str | None = None
    source_repo: str | None = None
    hld_repo: str | None = None
    manifest_repo: str | None = None
    pull_request: PullRequestShape | None = None


class Tag(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    commit: str
    date: str
    tagger: str
    message: str
    name: str
    """The cluster's, in capitals."""


class ClusterSync(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    releases_url: str = msgspec.field(name="releasesURL")
    tags: list[Tag]


class Deployments(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    deployments: list[Deployment]
    cluster_sync: ClusterSync


class FluxStatus(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    commit_id: str
    status: str
    message: str
    genre: str
    time: str


class HealthError(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    message: str


class Health(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    errors: list[HealthError]
    variables: dict[str, Any]


class Version(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    version: str

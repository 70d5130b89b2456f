"""Builds, timelines and pull requests of Azure DevOps as its API writes them."""

from datetime import datetime
from typing import Any

import msgspec


class WirePerson(msgspec.Struct, rename="camel"):
    display_name: str | None = None


class WireReviewer(msgspec.Struct, rename="camel"):
    display_name: str | None = None
    vote: int = 0


class WireLink(msgspec.Struct):
    href: str | None = None


class WireLinks(msgspec.Struct):
    web: WireLink | None = None


class WireNamed(msgspec.Struct):
    id: str | int | None = None
    name: str | None = None


class WireRepository(msgspec.Struct):
    id: str | None = None
    name: str | None = None
    type: str | None = None
    """`TfsGit`, `GitHub`, `GitHubEnterprise`, `Git`, …"""
    url: str | None = None


class WireBuild(msgspec.Struct, rename="camel"):
    id: int
    source_version: str | None = None
    source_branch: str | None = None
    build_number: str | None = None
    status: str | None = None
    result: str | None = None
    reason: str | None = None
    queue_time: datetime | None = None
    start_time: datetime | None = None
    finish_time: datetime | None = None
    last_changed_date: datetime | None = None
    definition: WireNamed | None = None
    repository: WireRepository | None = None
    requested_for: WirePerson | None = None
    trigger_info: dict[str, Any] | None = None
    """Of a build that a pull request set off: `pr.number`, `pr.sourceSha`, …"""
    links: WireLinks | None = msgspec.field(default=None, name="_links")


class WireBuilds(msgspec.Struct):
    value: list[msgspec.Raw]


class WireRecord(msgspec.Struct, rename="camel"):
    type: str | None = None
    name: str | None = None
    order: int | None = None
    state: str | None = None
    result: str | None = None
    start_time: datetime | None = None
    finish_time: datetime | None = None


class WireTimeline(msgspec.Struct):
    records: list[WireRecord] | None = None


class WirePullRequest(msgspec.Struct, rename="camel"):
    pull_request_id: int
    status: str | None = None
    title: str | None = None
    created_by: WirePerson | None = None
    closed_by: WirePerson | None = None
    creation_date: datetime | None = None
    closed_date: datetime | None = None
    source_ref_name: str | None = None
    target_ref_name: str | None = None
    reviewers: list[WireReviewer] | None = None

"""Service hooks of Azure DevOps → notices: pushes, pull requests, builds and runs of pipelines. Pure.

What is told of a build does not always say of which repository: then the notice names its project, or at least the
organisation, and whoever is built there is looked at.
Source: learn.microsoft.com, "Service hooks events".
"""

from urllib.parse import unquote, urlsplit

import msgspec

from fluxtrail.model import notice_reading as reading
from fluxtrail.model.errors import WireError
from fluxtrail.model.moment import parse_timestamp
from fluxtrail.model.notice_reading import whole_sha
from fluxtrail.model.notices import PullRequestNotice, PushNotice, RunNotice
from fluxtrail.model.repository import parse_repository

_PUSH = "git.push"
_PULL_REQUEST = "git.pullrequest."
_RUNS = ("build.complete", "ms.vss-pipelines.run-state-changed-event", "ms.vss-pipelines.stage-state-changed-event")
_OLD_HOST = ".visualstudio.com"


class WireProject(msgspec.Struct):
    name: str | None = None


class WireRepository(msgspec.Struct, rename="camel"):
    remote_url: str | None = None
    url: str | None = None
    type: str | None = None


class WireRefUpdate(msgspec.Struct, rename="camel"):
    name: str | None = None
    old_object_id: str | None = None
    new_object_id: str | None = None


class WireCommit(msgspec.Struct, rename="camel"):
    commit_id: str | None = None


class WireRun(msgspec.Struct):
    state: str | None = None
    url: str | None = None


class WireResource(msgspec.Struct, rename="camel"):
    repository: WireRepository | None = None
    ref_updates: list[WireRefUpdate] | None = None
    pull_request_id: int | None = None
    status: str | None = None
    target_ref_name: str | None = None
    last_merge_commit: WireCommit | None = None
    closed_date: str | None = None
    source_version: str | None = None
    project: WireProject | None = None
    url: str | None = None
    run: WireRun | None = None


class WireContainer(msgspec.Struct, rename="camel"):
    base_url: str | None = None


class WireEvent(msgspec.Struct, rename="camel"):
    event_type: str | None = None
    resource: WireResource | None = None
    resource_containers: dict[str, WireContainer | None] | None = None


_event = msgspec.json.Decoder(WireEvent)


def read_azure_devops(body: bytes) -> PushNotice | PullRequestNotice | RunNotice | None:
    """Return what Azure DevOps says, or None for an event that we have no use for (work items, …).

    Raises:
        WireError: not what a service hook sends.
    """
    wire = reading.decode(body, _event, what="a service hook's event")
    resource = wire.resource or WireResource()
    kind = wire.event_type
    if kind is None:
        raise reading.refuse("eventType", None, "it must say what happened, as service hooks do")
    if kind == _PUSH:
        return _push(resource)
    if kind.startswith(_PULL_REQUEST):
        return _pull_request(resource, kind.removeprefix(_PULL_REQUEST))
    return _run(resource, wire.resource_containers or {}) if kind in _RUNS else None


def _push(resource: WireResource) -> PushNotice:
    updates = [update for update in resource.ref_updates or [] if update.name]
    if not updates:
        raise reading.refuse("resource.refUpdates", None, "it must name the ref that was pushed")
    first = updates[0]
    return PushNotice(
        repository=_repository(resource),
        ref=reading.short(first.name),
        before=whole_sha(first.old_object_id),
        after=whole_sha(first.new_object_id),
    )


def _pull_request(resource: WireResource, action: str) -> PullRequestNotice:
    number = resource.pull_request_id
    if number is None or number < 1:
        raise reading.refuse("resource.pullRequestId", number, "it must be the pull request's number")
    is_merged = resource.status == "completed"
    merge = resource.last_merge_commit.commit_id if resource.last_merge_commit else None
    return PullRequestNotice(
        repository=_repository(resource),
        number=number,
        action=reading.name(action),
        base=reading.short(resource.target_ref_name).removeprefix("refs/heads/"),
        merge_sha=whole_sha(merge) if is_merged else "",
        merged_at=parse_timestamp(resource.closed_date) if is_merged else None,
    )


def _run(resource: WireResource, containers: dict[str, WireContainer | None]) -> RunNotice:
    stated = resource.repository
    if stated is not None and stated.url and "/_apis/" not in stated.url:
        return RunNotice(
            repository=_fetched(stated.url, "resource.repository.url"),
            action=reading.name(resource.status),
            sha=whole_sha(resource.source_version),
        )
    run = resource.run or WireRun()
    return RunNotice(
        repository=_part(resource, run, containers),
        is_part=True,
        action=reading.name(resource.status or run.state),
        sha=whole_sha(resource.source_version),
    )


def _part(resource: WireResource, run: WireRun, containers: dict[str, WireContainer | None]) -> str:
    """Return the address of the project, or else of the organisation, that something has run in."""
    bases = [item.base_url for name in ("account", "collection", "project") if (item := containers.get(name))]
    links = [url.partition("/_apis/")[0].rpartition("/")[0] for url in (run.url, resource.url) if url]
    organisation = next((found for url in [*bases, *links] if (found := _organisation(url or ""))), "")
    if not organisation:
        raise reading.refuse("resourceContainers", None, "it must have the baseUrl of the organisation")
    name = reading.name(resource.project.name) if resource.project else ""
    return f"{organisation}/{name}" if name and "/" not in name else organisation


def _organisation(url: str) -> str:
    try:
        parts = urlsplit(url)
        host, names = (parts.hostname or "").lower(), [name for name in unquote(parts.path).split("/") if name]
    except ValueError:
        return ""
    if parts.scheme not in ("https", "http") or not host:
        return ""
    if host.endswith(_OLD_HOST):
        host, names = "dev.azure.com", [host.removesuffix(_OLD_HOST)]
    return "/".join([f"https://{host}", *names]) if names else ""


def _repository(resource: WireResource) -> str:
    stated = resource.repository or WireRepository()
    return _fetched(stated.remote_url or "", "resource.repository.remoteUrl")


def _fetched(url: str, field: str) -> str:
    try:
        return parse_repository(url).fetch_url
    except WireError as exc:
        raise reading.refuse(field, url, "it must be the repository's clone URL") from exc

"""GitLab's webhooks → notices: pushes, merge requests and pipelines; the others are of no use to us. Pure.

Source: docs.gitlab.com, "Webhook events". A system hook of a whole instance has the same bodies.
"""

import msgspec

from fluxtrail.model import notice_reading as reading
from fluxtrail.model.errors import WireError
from fluxtrail.model.moment import parse_timestamp
from fluxtrail.model.notice_reading import whole_sha
from fluxtrail.model.notices import PullRequestNotice, PushNotice, RunNotice
from fluxtrail.model.repository import parse_repository


class WireProject(msgspec.Struct):
    git_http_url: str | None = None
    web_url: str | None = None


class WireAttributes(msgspec.Struct):
    iid: int | None = None
    action: str | None = None
    target_branch: str | None = None
    merge_commit_sha: str | None = None
    squash_commit_sha: str | None = None
    state: str | None = None
    merged_at: str | None = None
    sha: str | None = None
    status: str | None = None


class WireEvent(msgspec.Struct):
    object_kind: str | None = None
    ref: str | None = None
    before: str | None = None
    after: str | None = None
    project: WireProject | None = None
    object_attributes: WireAttributes | None = None


_event = msgspec.json.Decoder(WireEvent)


def read_gitlab(body: bytes) -> PushNotice | PullRequestNotice | RunNotice | None:
    """Return what GitLab says, or None for an event that we have no use for (notes, issues, jobs, …).

    Raises:
        WireError: not what GitLab sends.
    """
    wire = reading.decode(body, _event, what="GitLab's webhook")
    match wire.object_kind:
        case "push":
            return _push(wire)
        case "merge_request":
            return _merge_request(wire)
        case "pipeline":
            attributes = wire.object_attributes or WireAttributes()
            return RunNotice(
                repository=_repository(wire), action=reading.name(attributes.status), sha=whole_sha(attributes.sha)
            )
        case None:
            raise reading.refuse("object_kind", None, "it must say what happened, as GitLab's webhooks do")
        case _:
            return None


def _push(wire: WireEvent) -> PushNotice:
    ref = reading.short(wire.ref)
    if not ref:
        raise reading.refuse("ref", wire.ref, "it must be the full ref that was pushed: refs/heads/main")
    return PushNotice(repository=_repository(wire), ref=ref, before=whole_sha(wire.before), after=whole_sha(wire.after))


def _merge_request(wire: WireEvent) -> PullRequestNotice:
    attributes = wire.object_attributes or WireAttributes()
    number = attributes.iid
    if number is None or number < 1:
        raise reading.refuse("object_attributes.iid", number, "it must be the merge request's number")
    is_merged = attributes.state == "merged"
    return PullRequestNotice(
        repository=_repository(wire),
        number=number,
        action=reading.name(attributes.action),
        base=reading.short(attributes.target_branch),
        merge_sha=whole_sha(attributes.merge_commit_sha or attributes.squash_commit_sha) if is_merged else "",
        merged_at=parse_timestamp(attributes.merged_at),
    )


def _repository(wire: WireEvent) -> str:
    url = (wire.project.git_http_url or wire.project.web_url or "") if wire.project else ""
    try:
        return parse_repository(url).fetch_url
    except WireError as exc:
        raise reading.refuse("project.git_http_url", url, "it must be the project's clone URL") from exc

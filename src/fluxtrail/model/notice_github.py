"""GitHub's webhooks → notices: `push`, `pull_request` and `workflow_run`; the others are of no use to us. Pure.

Source: docs.github.com, "Webhook events and payloads"; both of its content types (`application/json`, and the form with
one field `payload`).
"""

from urllib.parse import unquote_to_bytes

import msgspec

from fluxtrail.model import notice_reading as reading
from fluxtrail.model.errors import WireError
from fluxtrail.model.moment import parse_timestamp
from fluxtrail.model.notice_reading import whole_sha
from fluxtrail.model.notices import PullRequestNotice, PushNotice, RunNotice
from fluxtrail.model.repository import parse_repository

_FORM = b"payload="


class WireRepository(msgspec.Struct):
    clone_url: str | None = None
    html_url: str | None = None


class WirePush(msgspec.Struct):
    ref: str | None = None
    before: str | None = None
    after: str | None = None
    forced: bool | None = None
    repository: WireRepository | None = None


class WireBase(msgspec.Struct):
    ref: str | None = None


class WirePull(msgspec.Struct):
    number: int | None = None
    base: WireBase | None = None
    merge_commit_sha: str | None = None
    merged_at: str | None = None
    merged: bool | None = None


class WirePullRequest(msgspec.Struct):
    action: str | None = None
    number: int | None = None
    pull_request: WirePull | None = None
    repository: WireRepository | None = None


class WireRun(msgspec.Struct):
    head_sha: str | None = None


class WireWorkflowRun(msgspec.Struct):
    action: str | None = None
    workflow_run: WireRun | None = None
    repository: WireRepository | None = None


_push = msgspec.json.Decoder(WirePush)
_pull = msgspec.json.Decoder(WirePullRequest)
_run = msgspec.json.Decoder(WireWorkflowRun)


def read_github(body: bytes, event: str) -> PushNotice | PullRequestNotice | RunNotice | None:
    """Return what GitHub says, or None for an event that we have no use for (`ping`, …): it is not read at all.

    Args:
        event: the header `X-GitHub-Event`.

    Raises:
        WireError: not what GitHub sends under that event.
    """
    if event == "push":
        return _read_push(_unwrapped(body))
    if event == "pull_request":
        return _read_pull_request(_unwrapped(body))
    if event == "workflow_run":
        return _read_run(_unwrapped(body))
    return None


def _read_push(body: bytes) -> PushNotice:
    wire = reading.decode(body, _push, what="GitHub's push event")
    ref = reading.short(wire.ref)
    if not ref:
        raise reading.refuse("ref", wire.ref, "it must be the full ref that was pushed: refs/heads/main")
    return PushNotice(
        repository=_repository(wire.repository),
        ref=ref,
        before=whole_sha(wire.before),
        after=whole_sha(wire.after),
        is_forced=bool(wire.forced),
    )


def _read_pull_request(body: bytes) -> PullRequestNotice:
    wire = reading.decode(body, _pull, what="GitHub's pull_request event")
    pull = wire.pull_request or WirePull()
    number = wire.number if wire.number is not None else pull.number
    if number is None or number < 1:
        raise reading.refuse("number", number, "it must be the pull request's number")
    # Of one that is not merged, `merge_commit_sha` is a test merge that no branch has.
    is_merged = bool(pull.merged or pull.merged_at)
    return PullRequestNotice(
        repository=_repository(wire.repository),
        number=number,
        action=reading.name(wire.action),
        base=reading.short(pull.base.ref if pull.base else None),
        merge_sha=whole_sha(pull.merge_commit_sha) if is_merged else "",
        merged_at=parse_timestamp(pull.merged_at),
    )


def _read_run(body: bytes) -> RunNotice:
    wire = reading.decode(body, _run, what="GitHub's workflow_run event")
    return RunNotice(
        repository=_repository(wire.repository),
        action=reading.name(wire.action),
        sha=whole_sha(wire.workflow_run.head_sha if wire.workflow_run else None),
    )


def _repository(wire: WireRepository | None) -> str:
    url = (wire.clone_url or wire.html_url or "") if wire else ""
    try:
        return parse_repository(url).fetch_url
    except WireError as exc:
        raise reading.refuse("repository.clone_url", url, "it must be the repository's clone URL") from exc


def _unwrapped(body: bytes) -> bytes:
    if not body.startswith(_FORM):
        return body
    return unquote_to_bytes(body[len(_FORM) :].partition(b"&")[0].replace(b"+", b" "))

"""From a body to the notice in it, by the hook that it was posted to."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime

import msgspec

from fluxtrail.model import notice_parsing as parsing
from fluxtrail.model.errors import WireError
from fluxtrail.model.notices import (
    AnyNotice,
    ArgoNotice,
    EventNotice,
    FluxNotice,
    Hook,
    NewNotice,
    PullRequestNotice,
    PushNotice,
    RunNotice,
)
from fluxtrail.web.hooks.answers import Reason, RefusedError

KEY_LIMIT = 200
PATHS: Mapping[str, Hook] = {
    "/gitopsphase": Hook.GITOPSPHASE,
    "/hooks/flux": Hook.FLUX,
    "/hooks/cdevents": Hook.CDEVENTS,
    "/hooks/argocd": Hook.ARGOCD,
    "/hooks/github": Hook.GITHUB,
    "/hooks/gitlab": Hook.GITLAB,
    "/hooks/azuredevops": Hook.AZURE_DEVOPS,
}
_DELIVERIES = ("x-github-delivery", "idempotency-key")
"""GitHub's and GitLab's ids of what is delivered; the same where it is sent again."""
_EVENT = "x-github-event"


def read_notice(
    hook: Hook, body: bytes, headers: Mapping[str, str], *, sender: str, received_at: datetime
) -> NewNotice | None:
    """Return what was posted, or None where we have no use for it.

    Args:
        headers: by their names in lower case.

    Raises:
        RefusedError: it cannot be read; the detail says where and why.
    """
    try:
        said = _read(hook, body, headers)
        if said is None:
            return None
        msgspec.json.encode(said)  # nothing is promised that could not be kept
    except WireError as exc:
        raise RefusedError(Reason.UNREADABLE, str(exc)) from exc
    except (ValueError, RecursionError) as exc:
        detail = "the body cannot be read as JSON of this hook; see what its sender's documentation says"
        raise RefusedError(Reason.UNREADABLE, detail) from exc
    key = _key_of(said, body, headers)
    return NewNotice(hook=hook, sender=sender, received_at=received_at, key=key, said=said)


def _read(hook: Hook, body: bytes, headers: Mapping[str, str]) -> AnyNotice | None:
    match hook:
        case Hook.FLUX:
            return parsing.read_flux(body)
        case Hook.GITOPSPHASE:
            return parsing.read_gitopsphase(body)
        case Hook.CDEVENTS:
            return parsing.read_cdevent(body, headers)
        case Hook.ARGOCD:
            return parsing.read_argocd(body)
        case Hook.GITHUB:
            return _read_github(body, headers)
        case Hook.GITLAB:
            return parsing.read_gitlab(body)
        case Hook.AZURE_DEVOPS:
            return parsing.read_azure_devops(body)


def _read_github(body: bytes, headers: Mapping[str, str]) -> AnyNotice | None:
    event = headers.get(_EVENT, "")
    if not event:
        raise WireError("it is missing; only GitHub posts here, and says in it what happened", subject="X-GitHub-Event")
    return parsing.read_github(body, event)


def _key_of(said: AnyNotice, body: bytes, headers: Mapping[str, str]) -> str:
    """Return what tells a delivery that comes again from a new one, or nothing.

    A CloudEvent is known by its source and its id together. Flux gives its events no id, but what it posts again is
    the same to the byte, and is dated. Argo CD's notifications are not: the same again may be news.
    """
    match said:
        case FluxNotice():
            return _digest(body) if said.at is not None else ""
        case EventNotice():
            return _bounded(f"{said.source} {said.id}")
        case ArgoNotice():
            return ""
        case PushNotice() | PullRequestNotice() | RunNotice():
            return _bounded(next((headers[name] for name in _DELIVERIES if name in headers), ""))


def _bounded(key: str) -> str:
    """What strangers made up must fit into a row, on every engine."""
    if len(key) <= KEY_LIMIT and key.isascii() and key.isprintable():
        return key
    return _digest(key.encode("utf-8", "replace"))


def _digest(content: bytes) -> str:
    return f"blake2b:{hashlib.blake2b(content, digest_size=16).hexdigest()}"

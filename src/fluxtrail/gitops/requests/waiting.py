"""Waits until a controller has handled a request, and says how it ended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import StrEnum
from typing import Any

import msgspec

from fluxtrail.clusters.answers import UNREADABLE
from fluxtrail.clusters.writing import Writer
from fluxtrail.gitops.status.objects import Reconciled, WireObject, project
from fluxtrail.gitops.status.standing import Standing, State, judge
from fluxtrail.model.errors import NotFoundError, UpstreamError, WireError
from fluxtrail.model.observation import ObjectKey

LOOK_SECONDS = 0.5
LOOK_MOST_SECONDS = 2.0
SETTLE_SECONDS = 1.0


class End(StrEnum):
    READY = "ready"
    FAILED = "failed"
    TIMED_OUT = "timed out"
    WILL_NOT = "will not happen"


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """How waiting ended; `message` is the controller's, or what is still missing."""

    end: End
    message: str
    revision: str = ""


def read_object(obj: dict[str, Any], key: ObjectKey) -> Reconciled:
    """Return what counts of an object.

    Raises:
        WireError: it has not the shape.
    """
    try:
        return project(msgspec.convert(obj, WireObject), group=key.group, kind=key.kind)
    except (msgspec.ValidationError, *UNREADABLE) as error:
        raise WireError(f"unexpected shape: {error}", subject=str(key)) from error


async def until_handled(
    writer: Writer,
    key: ObjectKey,
    *,
    token: str = "",
    force: bool = False,
    reset: bool = False,
    timeout: float,
    say: Callable[[str], None] = lambda _: None,
) -> Ended:
    """Wait until a request was handled, if one is named, and until the object is ready or has failed.

    What Flux says while it works is passed to `say`, each text once. A server that does not answer for a while is
    asked again.

    Args:
        token: of the request; empty for whatever the object's present generation asks for.
    """
    watch = _Watch(key, token=token, force=force, reset=reset)
    pause = LOOK_SECONDS
    try:
        async with asyncio.timeout(timeout):
            while True:
                ended = await _look(writer, key, watch)
                if ended is not None:
                    return ended
                if watch.news:
                    say(watch.news)
                pause = LOOK_SECONDS if watch.news else min(pause * 1.3, LOOK_MOST_SECONDS)
                await asyncio.sleep(pause)
    except TimeoutError:
        return Ended(end=End.TIMED_OUT, message=watch.missing, revision=watch.revision)


async def _look(writer: Writer, key: ObjectKey, watch: _Watch) -> Ended | None:
    try:
        obj = await writer.read(key)
    except UpstreamError as error:
        if not error.retryable:
            raise
        watch.news = error.message
        return None
    if obj is None:
        raise NotFoundError("it is not there any more", subject=str(key))
    return watch.take(read_object(obj, key))


class _Watch:
    """One object on its way from a request to its end. Pure."""

    def __init__(self, key: ObjectKey, *, token: str, force: bool, reset: bool) -> None:
        self._key = key
        self._wanted = (token, token if force else "", token if reset else "")
        self._said = ""
        self.news = ""
        """What the last look showed for the first time."""
        self.missing = "no controller has looked at it yet"
        self.revision = ""

    def take(self, one: Reconciled) -> Ended | None:
        standing = judge([one])[one.key]
        self.revision = one.revision
        ended = self._ended(one, standing)
        text = "" if ended is not None else self.missing
        self.news = text if text != self._said else ""
        self._said = text
        return ended

    def _ended(self, one: Reconciled, standing: Standing) -> Ended | None:
        if standing.state is State.SUSPENDED:
            return Ended(end=End.WILL_NOT, message="it is suspended; `fluxtrail gitops resume` takes it up again")
        if any(want and want != had for want, had in zip(self._wanted, one.handled, strict=True)):
            self.missing = "its controller has not handled the request yet"
            return None
        match standing.state:
            case State.READY:
                return Ended(end=End.READY, message=standing.message, revision=one.revision)
            case State.FAILED:
                return Ended(end=End.FAILED, message=standing.message, revision=one.revision)
            case State.STALLED:
                return Ended(end=End.WILL_NOT, message=standing.message, revision=one.revision)
        self.missing = standing.message or str(standing.state)
        return None

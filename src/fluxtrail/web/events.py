"""`/api/v1/feed`: the history as it happens, as server-sent events (docs/api.md, live feed).

Every line has its id, so a client that comes back with `Last-Event-ID` misses nothing and is told nothing twice.
Source: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import msgspec
import structlog
from litestar import Request, Response
from litestar.openapi.spec import OpenAPIMediaType, OpenAPIResponse, OpenAPIType, Operation, Schema
from litestar.types import ASGIApp

from fluxtrail.model.errors import FluxtrailError
from fluxtrail.model.feed import FeedItem
from fluxtrail.web.access.asgi import Receive, Scope, Send
from fluxtrail.web.feed import Batch, Event, Feed
from fluxtrail.web.problems import problem_response
from fluxtrail.web.server import stopping_of
from fluxtrail.web.shapes import FeedAnswer, Problem

log = structlog.get_logger(__name__)

MEDIA_TYPE = "text/event-stream"
RETRY_MILLISECONDS = 2000
NEVER_GIVEN = 2**63 - 1
SEND_SECONDS = 60.0
"""A client that takes nothing for so long, heartbeats neither, is given up."""
_HEADERS = ((b"content-type", b"text/event-stream; charset=utf-8"), (b"x-accel-buffering", b"no"))


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a client asked for; None is everything."""

    commit: str | None = None
    """A sha or its first digits."""
    cluster: str | None = None
    target: str | None = None
    """`name`, `namespace/name`, `kind/name` or `kind/namespace/name`, in any letter case."""
    kind: str | None = None

    def has(self, item: FeedItem) -> bool:
        return (
            (self.kind is None or item.kind == self.kind)
            and (self.commit is None or (item.sha or "").startswith(self.commit))
            and (self.cluster is None or self.cluster in (item.cluster, item.cluster_uid))
            and (self.target is None or _is_called(item.target, self.target))
        )


def _is_called(target: str | None, wanted: str) -> bool:
    if target is None:
        return False
    kind, namespace, name = target.lower().split("/", 2)
    return wanted.lower() in (name, f"{namespace}/{name}", f"{kind}/{name}", f"{kind}/{namespace}/{name}")


class FeedStream(Response[Any]):
    """Answers with events until the client or the server goes.

    Args:
        first: the first batch, read before the answer begins, so that what cannot be read is a problem.
    """

    def __init__(self, feed: Feed, first: Batch, wanted: Wanted) -> None:
        super().__init__(content=b"", media_type=MEDIA_TYPE)
        self._feed = feed
        self._first = first
        self._wanted = wanted

    def to_asgi_response(self, *, request: Request[Any, Any, Any], **_: Any) -> ASGIApp:  # type: ignore[override]
        async def stream(scope: Scope, receive: Receive, send: Send) -> None:
            if not self._feed.take_seat():
                refusal = problem_response(_full()).to_asgi_response(app=None, request=request)
                await refusal(cast("Any", scope), cast("Any", receive), cast("Any", send))
                return
            try:
                await self._serve(scope, receive, send)
            finally:
                self._feed.leave_seat()

        return cast("ASGIApp", stream)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [*_HEADERS]})
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(self._run(send), name="feed/send"),
                group.create_task(_until_gone(receive), name="feed/gone"),
                group.create_task(stopping_of(scope).wait(), name="feed/stop"),
            ]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()
        if not tasks[0].cancelled() and not tasks[0].result():
            return
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _run(self, send: Send) -> bool:
        """Send until the client is too slow (False) or the ledger cannot be read: it will come back."""
        batch, beat = self._first, self._feed.beat
        text = b"retry: %d\nid: %d\n\n" % (RETRY_MILLISECONDS, batch.last_id)
        if batch.events or batch.is_reset:
            text = b"retry: %d\n\n" % RETRY_MILLISECONDS
        try:
            while True:
                text += self._render(batch)
                if self._feed.beat != beat and not text:
                    text = b": heartbeat\nid: %d\n\n" % batch.last_id
                beat = self._feed.beat
                if text:
                    async with asyncio.timeout(SEND_SECONDS):
                        await send({"type": "http.response.body", "body": text, "more_body": True})
                if not batch.events:
                    await self._feed.wait(batch.last_id, beat)
                text, batch = b"", await self._feed.after(batch.last_id)
        except TimeoutError:
            log.info("feed_client_given_up", seconds=SEND_SECONDS)
            return False
        except FluxtrailError as exc:
            log.warning("feed_unreadable", error=str(exc))
            return True

    def _render(self, batch: Batch) -> bytes:
        if batch.is_reset:
            return b'id: %d\nevent: reset\ndata: {"last_id":%d}\n\n' % (batch.last_id, batch.last_id)
        return b"".join(event.data for event in self.chosen(batch.events))

    def chosen(self, events: Sequence[Event]) -> list[Event]:
        return [event for event in events if self._wanted.has(event.item)]


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _full() -> Problem:
    detail = "as many listen to the feed as api.feed_clients allows; ask for it as JSON, or try again later"
    return Problem(code="too_many_clients", title="Too many clients", status=503, detail=detail)


@dataclass
class FeedOperation(Operation):
    """What OpenAPI says of it: an answer has one of two media types."""

    def __post_init__(self) -> None:
        answer = (self.responses or {}).get("200")
        if isinstance(answer, OpenAPIResponse) and answer.content is not None:
            described = Schema(type=OpenAPIType.STRING, description="Server-sent events; `data` is a FeedItem.")
            answer.content[MEDIA_TYPE] = OpenAPIMediaType(schema=described)


def wants_json(accept: str) -> bool:
    return "application/json" in accept and MEDIA_TYPE not in accept


def read_event_id(text: str) -> int:
    """Return the id a client sent back. What is none of ours is an id that was never given."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else NEVER_GIVEN


def encode_answer(value: FeedAnswer) -> Response[Any]:
    return Response(content=msgspec.json.encode(value), media_type="application/json")

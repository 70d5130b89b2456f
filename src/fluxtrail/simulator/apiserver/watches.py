"""Watch streams: from the store's history to lines on a socket."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import suppress

import msgspec
from aiohttp import web

from fluxtrail.simulator.apiserver.lists import EntryTest, wait_until_fresh
from fluxtrail.simulator.apiserver.options import ListOptions
from fluxtrail.simulator.apiserver.statuses import StatusError
from fluxtrail.simulator.apiserver.store import Store
from fluxtrail.simulator.apiserver.table import Change, Entry
from fluxtrail.simulator.apiserver.views import View

WRITE_TIMEOUT_SECONDS = 30.0
BEFORE_DEADLINE_SECONDS = 2.0
"""A last bookmark comes this long before a stream's timeout (kubernetes cache_watcher.go)."""
_BATCH_BYTES = 256 * 1024
_HEADERS = {"Content-Type": "application/json", "Cache-Control": "no-cache, private"}


class StreamEndedError(Exception):
    """Ends a stream from within: closed cleanly, 200 and no error for the client."""


class WatchStream:
    """One watch of one client.

    Faults steer it through `end`, `break_off`, `freeze` and `inject`.
    """

    def __init__(
        self,
        store: Store,
        view: View,
        *,
        namespace: str,
        options: ListOptions,
        is_selected: EntryTest | None,
        bookmark_seconds: float,
    ) -> None:
        self.definition = view.definition
        self._store = store
        self._table = store.table(view.definition)
        self._epoch = self._table.epoch
        self._view = view
        self._namespace = namespace
        self._options = options
        self._is_selected = is_selected
        self._bookmark_seconds = bookmark_seconds
        self._started_at = self._position = options.resource_version or 0
        self._news = asyncio.Event()
        self._injected: deque[bytes] = deque()
        self._is_ending = False
        self._is_frozen = False
        self._response: web.StreamResponse | None = None
        self._request: web.Request | None = None

    # Steering.

    def end(self) -> None:
        """End the stream as a server does that had enough: 200, no error."""
        self._is_ending = True
        self._news.set()

    def stop(self) -> None:
        """The server goes away: end the stream, or cut it where it no longer speaks."""
        if self._is_frozen:
            self.break_off()
        else:
            self.end()

    def inject(self, line: bytes, *, is_last: bool = False) -> None:
        """Send a line out of turn; `is_last` ends the stream after it."""
        self._injected.append(line)
        self._is_ending = self._is_ending or is_last
        self._news.set()

    def freeze(self) -> None:
        """Send nothing any more, and keep the connection: a half-open socket."""
        self._is_frozen = True
        self._news.set()

    def break_off(self) -> None:
        """Cut the TCP connection, in the middle of the body."""
        self._is_frozen = self._is_ending = True
        if self._request is not None and self._request.transport is not None:
            self._request.transport.abort()
        self._news.set()

    def plain_line(self, kind: str, body: dict[str, object]) -> bytes:
        """Return the line of an object that is not in the store."""
        return b'{"type":"%s","object":%s%s}\n' % (kind.encode(), self._view.head, msgspec.json.encode(body)[1:])

    def error_line(self, error: StatusError) -> bytes:
        return b'{"type":"ERROR","object":%s}\n' % error.encode()

    # The stream's life.

    async def run(self, request: web.Request) -> web.StreamResponse:
        """Answer `request` until the timeout, an error, or the end of the resource."""
        response = web.StreamResponse(
            headers={"Content-Type": "application/json", "Cache-Control": "no-cache, private"}
        )
        response.enable_chunked_encoding()
        self._request, self._response = request, response
        self._table.subscribe(self._news)
        try:
            await response.prepare(request)
            await self._speak()
            await self._hang_while_frozen()
        except (StreamEndedError, ConnectionError):
            pass
        finally:
            self._table.unsubscribe(self._news)
        return response

    async def _speak(self) -> None:
        try:
            await self._follow()
        except StatusError as exc:
            await self._send([self.error_line(exc)])

    async def _hang_while_frozen(self) -> None:
        """Keep a half-open connection open, past its timeout too, until the client or the server goes away."""
        while self._is_frozen and not self._is_ending:
            self._news.clear()
            await self._news.wait()

    async def _follow(self) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._timeout_seconds()
        if self._options.send_initial_events and self._options.resource_version:
            await wait_until_fresh(self._store, self._options.resource_version)
        await self._send(self._initial_lines())
        bookmark_at = self._next_bookmark(deadline)
        while True:
            self._news.clear()
            await self._send(self._pending_lines())
            now = loop.time()
            if now >= deadline or self._is_over():
                return
            if self._options.has_bookmarks and now >= bookmark_at:
                await self._send([*self._pending_lines(), *self._bookmark_lines()])
                bookmark_at = self._next_bookmark(deadline)
                continue
            wake_at = min(deadline, bookmark_at) if self._options.has_bookmarks else deadline
            with suppress(TimeoutError):
                async with asyncio.timeout_at(wake_at):
                    await self._news.wait()

    def _timeout_seconds(self) -> float:
        return self._options.timeout_seconds or 1800.0

    def _next_bookmark(self, deadline: float) -> float:
        now = asyncio.get_running_loop().time()
        regular, last = now + self._bookmark_seconds, deadline - BEFORE_DEADLINE_SECONDS
        return last if now < last < regular else regular

    def _is_over(self) -> bool:
        return self._is_frozen or self._is_ending or self._table.is_closed or self._table.epoch != self._epoch

    # What is sent.

    def _initial_lines(self) -> Iterator[bytes]:
        """The present state as ADDED events, where the request asks for it, else nothing."""
        options = self._options
        state = self._store.resource_version
        if options.send_initial_events is False or (options.send_initial_events is None and options.resource_version):
            if not options.resource_version:
                self._started_at = self._position = state
            self._table.changes_since(self._position)
            return
        entries = self._table.page(namespace=self._namespace, is_selected=self._is_selected).entries
        self._started_at = self._position = state
        for entry in entries:
            yield self._view.line("ADDED", entry)
        if options.has_bookmarks:
            yield self._bookmark(state, annotations={"k8s.io/initial-events-end": "true"})

    def _pending_lines(self) -> Iterator[bytes]:
        if self._is_frozen:
            return
        while self._injected:
            yield self._injected.popleft()
        if self._table.epoch == self._epoch:
            for change in self._heard():
                self._position = change.resource_version
                if line := self._line(change):
                    yield line

    def _heard(self) -> list[Change]:
        """Return what is new; a reader too slow for the history is cut off without a word, as the real one does."""
        try:
            return self._table.changes_since(self._position, is_live=True)
        except StatusError as exc:
            raise StreamEndedError from exc

    def _line(self, change: Change) -> bytes | None:
        """Return how this watcher sees a change: one that leaves its selector is a DELETED for it."""
        if self._namespace and change.entry.namespace != self._namespace:
            return None
        if self._is_selected is None:
            return change.line(change.type, self._view)
        is_now = change.type != "DELETED" and self._is_selected(change.entry)
        was_before = change.previous is not None and self._is_selected(change.previous)
        if is_now:
            return change.line("MODIFIED" if was_before else "ADDED", self._view)
        return self._deleted_line(change) if was_before else None

    def _deleted_line(self, change: Change) -> bytes:
        """A DELETED shows the state that was last selected, under the version of the change."""
        previous = change.previous
        if change.type == "DELETED" or previous is None:
            return change.line("DELETED", self._view)
        body = msgspec.json.decode(b"{" + previous.tail)
        body["metadata"]["resourceVersion"] = str(change.resource_version)
        entry = Entry(
            namespace=previous.namespace,
            name=previous.name,
            uid=previous.uid,
            resource_version=change.resource_version,
            labels=previous.labels,
            tail=msgspec.json.encode(body)[1:],
        )
        return self._view.line("DELETED", entry)

    def _bookmark_lines(self) -> Iterator[bytes]:
        # A watch from the future (a restored etcd) hears nothing, not even bookmarks, until its version is reached.
        # Nor is there one for the very version a watch began at; a real cluster always moves on by itself.
        if self._store.resource_version == self._started_at:
            self._store.advance()
        current = self._store.resource_version
        if not self._is_frozen and current > self._started_at:
            self._position = current
            yield self._bookmark(current)

    def _bookmark(self, resource_version: int, *, annotations: dict[str, str] | None = None) -> bytes:
        metadata: dict[str, object] = {"annotations": annotations} if annotations else {}
        metadata["resourceVersion"] = str(resource_version)
        return b'{"type":"BOOKMARK","object":%s"metadata":%s}}\n' % (self._view.head, msgspec.json.encode(metadata))

    async def _send(self, lines: Iterator[bytes] | list[bytes]) -> None:
        batch: list[bytes] = []
        size = 0
        for line in lines:
            batch.append(line)
            size += len(line)
            if size >= _BATCH_BYTES:
                await self._write(b"".join(batch))
                batch, size = [], 0
        if batch:
            await self._write(b"".join(batch))

    async def _write(self, data: bytes) -> None:
        if self._response is None or self._is_frozen:
            return
        try:
            async with asyncio.timeout(WRITE_TIMEOUT_SECONDS):
                await self._response.write(data)
        except (TimeoutError, ConnectionError) as exc:
            self.break_off()
            raise StreamEndedError from exc

"""Listens to the server's live feed beside a command: a thread reads, the command waits for news.

The feed says when to look, never what is true: commands read the state anew. So what comes faster than it is
taken is folded into "look at everything", and nothing here grows.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from types import TracebackType

import msgspec

from fluxtrail.cli.client import Client, Stream
from fluxtrail.model.errors import FluxtrailError, UpstreamError, WireError
from fluxtrail.model.feed import FeedItem

MEDIA_TYPE = "text/event-stream"
SILENCE_SECONDS = 45.0
"""Three heartbeats of the server."""
RETRY_FIRST_SECONDS = 0.5
RETRY_MOST_SECONDS = 15.0
HELD_MOST = 1000
LINE_LIMIT_BYTES = 1024 * 1024
JOIN_SECONDS = 1.0

_decode = msgspec.json.Decoder(FeedItem).decode


@dataclass(frozen=True)
class Event:
    """One block of the stream; beginnings and heartbeats have an id and no data."""

    id: str | None
    name: str
    data: bytes


@dataclass
class News:
    """What came since the last time."""

    items: list[FeedItem] = field(default_factory=list)
    is_reset: bool = False
    """More may have happened than `items` say."""
    notices: list[str] = field(default_factory=list)
    """What to tell people about the feed itself."""

    def __bool__(self) -> bool:
        return bool(self.items or self.is_reset or self.notices)


class FeedReader:
    """Use as `with FeedReader(client) as feed:`; leave it to end the thread."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._changed = threading.Condition()
        self._over = threading.Event()
        self._news = News()
        self._stream: Stream | None = None
        self._last_id: str | None = None
        self._has_told = False
        self.is_live = False
        """Whether news come by themselves now."""
        self._thread = threading.Thread(target=self._run, name="feed", daemon=True)

    def __enter__(self) -> FeedReader:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._changed:
            self._over.set()
            stream = self._stream
        if stream is not None:
            stream.interrupt()
        self._thread.join(JOIN_SECONDS)

    def wait(self, seconds: float) -> News:
        """Return what came since the last call, after `seconds` at the latest."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self._news), timeout=seconds)
            news, self._news = self._news, News()
        return news

    # in the thread

    def _run(self) -> None:
        failures = 0
        while not self._over.is_set():
            try:
                self._listen()
                failures, problem = 0, "the server ended it"
            except (FluxtrailError, msgspec.MsgspecError) as exc:
                problem = str(exc)
                if _is_refusal(exc):
                    self._lose(f"no live feed, asking every few seconds instead: {problem}")
                    return
                failures = 0 if self.is_live else failures + 1
            self._lose(f"the live feed broke off, connecting again: {problem}")
            pause = min(RETRY_FIRST_SECONDS * 2 ** min(failures, 10), RETRY_MOST_SECONDS)
            self._over.wait(pause * random.uniform(0.7, 1.3))  # noqa: S311 - spreads clients, protects nothing

    def _listen(self) -> None:
        headers = {"Last-Event-ID": self._last_id} if self._last_id is not None else {}
        stream = self._client.stream("/feed", media_type=MEDIA_TYPE, headers=headers, silence_seconds=SILENCE_SECONDS)
        try:
            with self._changed:
                self._stream = stream
                if self._over.is_set():
                    return
            for event in parse_events(stream.blocks()):
                self._take(event)
        finally:
            with self._changed:
                self._stream = None
            stream.close()

    def _take(self, event: Event) -> None:
        with self._changed:
            if not self.is_live:
                self.is_live, self._news.is_reset = True, True
                if self._has_told:
                    self._news.notices.append("the live feed is back")
                    self._has_told = False
            self._last_id = event.id or self._last_id
            if event.name == "reset":
                self._news.is_reset = True
            elif event.data:
                self._news.items.append(_decode(event.data))
            if len(self._news.items) > HELD_MOST:
                self._news.items, self._news.is_reset = [], True
            self._changed.notify_all()

    def _lose(self, notice: str) -> None:
        with self._changed:
            self.is_live = False
            if not self._has_told and not self._over.is_set():
                self._news.notices.append(notice)
                self._has_told = True
            self._changed.notify_all()


def _is_refusal(exc: Exception) -> bool:
    """True where asking again would be answered alike."""
    if isinstance(exc, UpstreamError):
        return exc.status is not None and 400 <= exc.status < 500
    return isinstance(exc, WireError | msgspec.MsgspecError)


def parse_events(blocks: Iterable[bytes]) -> Iterator[Event]:
    """Yield the events in a stream that comes in pieces of any size.

    Raises:
        WireError: a line is longer than anything the server sends.
    """
    rest, fields = b"", dict[bytes, bytes]()
    for block in blocks:
        *lines, rest = (rest + block).split(b"\n")
        if len(rest) > LINE_LIMIT_BYTES:
            raise WireError(f"a line of the live feed is longer than {LINE_LIMIT_BYTES} bytes")
        for line in lines:
            name, _, value = line.removesuffix(b"\r").partition(b":")
            if name:
                fields[name] = value.removeprefix(b" ")
            elif not line.strip():
                yield _event_of(fields)
                fields = {}


def _event_of(fields: dict[bytes, bytes]) -> Event:
    last_id = fields.get(b"id")
    return Event(
        id=last_id.decode("ascii", "replace") if last_id is not None else None,
        name=fields.get(b"event", b"").decode("ascii", "replace"),
        data=fields.get(b"data", b""),
    )

"""A small API server that does exactly what a test tells it, the wrong things above all, and a watcher beside it."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Literal, TypeVar

import msgspec
from aiohttp import web

from fluxtrail.clusters.connection import Connection
from fluxtrail.clusters.endpoint import Endpoint, Login
from fluxtrail.clusters.subjects import Problem, Subject, WatchOptions
from fluxtrail.clusters.watcher import Watcher
from fluxtrail.model.observation import Current, Gone, Listed, Observation, Seen, Unavailable

GROUP = "example.dev"
WIDGETS = f"/apis/{GROUP}/v1/widgets"
WAIT_SECONDS = 10.0
Kind = TypeVar("Kind")


class WidgetMeta(msgspec.Struct):
    name: str


class WidgetSpec(msgspec.Struct):
    colour: str | None = None


class WireWidget(msgspec.Struct):
    metadata: WidgetMeta
    spec: WidgetSpec | None = None


class Widget(msgspec.Struct, frozen=True):
    name: str
    colour: str


def project_widget(wire: WireWidget) -> Widget | None:
    colour = (wire.spec.colour if wire.spec else None) or "none"
    return None if colour == "invisible" else Widget(wire.metadata.name, colour)


def widgets(**changes: Any) -> Subject[Widget]:
    settings: dict[str, Any] = {
        "group": GROUP,
        "kind": "Widget",
        "versions": ("v1",),
        "wire": WireWidget,
        "project": project_widget,
    }
    return Subject(**(settings | changes))


@dataclass
class Asked:
    path: str
    query: dict[str, str]
    authorization: str
    accept: str = ""

    @property
    def is_watch(self) -> bool:
        return self.query.get("watch") == "1"

    @property
    def is_probe(self) -> bool:
        return self.query.get("limit") == "1"

    @property
    def is_list(self) -> bool:
        return self.path.endswith("widgets") and not self.is_watch and not self.is_probe


@dataclass
class Answer:
    """One answer out of the ordinary; with `lines`, a stream that then ends, holds its silence, or breaks."""

    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)
    lines: Sequence[bytes] | None = None
    then: Literal["end", "hold", "break", "live"] = "end"


def status(code: int, reason: str = "", message: str = "told to fail", **more: Any) -> bytes:
    body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason}
    return msgspec.json.encode(body | {"message": message} | more)


def refuse(code: int, message: str = "told to fail", *, headers: dict[str, str] | None = None, **more: Any) -> Answer:
    return Answer(status=code, body=status(code, message=message, **more), headers=headers or {})


def line(kind: str, body: Any) -> bytes:
    return msgspec.json.encode({"type": kind, "object": body}) + b"\n"


def expired() -> bytes:
    return b'{"type":"ERROR","object":' + status(410, "Expired", "too old resource version: 1 (9)") + b"}\n"


def bookmark(version: int, *, is_end: bool = False) -> bytes:
    meta: dict[str, Any] = {"resourceVersion": str(version), "creationTimestamp": None}
    if is_end:
        meta["annotations"] = {"k8s.io/initial-events-end": "true"}
    return line("BOOKMARK", {"kind": "Widget", "apiVersion": f"{GROUP}/v1", "metadata": meta})


@dataclass(eq=False)
class OpenWatch:
    request: web.Request
    response: web.StreamResponse
    namespace: str | None
    position: int
    is_ended: bool = False

    def break_off(self) -> None:
        if self.request.transport is not None:
            self.request.transport.abort()


class ScriptedApi:
    """Widgets in namespaces, listed and watched. `next_lists` and `next_watches` are answered first."""

    def __init__(self) -> None:
        self.url = ""
        self.version = 100
        self.objects: dict[tuple[str, str], dict[str, Any]] = {}
        self.log: list[tuple[int, bytes]] = []
        self.asked: list[Asked] = []
        self.served: list[str] | None = ["v1"]
        self.knows_watch_list = False
        self.next_answers: deque[Answer] = deque()
        self.next_lists: deque[Answer] = deque()
        self.next_watches: deque[Answer] = deque()
        self.tokens: set[str] | None = None
        self.before_watch: Callable[[int], Awaitable[None]] | None = None
        """Called with the number of watches asked for so far."""
        self._changed = asyncio.Condition()
        self._open: set[OpenWatch] = set()

    # What a test does.

    async def put(self, name: str, colour: str = "red", *, namespace: str = "one", uid: str = "") -> dict[str, Any]:
        self.version += 1
        held = self.objects.get((namespace, name))
        meta = {
            "name": name,
            "namespace": namespace,
            "uid": uid or (held["metadata"]["uid"] if held else f"uid-{name}"),
            "resourceVersion": str(self.version),
            "managedFields": [{"manager": "nobody", "fieldsV1": {"f:spec": {}}}],
        }
        body = {"apiVersion": f"{GROUP}/v1", "kind": "Widget", "metadata": meta, "spec": {"colour": colour}}
        self.objects[namespace, name] = body
        await self._publish(line("MODIFIED" if held else "ADDED", body))
        return body

    async def delete(self, name: str, *, namespace: str = "one") -> None:
        self.version += 1
        body = self.objects.pop((namespace, name))
        body["metadata"]["resourceVersion"] = str(self.version)
        await self._publish(line("DELETED", body))

    async def publish(self, text: bytes) -> None:
        """Send a line as it is on the open streams."""
        self.version += 1
        await self._publish(text)

    async def end_watches(self) -> None:
        """End the open streams with 200 and no error."""
        async with self._changed:
            for watch in self._open:
                watch.is_ended = True
            self._changed.notify_all()

    def break_watches(self) -> None:
        for watch in self._open:
            watch.break_off()

    async def wait_for_watch(self, count: int = 1) -> None:
        """Wait until `count` watches have been asked for in all and one is open."""
        async with asyncio.timeout(WAIT_SECONDS), self._changed:
            await self._changed.wait_for(lambda: len(self.watches) >= count and bool(self._open))

    @property
    def watches(self) -> list[Asked]:
        return [each for each in self.asked if each.is_watch]

    @property
    def lists(self) -> list[Asked]:
        return [each for each in self.asked if each.is_list]

    # What the server does.

    async def _publish(self, text: bytes) -> None:
        self.log.append((self.version, text))
        async with self._changed:
            self._changed.notify_all()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        headers = request.headers
        asked = Asked(request.path, dict(request.query), headers.get("Authorization", ""), headers.get("Accept", ""))
        self.asked.append(asked)
        if self.tokens is not None and asked.authorization not in {f"Bearer {token}" for token in self.tokens}:
            return self._plain(refuse(401, "Unauthorized"))
        if self.next_answers:
            return self._plain(self.next_answers.popleft())
        parts = request.path.strip("/").split("/")
        if request.path == f"/apis/{GROUP}":
            return self._group()
        if len(parts) == 3 and parts[:2] == ["apis", GROUP]:
            return self._resources(parts[2])
        if parts[-1] == "widgets" and parts[2] in (self.served or ()):
            namespace = parts[4] if len(parts) > 4 else None
            return await self._watch(request, namespace) if asked.is_watch else self._list(asked, namespace)
        return self._plain(refuse(404, "the server could not find the requested resource"))

    def _plain(self, answer: Answer) -> web.Response:
        return web.Response(
            status=answer.status, body=answer.body, headers=answer.headers, content_type="application/json"
        )

    def _json(self, body: Any) -> web.Response:
        return self._plain(Answer(body=msgspec.json.encode(body)))

    def _group(self) -> web.Response:
        if self.served is None:
            return self._plain(refuse(404))
        versions = [{"groupVersion": f"{GROUP}/{each}", "version": each} for each in self.served]
        return self._json({"kind": "APIGroup", "name": GROUP, "versions": versions, "preferredVersion": versions[0]})

    def _resources(self, version: str) -> web.Response:
        if self.served is None or version not in self.served:
            return self._plain(refuse(404))
        entry = {"name": "widgets", "kind": "Widget", "namespaced": True, "verbs": ["list", "watch"]}
        return self._json({"kind": "APIResourceList", "resources": [entry | {"name": "widgets/status"}, entry]})

    def _list(self, asked: Asked, namespace: str | None) -> web.Response:
        if self.next_lists and asked.is_list:
            return self._plain(self.next_lists.popleft())
        items = [body for (where, _), body in sorted(self.objects.items()) if namespace in (None, where)]
        start = int(asked.query.get("continue") or 0)
        end = start + int(asked.query.get("limit") or len(items) or 1)
        meta = {"resourceVersion": str(self.version)} | ({"continue": str(end)} if end < len(items) else {})
        # Custom resources put metadata after the items.
        return self._json({"kind": "WidgetList", "items": items[start:end], "metadata": meta})

    async def _watch(self, request: web.Request, namespace: str | None) -> web.StreamResponse:
        if self.before_watch is not None:
            await self.before_watch(len(self.watches))
        answer = self.next_watches.popleft() if self.next_watches else None
        if answer is not None and answer.lines is None:
            return self._plain(answer)
        is_initial = "sendInitialEvents" in request.query
        if answer is None and is_initial and not self.knows_watch_list:
            return self._plain(refuse(422, "sendInitialEvents is forbidden unless the feature gate is enabled"))
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        position = int(request.query.get("resourceVersion") or self.version)
        watch = OpenWatch(request, response, namespace, position)
        self._open.add(watch)
        async with self._changed:
            self._changed.notify_all()
        try:
            if answer is None and is_initial:
                await self._send_initial(watch)
            for text in (answer.lines or ()) if answer else ():
                await response.write(text)
            await self._go_on(watch, answer.then if answer else "live")
        finally:
            self._open.discard(watch)
        return response

    async def _send_initial(self, watch: OpenWatch) -> None:
        watch.position = self.version
        for (where, _), body in sorted(self.objects.items()):
            if watch.namespace in (None, where):
                await watch.response.write(line("ADDED", body))
        await watch.response.write(bookmark(watch.position, is_end=True))

    async def _go_on(self, watch: OpenWatch, then: str) -> None:
        def has_news() -> bool:
            return watch.is_ended or (then == "live" and any(version > watch.position for version, _ in self.log))

        if then == "break":
            watch.break_off()
        while then in {"live", "hold"} and not watch.is_ended:
            for version, text in [each for each in self.log if then == "live" and each[0] > watch.position]:
                watch.position = version
                if watch.namespace is None or f'"namespace":"{watch.namespace}"'.encode() in text:
                    await watch.response.write(text)
            async with self._changed:
                await self._changed.wait_for(has_news)


@asynccontextmanager
async def serving(api: ScriptedApi) -> AsyncIterator[ScriptedApi]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", api.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    api.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield api
    finally:
        await runner.cleanup()


class FakeClock:
    """Sleeps in no time, and knows how long it would have been."""

    def __init__(self) -> None:
        self.seconds = 1000.0
        self.started_at = datetime(2026, 1, 1, tzinfo=UTC)
        self.slept: list[float] = []

    def now(self) -> datetime:
        return self.started_at + timedelta(seconds=self.seconds - 1000.0)

    def monotonic(self) -> float:
        return self.seconds

    def advance(self, seconds: float) -> None:
        self.seconds += seconds

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.seconds += seconds
        await asyncio.sleep(0.001)


class Collector:
    """Receives what a watcher emits, and lets a test wait for it."""

    def __init__(self) -> None:
        self.seen: list[Observation[Widget]] = []
        self.batches: list[int] = []
        self.failure: Exception | None = None
        self.gate: Callable[[], Awaitable[None]] | None = None

    async def emit(self, batch: Sequence[Observation[Widget]]) -> None:
        if self.gate is not None:
            await self.gate()
        if self.failure is not None:
            raise self.failure
        self.seen.extend(batch)
        self.batches.append(len(batch))

    async def until(self, condition: Callable[[list[Observation[Widget]]], object]) -> None:
        """Wait for a condition on what was seen, or on anything else."""
        with suppress(TimeoutError):
            async with asyncio.timeout(WAIT_SECONDS):
                while not condition(self.seen):  # noqa: ASYNC110 the condition may be about anything
                    await asyncio.sleep(0.005)
                return
        raise AssertionError(f"never came; seen so far: {self.told()}")

    async def until_listed(self, times: int = 1) -> None:
        await self.until(lambda seen: sum(isinstance(each, Listed) for each in seen) >= times)

    async def until_said(self, text: str, times: int = 1) -> None:
        await self.until(lambda _: self.told().count(text) >= times)

    def told(self) -> list[str]:
        """What was observed, one word or two each, without `Current` (which comes when it comes)."""
        return [text for each in self.seen if (text := _told(each))]

    def of(self, kind: type[Kind]) -> list[Kind]:
        return [each for each in self.seen if isinstance(each, kind)]

    def clear(self) -> None:
        self.seen.clear()


def _told(each: Observation[Widget]) -> str:
    match each:
        case Seen(object=widget, was_held=was_held):
            return f"{widget.name} {widget.colour}{' held' if was_held else ''}"
        case Gone(key=key, uid=uid):
            return f"gone {key.name} {uid}"
        case Listed():
            return "listed"
        case Unavailable(reason=reason):
            return reason
        case Current():
            return ""


class Watching:
    """A watcher at work, with everything a test wants to look at."""

    def __init__(
        self, watcher: Watcher[Widget], collector: Collector, clock: FakeClock, problems: list[Problem]
    ) -> None:
        self.watcher = watcher
        self.collector = collector
        self.clock = clock
        self.problems = problems
        self.stats = watcher.stats


@asynccontextmanager
async def watching(
    api: ScriptedApi,
    *,
    subject: Subject[Widget] | None = None,
    collector: Collector | None = None,
    login: Login | None = None,
    **options: Any,
) -> AsyncIterator[Watching]:
    """Run a watcher against `api`; what ends it, except the end of the block, fails the test."""
    clock, problems = FakeClock(), list[Problem]()
    collector = collector or Collector()
    options = {"uses_watch_list": False, "idle_seconds": 5.0} | options
    async with Connection(Endpoint(name="scripted", server=api.url, login=login), clock=clock) as connection:
        watcher = Watcher(
            connection,
            subject or widgets(),
            options=WatchOptions(**options),
            clock=clock,
            random=Random(1),
            on_problem=problems.append,
        )
        task = asyncio.create_task(watcher.run(collector.emit))
        try:
            yield Watching(watcher, collector, clock, problems)
        finally:
            was_running = not task.done()
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        assert was_running

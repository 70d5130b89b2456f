"""One simulated Kubernetes API server: its listener, its life, and the paths that are no resources."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

import msgspec
import structlog
from aiohttp import web

from fluxtrail.model.errors import FluxtrailError
from fluxtrail.simulator.apiserver import discovery
from fluxtrail.simulator.apiserver.access import Access
from fluxtrail.simulator.apiserver.catalog import Catalog
from fluxtrail.simulator.apiserver.control import CONTROL_PATH, describe_error, run_command
from fluxtrail.simulator.apiserver.faults import Faults
from fluxtrail.simulator.apiserver.handlers import ResourceHandler
from fluxtrail.simulator.apiserver.resources import BUILTIN_RESOURCES, FLUX_RESOURCES, ResourceDefinition
from fluxtrail.simulator.apiserver.statuses import StatusError, method_not_allowed
from fluxtrail.simulator.apiserver.store import Store
from fluxtrail.simulator.apiserver.targets import find_target, split_path

log = structlog.get_logger(__name__)

_MAX_BODY_BYTES = 3 * 1024 * 1024
_BUILTIN_GROUPS = frozenset(definition.group for definition in BUILTIN_RESOURCES)
_HEALTH_PATHS = frozenset({"/healthz", "/readyz", "/livez"})


def _now() -> datetime:
    return datetime.now(UTC)


class ApiServer:
    """A Kubernetes API server on a loopback port of the system's choice.

    Args:
        name: of the simulated cluster: the context's name in a kubeconfig.
        cluster_uid: the uid of its `kube-system` namespace; made up where empty.
        resources: custom resources to serve besides the built-in ones.
        tokens: bearer token -> user name; without any, everybody is let in.
        clock: dates what is stored; must return aware datetimes.
        history_limit: changes remembered for each resource, at least.
        bookmark_seconds: between two bookmarks of a watch.
        seed: makes uids and generated names repeatable.
    """

    def __init__(
        self,
        *,
        name: str = "simulated",
        cluster_uid: str = "",
        resources: Iterable[ResourceDefinition] = FLUX_RESOURCES,
        tokens: Mapping[str, str] | None = None,
        clock: Callable[[], datetime] = _now,
        history_limit: int = 10_000,
        bookmark_seconds: float = 60.0,
        seed: int | None = None,
    ) -> None:
        self.name = name
        self.store = Store(Catalog(BUILTIN_RESOURCES), clock=clock, history_limit=history_limit, seed=seed)
        self.store.insert_namespace("kube-system", uid=cluster_uid or str(uuid.uuid4()))
        for namespace in ("default", "flux-system"):
            self.store.insert_namespace(namespace)
        for definition in resources:
            self.store.install(definition)
        self.access = Access(tokens or {})
        self._handler = ResourceHandler(self.store, self.access, bookmark_seconds=bookmark_seconds)
        self._runner: web.AppRunner | None = None
        self._port = 0

    @property
    def faults(self) -> Faults:
        return self._handler.faults

    @property
    def url(self) -> str:
        """The base URL, without a slash at its end; known once started."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def watch_count(self) -> int:
        """How many watches are open now."""
        return len(self._handler.streams)

    async def start(self) -> None:
        app = web.Application(client_max_size=_MAX_BODY_BYTES)
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port)
        await site.start()
        self._port = self._runner.addresses[0][1]
        log.debug("simulated API server started", cluster=self.name, url=self.url)

    async def stop(self) -> None:
        """End all streams and close the listener. A later `start` takes the same port again."""
        for stream in tuple(self._handler.streams):
            stream.stop()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def __aenter__(self) -> ApiServer:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        try:
            if request.path == CONTROL_PATH:
                return await self._control(request)
            user = self.access.authenticate(request.headers.get("Authorization", ""))
            return await self._route(request, user)
        except StatusError as exc:
            return _refusal(exc)

    async def _route(self, request: web.Request, user: str) -> web.StreamResponse:
        path = request.path.rstrip("/")
        if request.method == "HEAD":
            raise method_not_allowed()
        if path in _HEALTH_PATHS:
            return web.Response(text="ok")
        document = self._document(path, request)
        if document is not None:
            if request.method != "GET":
                raise method_not_allowed()
            return document
        split = split_path(path)
        if split is None:
            return _no_page()
        group, version, rest = split
        target = find_target(self.store.catalog, group, version, rest) if rest else None
        if target is None:
            return self._no_resource(group, version)
        return await self._handler.handle(request, target, user)

    def _document(self, path: str, request: web.Request) -> web.Response | None:
        """Return a document about the server itself, or None when `path` is none."""
        catalog = self.store.catalog
        parts = path.split("/")[1:]
        if path == "/version":
            return _json(discovery.VERSION)
        if path in ("/api", "/apis") and "as=APIGroupDiscoveryList" in request.headers.get("Accept", ""):
            body = discovery.aggregated(catalog, is_core=path == "/api")
            return _json(body, content_type=discovery.AGGREGATED_TYPE)
        found: dict[str, Any] | None = None
        if path == "/api":
            found = discovery.core_versions(f"127.0.0.1:{self._port}")
        elif path == "/apis":
            found = discovery.group_list(catalog)
        elif path == "/api/v1":
            found = discovery.resource_list(catalog, "", "v1")
        elif parts[0] == "apis" and len(parts) == 2:
            found = discovery.group_document(catalog, parts[1])
        elif parts[0] == "apis" and len(parts) == 3:
            found = discovery.resource_list(catalog, parts[1], parts[2])
        return None if found is None else _json(found)

    def _no_resource(self, group: str, version: str) -> web.Response:
        """Built-in groups answer with a Status, custom and unknown ones with a line of text."""
        if group == "" or (group in _BUILTIN_GROUPS and version == "v1"):
            return _refusal(
                StatusError(404, "NotFound", "the server could not find the requested resource", details={})
            )
        return _no_page()

    async def _control(self, request: web.Request) -> web.Response:
        if request.method != "POST" or request.content_type != "application/json":
            return web.json_response({"error": "POST a JSON command"}, status=405)
        try:
            return _json(run_command(self.faults, await request.read()))
        except FluxtrailError as exc:
            return web.json_response(describe_error(exc), status=400)


def _refusal(error: StatusError) -> web.Response:
    headers = {"Cache-Control": "no-cache, private"}
    if error.retry_after_seconds is not None:
        headers["Retry-After"] = str(error.retry_after_seconds)
    return web.Response(
        body=error.encode() + b"\n", status=error.code, content_type="application/json", headers=headers
    )


def _no_page() -> web.Response:
    return web.Response(text="404 page not found\n", status=404)


def _json(value: Any, *, content_type: str = "application/json") -> web.Response:
    headers = {"Content-Type": content_type, "Cache-Control": "no-cache, private"}
    return web.Response(body=msgspec.json.encode(value) + b"\n", headers=headers)

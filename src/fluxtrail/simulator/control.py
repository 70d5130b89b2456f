"""The world's remote control, on loopback: how far the script is, the truth so far, and trouble on demand."""

from __future__ import annotations

from typing import Any

import msgspec
from aiohttp import web

from fluxtrail.simulator.artifact_faults import RecordsFault
from fluxtrail.simulator.control_controllers import ControllersControl
from fluxtrail.simulator.control_forges import ForgesControl
from fluxtrail.simulator.workloads.objects import DEPLOYMENTS
from fluxtrail.simulator.workloads.troubles import Trouble
from fluxtrail.simulator.world import World

_MAX_BODY_BYTES = 64 * 1024


class GitHubFault(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """`POST /faults/github`: the next `count` answers are this one."""

    status: int
    count: int = 1
    retry_after_seconds: int | None = None


class NetworkFault(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """`POST /faults/network`: whether a cluster reaches its git server."""

    cluster: str
    is_down: bool


class Attestation(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """`POST /records/attestations`: which artifacts GitHub knows from now on, and which it knows no more."""

    attested: tuple[str, ...] = ()
    unattested: tuple[str, ...] = ()


class Affliction(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """`POST /workloads/trouble`: what keeps a workload's new pods from running from now on; null heals it."""

    cluster: str
    namespace: str
    workload: str
    trouble: Trouble | None = None


class Scaling(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """`POST /workloads/scale`: what an autoscaler does to a Deployment."""

    cluster: str
    namespace: str
    workload: str
    replicas: int


class Token(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """`POST /records/token`: the bearer token that GitHub wants for records; empty lets everybody in."""

    token: str


class Control:
    """Serves `/status`, `/truth`, `/begin`, `/poke`, `/records…`, `/forges…`, `/controllers…` and `/faults/…`."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._runner: web.AppRunner | None = None
        self._port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    async def start(self) -> None:
        app = web.Application(client_max_size=_MAX_BODY_BYTES)
        app.router.add_get("/status", self._status)
        app.router.add_get("/truth", self._truth)
        app.router.add_post("/begin", self._begin)
        app.router.add_post("/poke", self._poke)
        app.router.add_post("/faults/github", self._fail_github)
        app.router.add_post("/faults/network", self._fail_network)
        app.router.add_post("/workloads/trouble", self._afflict)
        app.router.add_post("/workloads/scale", self._scale)
        app.router.add_get("/records", self._records)
        app.router.add_get("/records/requests", self._record_requests)
        app.router.add_get("/records/truth", self._records_truth)
        app.router.add_post("/records/attestations", self._attest)
        app.router.add_post("/records/token", self._set_token)
        app.router.add_post("/faults/records", self._fail_records)
        clusters = {name: cluster.metrics for name, cluster in self._world.clusters.items()}
        ControllersControl(clusters).add_routes(app.router)
        ForgesControl(self._world.forges, self._world.statuses_differences).add_routes(app.router)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self._port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _status(self, request: web.Request) -> web.Response:
        del request
        return _json(self._world.status())

    async def _truth(self, request: web.Request) -> web.Response:
        del request
        return _json({"commits": self._world.report()} | self._world.status())

    async def _begin(self, request: web.Request) -> web.Response:
        del request
        self._world.begin()
        return _json(self._world.status())

    async def _poke(self, request: web.Request) -> web.Response:
        """Tell all clusters of the branch, as the forge's webhook would."""
        del request
        self._world.announce()
        return _json(self._world.status())

    async def _records(self, request: web.Request) -> web.Response:
        """What GitHub holds, and how often it was asked; with `?history=1` what each name went through."""
        github = self._world.artifact_metadata
        report = github.report()
        if request.query.get("history"):
            report["history"] = [{"key": key, "steps": steps} for key, steps in sorted(github.history.items())]
        return _json(report)

    async def _record_requests(self, request: web.Request) -> web.Response:
        del request
        return _json({"requests": list(self._world.artifact_metadata.requests)})

    async def _records_truth(self, request: web.Request) -> web.Response:
        """What is true, and what GitHub holds otherwise; `?was_away=1` for a Fluxtrail that was killed meanwhile."""
        differences = self._world.records_differences(was_away=bool(request.query.get("was_away")))
        return _json({"records": self._world.records_truth(), "differences": differences})

    async def _attest(self, request: web.Request) -> web.Response:
        try:
            given = msgspec.json.decode(await request.read(), type=Attestation)
        except msgspec.MsgspecError as exc:
            return _json({"error": str(exc)}, status=400)
        self._world.artifact_metadata.unattested.update(given.unattested)
        self._world.artifact_metadata.attest(given.attested)
        return _json({})

    async def _set_token(self, request: web.Request) -> web.Response:
        try:
            given = msgspec.json.decode(await request.read(), type=Token)
        except msgspec.MsgspecError as exc:
            return _json({"error": str(exc)}, status=400)
        self._world.artifact_metadata.token = given.token
        return _json({})

    async def _fail_records(self, request: web.Request) -> web.Response:
        try:
            fault = msgspec.json.decode(await request.read(), type=RecordsFault)
        except msgspec.MsgspecError as exc:
            return _json({"error": str(exc)}, status=400)
        self._world.artifact_metadata.fail(fault)
        return _json({"waiting": self._world.artifact_metadata.faults.waiting(self._world.clock.now())})

    async def _fail_github(self, request: web.Request) -> web.Response:
        try:
            fault = msgspec.json.decode(await request.read(), type=GitHubFault)
        except msgspec.MsgspecError as exc:
            return _json({"error": str(exc)}, status=400)
        self._world.github.fail(fault.status, count=fault.count, retry_after_seconds=fault.retry_after_seconds)
        return _json({})

    async def _fail_network(self, request: web.Request) -> web.Response:
        try:
            fault = msgspec.json.decode(await request.read(), type=NetworkFault)
        except msgspec.MsgspecError as exc:
            return _json({"error": str(exc)}, status=400)
        cluster = self._world.clusters.get(fault.cluster)
        if cluster is None:
            return self._no_cluster(fault.cluster)
        cluster.network.is_down = fault.is_down
        return _json({})

    async def _afflict(self, request: web.Request) -> web.Response:
        try:
            wanted = msgspec.json.decode(await request.read(), type=Affliction)
        except msgspec.MsgspecError as exc:
            return _json({"error": str(exc)}, status=400)
        cluster = self._world.clusters.get(wanted.cluster)
        if cluster is None:
            return self._no_cluster(wanted.cluster)
        cluster.workloads.impose(wanted.namespace, wanted.workload, wanted.trouble)
        return _json({})

    async def _scale(self, request: web.Request) -> web.Response:
        try:
            wanted = msgspec.json.decode(await request.read(), type=Scaling)
        except msgspec.MsgspecError as exc:
            return _json({"error": str(exc)}, status=400)
        cluster = self._world.clusters.get(wanted.cluster)
        if cluster is None:
            return self._no_cluster(wanted.cluster)
        if cluster.server.store.find(DEPLOYMENTS, wanted.workload, wanted.namespace) is None:
            missing = f"there is no Deployment {wanted.namespace}/{wanted.workload} on {wanted.cluster}"
            return _json({"error": missing}, status=404)
        cluster.workloads.scale(DEPLOYMENTS, wanted.namespace, wanted.workload, wanted.replicas)
        return _json({})

    def _no_cluster(self, name: str) -> web.Response:
        return _json({"error": f"there is no cluster {name!r}, only {sorted(self._world.clusters)}"}, status=404)


def _json(value: Any, *, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(value) + b"\n", content_type="application/json", status=status)

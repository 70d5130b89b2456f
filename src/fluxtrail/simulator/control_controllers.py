"""The part of the remote control that Prometheus asks: the metrics of the simulated programs, and where they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from aiohttp import web
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from fluxtrail.simulator.controller_metrics import ControllerMetrics, kubelet_exposition
from fluxtrail.simulator.layout import NAMESPACE

KUBELET = "kubelet"


class ControllersControl:
    """`/controllers` for Prometheus' `http_sd_configs`, and `/controllers/{cluster}/{program}/metrics`.

    Args:
        clusters: by name, what the programs of each tell.
    """

    def __init__(self, clusters: Mapping[str, Mapping[str, ControllerMetrics]]) -> None:
        self._clusters = clusters

    def add_routes(self, router: web.UrlDispatcher) -> None:
        router.add_get("/controllers", self._targets)
        router.add_get("/controllers/{cluster}/{program}/metrics", self._metrics)

    async def _targets(self, request: web.Request) -> web.Response:
        """A target for each program, with the labels that a PodMonitor gives; the kubelet's series bring their own."""
        groups = []
        for cluster, programs in self._clusters.items():
            pods = {metrics.program: {"namespace": NAMESPACE, "pod": metrics.pod} for metrics in programs.values()}
            for program, labels in {**pods, KUBELET: {}}.items():
                place = {"__metrics_path__": f"/controllers/{cluster}/{program}/metrics", "cluster": cluster}
                groups.append({"targets": [request.host], "labels": {**place, **labels}})
        return _json(groups)

    async def _metrics(self, request: web.Request) -> web.Response:
        cluster, program = request.match_info["cluster"], request.match_info["program"]
        programs = self._clusters.get(cluster, {})
        if program == KUBELET and programs:
            body = kubelet_exposition([metrics.pod for metrics in programs.values()], NAMESPACE)
        elif program in programs:
            body = programs[program].exposition()
        else:
            return _json({"error": f"there is no program {program!r} on a cluster {cluster!r}"}, status=404)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})


def _json(value: Any, *, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(value) + b"\n", content_type="application/json", status=status)

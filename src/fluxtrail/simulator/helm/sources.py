"""What source-controller does for Helm: HelmRepositories, OCIRepositories with charts, and HelmCharts.

The order of the writes is that of source-controller 1.9: conditions, then the artifact in a patch of its own.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from fluxtrail.simulator.apiserver.store import Store
from fluxtrail.simulator.clock import SimulatedClock, wire_time
from fluxtrail.simulator.controller_metrics import ControllerMetrics, Result
from fluxtrail.simulator.helm.charts import Chart, digest_of, published_chart, pushed_chart, read_chart
from fluxtrail.simulator.images.registry import ImageRegistry
from fluxtrail.simulator.source_controller import SourceController
from fluxtrail.simulator.statuses import Conditions

HELM_REPOSITORIES, OCI_REPOSITORIES, HELM_CHARTS = "helmrepositories", "ocirepositories", "helmcharts"
_REPOSITORY_URL = "http://source-controller.flux-system.svc.cluster.local."

Object = dict[str, Any]


class HelmSources:
    """Brings each source to what its spec asks for, when it is looked at.

    Args:
        git: the cluster's one GitRepository.
        registry: where charts are pushed to.
        metrics: what source-controller tells of itself.
        asking: the store as helm-controller writes to it, who makes the HelmCharts.
    """

    def __init__(
        self,
        store: Store,
        *,
        clock: SimulatedClock,
        git: SourceController,
        registry: ImageRegistry,
        metrics: ControllerMetrics,
        asking: Store,
    ) -> None:
        self._registry = registry
        self._metrics = metrics
        self._asking = asking
        self._store = store
        self._clock = clock
        self._git = git
        self.charts: dict[tuple[str, str, str], Chart] = {}
        """(resource, namespace, name) -> what its artifact is."""

    def refresh(self, resource: str, obj: Object) -> None:
        """Deal with a HelmRepository or OCIRepository that somebody made or changed."""
        metadata = obj["metadata"]
        with self._metrics.reconciling(obj["kind"], metadata["namespace"], metadata["name"]) as work:
            self._fetch(resource, obj)
            work.result = Result.REQUEUE_AFTER

    def _fetch(self, resource: str, obj: Object) -> None:
        if resource == HELM_REPOSITORIES:
            revision = digest_of([obj["metadata"]["name"], "index"])
            self._store_artifact(resource, obj, revision, revision, message=f"stored artifact: revision '{revision}'")
            return
        reference, tag = obj["spec"]["url"].removeprefix("oci://"), obj["spec"]["ref"]["tag"]
        digest = self._registry.find_digest(f"{reference}:{tag}")
        if digest is None:
            return
        chart = pushed_chart(reference.rpartition("/")[2], tag, digest)
        message = f"stored artifact for digest '{chart.revision}'"
        self._store_artifact(resource, obj, chart.revision, chart.digest, message=message)
        self.charts[resource, obj["metadata"]["namespace"], obj["metadata"]["name"]] = chart

    def chart_of(self, release: Object) -> Chart | None:
        """Return the chart that a release is to be made from now; None while its source has none.

        A HelmChart is made or changed as the release asks for it.
        """
        spec, metadata = release["spec"], release["metadata"]
        if "chartRef" in spec:
            ref = spec["chartRef"]
            return self.charts.get((OCI_REPOSITORIES, ref.get("namespace", metadata["namespace"]), ref["name"]))
        wanted = spec["chart"]["spec"]
        namespace, name = place_of_chart(release)
        self._put_chart(namespace, name, release, wanted)
        return self._package(name, namespace, wanted)

    def _put_chart(self, namespace: str, name: str, release: Object, wanted: Object) -> None:
        metadata = release["metadata"]
        spec: Object = {
            key: wanted[key] for key in ("chart", "version", "reconcileStrategy", "sourceRef") if key in wanted
        }
        spec["sourceRef"] = {key: wanted["sourceRef"][key] for key in ("kind", "name")}
        spec |= {"interval": release["spec"]["interval"]}
        present = self._store.find(HELM_CHARTS, name, namespace)
        labels = {f"helm.toolkit.fluxcd.io/{key}": metadata[key] for key in ("name", "namespace")}
        if present is None:
            made = {"metadata": {"name": name, "namespace": namespace, "labels": labels}, "spec": spec}
            self._asking.create(HELM_CHARTS, made)
        else:
            self._asking.patch(HELM_CHARTS, name, namespace, {"spec": spec})

    def _package(self, name: str, namespace: str, wanted: Object) -> Chart | None:
        source = wanted["sourceRef"]
        if source["kind"] == "GitRepository":
            artifact = self._git.artifact
            if artifact is None:
                return None
            chart = read_chart(artifact.files, wanted["chart"], sha=artifact.sha)
            reason, verb, of = "ChartPackageSucceeded", "packaged", self._revision("gitrepositories", source, namespace)
        else:
            of = self._revision(HELM_REPOSITORIES, source, namespace)
            if not of:
                return None
            chart = published_chart(wanted["chart"], wanted["version"])
            reason, verb = "ChartPullSucceeded", "pulled"
        obj = self._store.get(HELM_CHARTS, name, namespace)
        known = ((obj.get("status") or {}).get("artifact") or {}).get("revision")
        if known != chart.revision or obj["metadata"]["generation"] != obj["status"].get("observedGeneration"):
            message = f"{verb} '{chart.name}' chart with version '{chart.version}'"
            more: dict[str, Any] = {"observedChartName": chart.name, "observedSourceArtifactRevision": of}
            place = (HELM_CHARTS, obj, chart.revision, chart.digest)
            with self._metrics.reconciling("HelmChart", namespace, name) as work:
                self._store_artifact(*place, message=message, reason=reason, **more)
                work.result = Result.REQUEUE_AFTER
        self.charts[HELM_CHARTS, namespace, name] = chart
        return chart

    def fetched_at(self, resource: str, namespace: str, name: str) -> str:
        obj = self._store.get(resource, name, namespace)
        return str(obj["status"]["artifact"]["lastUpdateTime"])

    def _revision(self, resource: str, source: Object, namespace: str) -> str:
        found = self._store.find(resource, source["name"], source.get("namespace", namespace))
        return str((((found or {}).get("status") or {}).get("artifact") or {}).get("revision") or "")

    def _store_artifact(
        self,
        resource: str,
        obj: Object,
        revision: str,
        digest: str,
        *,
        message: str,
        reason: str = "Succeeded",
        **more: Any,
    ) -> None:
        metadata, now = obj["metadata"], self._clock.now()
        place = (resource, metadata["name"], metadata["namespace"])
        known = ((obj.get("status") or {}).get("artifact") or {}).get("revision")
        if known != revision:
            building = ("Unknown", "Progressing", f"building artifact: {message}")
            self._store.patch_status(*place, self._conditions(obj, now, Ready=building))
        if more:
            self._store.patch_status(*place, {"observedSourceArtifactRevision": more["observedSourceArtifactRevision"]})
        done = ("True", reason, message)
        obj = self._store.patch_status(*place, self._conditions(obj, now, Ready=done, ArtifactInStorage=done))
        status: Object = {"observedGeneration": metadata["generation"]} | more
        if known != revision:
            path = f"{resource.removesuffix('s')}/{metadata['namespace']}/{metadata['name']}/{digest[7:19]}.tgz"
            status["artifact"] = {
                "digest": digest,
                "lastUpdateTime": wire_time(now),
                "path": path,
                "revision": revision,
                "size": 576,
                "url": f"{_REPOSITORY_URL}/{path}",
            }
        self._store.patch_status(*place, status)

    def _conditions(self, obj: Object, at: datetime, **wanted: tuple[str, str, str]) -> Object:
        generation = obj["metadata"]["generation"]
        conditions = Conditions((obj.get("status") or {}).get("conditions"), generation=generation)
        for kind, (status, reason, message) in wanted.items():
            conditions.set(kind, status, reason, message, at=at)
        return {"conditions": conditions.listed()}


def place_of_chart(release: Object) -> tuple[str, str]:
    """Return namespace and name of the HelmChart that a release makes: it lies beside its source."""
    metadata, ref = release["metadata"], release["spec"]["chart"]["spec"]["sourceRef"]
    return ref.get("namespace", metadata["namespace"]), f"{metadata['namespace']}-{metadata['name']}"

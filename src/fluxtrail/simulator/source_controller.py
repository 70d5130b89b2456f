"""A simulated source-controller: one GitRepository, fetched from the real repository by git.

Status writes in the order of source-controller 1.9: conditions first, then the artifact, in patches of their own.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import structlog

from fluxtrail.model.errors import UpstreamError
from fluxtrail.simulator.apiserver.store import Store
from fluxtrail.simulator.checkout import Artifact, Checkout
from fluxtrail.simulator.clock import SimulatedClock, wire_time
from fluxtrail.simulator.controller_metrics import ControllerMetrics
from fluxtrail.simulator.duty import Duty
from fluxtrail.simulator.revisions import RevisionStyle
from fluxtrail.simulator.statuses import Conditions
from fluxtrail.simulator.truth import Truth

log = structlog.get_logger(__name__)

REQUESTED_AT = "reconcile.fluxcd.io/requestedAt"
RETRY_SECONDS = 2.0
RESOURCE = "gitrepositories"


@dataclass(slots=True)
class Network:
    """Whether this cluster reaches its git server now."""

    is_down: bool = False


class SourceController:
    """Reconciles one GitRepository for ever.

    Args:
        metrics: of the program that it is a part of.
        on_artifact: called when there is something new to apply.
    """

    def __init__(
        self,
        *,
        cluster: str,
        name: str,
        namespace: str,
        store: Store,
        checkout: Checkout,
        network: Network,
        clock: SimulatedClock,
        truth: Truth,
        style: RevisionStyle,
        dice: random.Random,
        metrics: ControllerMetrics,
        on_artifact: Callable[[], None],
    ) -> None:
        self.duty = Duty(clock)
        self.artifact: Artifact | None = None
        self.is_busy = False
        self._cluster = cluster
        self._name = name
        self._namespace = namespace
        self._store = store
        self._checkout = checkout
        self._network = network
        self._clock = clock
        self._truth = truth
        self._style = style
        self._dice = dice
        self._metrics = metrics
        self._has_failed = False
        self._on_artifact = on_artifact

    async def run(self, *, interval_seconds: float) -> None:
        while True:
            self.is_busy = True
            self._has_failed = False
            with self._metrics.reconciling("GitRepository", self._namespace, self._name) as work:
                wait = await self.reconcile(interval_seconds=interval_seconds)
                work.end(wait, has_failed=self._has_failed)
            self.is_busy = False
            await self.duty.wait(wait)

    async def reconcile(self, *, interval_seconds: float) -> float | None:
        """Fetch once; return when to look again, or None to wait for a change."""
        obj = self._store.get(RESOURCE, self._name, self._namespace)
        requested = (obj["metadata"].get("annotations") or {}).get(REQUESTED_AT)
        is_requested = bool(requested) and requested != (obj.get("status") or {}).get("lastHandledReconcileAt")
        if obj["spec"].get("suspend"):
            return None
        if is_requested:
            self._set(Reconciling=("True", "Progressing", "reconciliation in progress"))
        branch = obj["spec"]["ref"]["branch"]
        try:
            if self._network.is_down:
                raise UpstreamError("connection refused")
            sha = await self._checkout.head(branch)
            if sha is None:
                raise UpstreamError(f"couldn't find remote ref 'refs/heads/{branch}'")
            artifact = await self._checkout.artifact(sha)
        except UpstreamError as exc:
            return self._fail(exc.message)
        if self.artifact is None or artifact.sha != self.artifact.sha:
            await self._store_artifact(artifact, branch, requested)
        else:
            self._settle(self._style.revision(branch, sha), requested)
        return interval_seconds

    def _fail(self, why: str) -> float:
        self._has_failed = True
        message = f"failed to checkout and determine revision: unable to list remote: {why}"
        progress = self._conditions().message("Reconciling") or "reconciliation in progress"
        self._set(
            Reconciling=("True", "ProgressingWithRetry", progress),
            Ready=("False", "GitOperationFailed", message),
            FetchFailed=("True", "GitOperationFailed", message),
        )
        return RETRY_SECONDS

    def _settle(self, revision: str, requested: str | None) -> None:
        """Nothing new: an ordinary interval leaves the object as it is."""
        message = f"stored artifact for revision '{revision}'"
        self._set(remove=("Reconciling", "FetchFailed"), Ready=("True", "Succeeded", message))
        status: dict[str, Any] = {"observedGeneration": self._generation()}
        if requested:
            status["lastHandledReconcileAt"] = requested
        self._store.patch_status(RESOURCE, self._name, self._namespace, status)

    async def _store_artifact(self, artifact: Artifact, branch: str, requested: str | None) -> None:
        revision = self._style.revision(branch, artifact.sha)
        new, building = f"new upstream revision '{revision}'", "building artifact: new upstream revision"
        self._set(
            Reconciling=("True", "Progressing", f"{building} '{revision}'"),
            Ready=("Unknown", "Progressing", f"{building} '{revision}'"),
            ArtifactOutdated=("True", "NewRevision", new),
        )
        await self._clock.sleep(self._dice.uniform(0.01, 0.05))
        stored = ("True", "Succeeded", f"stored artifact for revision '{revision}'")
        self._set(remove=("Reconciling", "ArtifactOutdated", "FetchFailed"), Ready=stored, ArtifactInStorage=stored)
        at = self._truth.fetched(self._cluster, self._name, artifact.sha)
        file = f"gitrepository/{self._namespace}/{self._name}/{artifact.sha}.tar.gz"
        status = {
            "artifact": {
                "digest": artifact.digest,
                "lastUpdateTime": wire_time(at),
                "path": file,
                "revision": revision,
                "size": artifact.size,
                "url": f"http://source-controller.{self._namespace}.svc.cluster.local./{file}",
            },
            "observedGeneration": self._generation(),
        } | ({"lastHandledReconcileAt": requested} if requested else {})
        self.artifact = artifact
        self._store.patch_status(RESOURCE, self._name, self._namespace, status)
        log.debug("fetched", cluster=self._cluster, source=self._name, sha=artifact.sha)
        self._on_artifact()

    def _generation(self) -> int:
        return int(self._store.get(RESOURCE, self._name, self._namespace)["metadata"]["generation"])

    def _conditions(self) -> Conditions:
        obj = self._store.get(RESOURCE, self._name, self._namespace)
        present = (obj.get("status") or {}).get("conditions")
        return Conditions(present, generation=obj["metadata"]["generation"])

    def _set(self, *, remove: tuple[str, ...] = (), **conditions: tuple[str, str, str]) -> None:
        changed = self._conditions().remove(*remove)
        for kind, (status, reason, message) in conditions.items():
            changed.set(kind, status, reason, message, at=self._clock.now())
        self._store.patch_status(RESOURCE, self._name, self._namespace, {"conditions": changed.listed()})

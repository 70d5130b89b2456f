"""A simulated kustomize-controller: one Kustomization, its status written step by step as version 1.9 does.

The order matters to whoever watches. One successful reconciliation is these patches: `Fetching manifests` with
Ready=Unknown · `Building manifests` · `lastAttemptedRevision` · `Detecting drift` · with checks `Running health
checks` and Healthy=Unknown · Healthy=True · Ready=True · and only then, in a patch of its own,
`lastAppliedRevision` with the snapshot in `history`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import structlog

from fluxtrail.simulator.apiserver.store import Store
from fluxtrail.simulator.building import BuildError, Built, build
from fluxtrail.simulator.checkout import Artifact
from fluxtrail.simulator.clock import SimulatedClock
from fluxtrail.simulator.controller_metrics import ControllerMetrics
from fluxtrail.simulator.duty import Duty
from fluxtrail.simulator.repositories import Commit
from fluxtrail.simulator.revisions import RevisionStyle
from fluxtrail.simulator.source_controller import REQUESTED_AT, SourceController
from fluxtrail.simulator.statuses import Conditions, is_ready, upsert_snapshot
from fluxtrail.simulator.truth import Attempt, TargetTruth, Truth
from fluxtrail.simulator.workloads.applying import Applied, Applier
from fluxtrail.simulator.workloads.healths import Health, waiting_message
from fluxtrail.simulator.workloads.objects import KIND_OF_RESOURCE

log = structlog.get_logger(__name__)

RESOURCE = "kustomizations"
_TIMES = {"fetch": (0.01, 0.05), "build": (0.02, 0.2), "apply": (0.05, 0.4), "check": (0.2, 0.6)}
_POLL_SECONDS = 0.02
"""Real seconds at least between two looks at what is waited for."""

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Pace:
    """Delays of one Kustomization, in simulated seconds."""

    interval_seconds: float = 120.0
    retry_seconds: float = 10.0
    dependency_seconds: float = 5.0
    timeout_seconds: float = 30.0


class KustomizeController:
    """Reconciles one Kustomization for ever.

    Args:
        truth_of_target: where its doings are noted.
        commits: the world's memory of the manifests repository, to name what was applied.
        metrics: of the program that it is a part of.
        on_ready: called after each success, for those that depend on it.
        applier: puts what was built into the cluster; None: it lands on a cluster that nobody simulates.
    """

    def __init__(
        self,
        *,
        name: str,
        namespace: str,
        store: Store,
        source: SourceController,
        clock: SimulatedClock,
        truth: Truth,
        truth_of_target: TargetTruth,
        commits: Mapping[str, Commit],
        style: RevisionStyle,
        pace: Pace,
        dice: random.Random,
        on_ready: Callable[[], None],
        metrics: ControllerMetrics,
        applier: Applier | None = None,
    ) -> None:
        self.duty = Duty(clock)
        self.is_busy = False
        self.name = name
        self.handled: tuple[str, int] | None = None
        """(sha, generation) that the last finished reconciliation was about, whatever its end."""
        self._namespace = namespace
        self._store = store
        self._source = source
        self._clock = clock
        self._truth = truth
        self._target = truth_of_target
        self._commits = commits
        self._style = style
        self._pace = pace
        self._dice = dice
        self._on_ready = on_ready
        self._metrics = metrics
        self._applier = applier

    async def run(self) -> None:
        while True:
            self.is_busy = True
            with self._metrics.reconciling("Kustomization", self._namespace, self.name) as work:
                wait = await self.reconcile()
                # A failure is no error to it: it comes again after its retry interval.
                work.end(wait)
            self.is_busy = False
            await self.duty.wait(wait)

    def is_settled(self) -> bool:
        """Whether it has dealt with what its source has now, or is not allowed to."""
        if self.is_busy or self.duty.is_poked or self._source.artifact is None:
            return False
        obj = self._get()
        return bool(obj["spec"].get("suspend")) or self.handled == (
            self._source.artifact.sha,
            obj["metadata"]["generation"],
        )

    async def reconcile(self) -> float | None:
        """Reconcile once; return when to do so again, or None to wait for a change."""
        obj = self._get()
        if obj["spec"].get("suspend"):
            self._patch(observedGeneration=obj["metadata"]["generation"])
            return None
        artifact = self._source.artifact
        if artifact is None:
            self._set(Ready=("False", "ArtifactFailed", "Source artifact not found, retrying in 30s"))
            return self._pace.dependency_seconds
        waits_for = self._find_blocking_dependency(obj, artifact)
        if waits_for is not None:
            self._set(Ready=("False", "DependencyNotReady", waits_for))
            return self._pace.dependency_seconds
        is_good = await self._walk(obj, artifact)
        self.handled = (artifact.sha, obj["metadata"]["generation"])
        return self._pace.interval_seconds if is_good else self._pace.retry_seconds

    def _find_blocking_dependency(self, obj: Object, artifact: Artifact) -> str | None:
        """Return what is said of the first dependency that is not ready, or None.

        One with the same source must also have applied the source's present revision.
        """
        for item in obj["spec"].get("dependsOn") or ():
            name, namespace = item["name"], item.get("namespace", self._namespace)
            other = self._store.find(RESOURCE, name, namespace)
            label = f"dependency '{namespace}/{name}'"
            if other is None:
                return f"{label} not found"
            if not is_ready(other):
                return f"{label} is not ready"
            same_source = other["spec"]["sourceRef"] == obj["spec"]["sourceRef"]
            if same_source and other["status"].get("lastAppliedRevision") != self._revision(artifact):
                return f"{label} revision is not up to date"
        return None

    async def _walk(self, obj: Object, artifact: Artifact) -> bool:
        started = self._clock.now()
        attempt = self._truth.begin(self._target, self._commits[artifact.sha], generation=obj["metadata"]["generation"])
        revision = self._revision(artifact)
        self._set(
            Reconciling=("True", "Progressing", self._saying("Fetching manifests", revision)),
            Ready=("Unknown", "Progressing", "Reconciliation in progress"),
        )
        await self._work("fetch")
        self._set(Reconciling=("True", "Progressing", self._saying("Building manifests", revision)))
        try:
            built = build(artifact.files, obj["spec"]["path"], namespace=obj["spec"].get("targetNamespace"))
        except BuildError as exc:
            return await self._fail_early(attempt, revision, exc)
        self._patch(lastAttemptedRevision=revision)
        await self._work("build")
        attempt.digest = built.digest
        self._set(Reconciling=("True", "Progressing", self._saying("Detecting drift", revision)))
        await self._work("apply")
        applied = self._apply(obj, built)
        attempt.changed = applied.changed
        if self._target.has_checks and not await self._check(attempt, revision, applied):
            seconds = (self._clock.now() - started).total_seconds()
            inventory = self._inventory(built)
            self._add_snapshot(built, "HealthCheckFailed", revision, seconds, inventory=inventory)
            return False
        seconds = (self._clock.now() - started).total_seconds()
        self._succeed(attempt, revision, built, seconds)
        return True

    async def _fail_early(self, attempt: Attempt, revision: str, error: BuildError) -> bool:
        """A path that is not there leaves `lastAttemptedRevision` as it was; one that does not build does not."""
        if error.reason == "BuildFailed":
            self._patch(lastAttemptedRevision=revision)
        await self._work("build")
        self._truth.failed(self._target, attempt, error.reason)
        self._retry_later(error.reason, error.message)
        return False

    def _apply(self, obj: Object, built: Built) -> Applied:
        if self._applier is None:
            return Applied()
        target_namespace = obj["spec"].get("targetNamespace")
        return self._applier.apply(self.name, self._namespace, built.manifests, target_namespace=target_namespace)

    async def _check(self, attempt: Attempt, revision: str, applied: Applied) -> bool:
        saying = self._saying("Running health checks", revision)
        self._truth.applied(self._target, attempt)
        self._set(Reconciling=("True", "Progressing", saying), Healthy=("Unknown", "Progressing", saying))
        problem, took = await self._wait_for_health(applied)
        if not problem:
            self._set(Healthy=("True", "Succeeded", f"Health check passed in {took * 1000:.6f}ms"))
            return True
        self._truth.failed(self._target, attempt, "HealthCheckFailed")
        self._retry_later(
            "HealthCheckFailed",
            f"health check failed after {took:.9f}s: {problem}",
            Healthy=("False", "HealthCheckFailed", problem),
        )
        return False

    async def _wait_for_health(self, applied: Applied) -> tuple[str, float]:
        """Wait for all that was applied; return what is said against it, if anything, and the seconds it took.

        What has failed for good is not waited for (fluxcd/pkg ssa, FailFast).
        """
        began = self._clock.now()
        while True:
            await self._clock.sleep(max(self._dice.uniform(*_TIMES["check"]), _POLL_SECONDS * self._clock.scale))
            took = (self._clock.now() - began).total_seconds()
            healths = dict(self._applier.healths(applied)) if self._applier else {}
            bad = {place: health for place, health in healths.items() if health is Health.FAILED}
            if bad:
                return f"failed early due to stalled resources: [{waiting_message(bad, KIND_OF_RESOURCE)}]", took
            if all(health is Health.CURRENT for health in healths.values()):
                return "", took
            if took >= self._pace.timeout_seconds:
                return f"timeout waiting for: [{waiting_message(healths, KIND_OF_RESOURCE)}]", took

    def _inventory(self, built: Built) -> Object:
        return {"entries": [{"id": item, "v": version} for item, version in built.inventory]}

    def _succeed(self, attempt: Attempt, revision: str, built: Built, seconds: float) -> None:
        if attempt.applied_at is None:
            self._truth.applied(self._target, attempt)
        self._truth.succeeded(self._target, attempt)
        unused = ("Reconciling",) if self._target.has_checks else ("Reconciling", "Healthy")
        self._set(remove=unused, Ready=("True", "ReconciliationSucceeded", f"Applied revision: {revision}"))
        requested = (self._get()["metadata"].get("annotations") or {}).get(REQUESTED_AT)
        self._add_snapshot(
            built,
            "ReconciliationSucceeded",
            revision,
            seconds,
            lastAppliedRevision=revision,
            observedGeneration=attempt.generation,
            inventory=self._inventory(built),
            **({"lastHandledReconcileAt": requested} if requested else {}),
        )
        self._on_ready()

    def _add_snapshot(self, built: Built, reason: str, revision: str, seconds: float, **status: Any) -> None:
        if self._style.keeps_history:
            history = (self._get().get("status") or {}).get("history")
            status["history"] = upsert_snapshot(
                history, digest=built.digest, status=reason, revision=revision, at=self._clock.now(), seconds=seconds
            )
        self._patch(**status)

    def _retry_later(self, reason: str, message: str, **more: tuple[str, str, str]) -> None:
        progress = self._conditions().message("Reconciling")
        self._set(Reconciling=("True", "ProgressingWithRetry", progress), Ready=("False", reason, message), **more)
        log.debug("failed", cluster=self._target.cluster, target=self.name, reason=reason)

    def _saying(self, what: str, revision: str) -> str:
        return f"{what} for revision {revision} with a timeout of {self._pace.timeout_seconds:g}s"

    def _revision(self, artifact: Artifact) -> str:
        branch = self._store.get("gitrepositories", self._target.source, self._namespace)["spec"]["ref"]["branch"]
        return self._style.revision(branch, artifact.sha)

    async def _work(self, what: str) -> float:
        took = self._dice.uniform(*_TIMES[what])
        await self._clock.sleep(took)
        return took

    def _get(self) -> Object:
        return self._store.get(RESOURCE, self.name, self._namespace)

    def _patch(self, **status: Any) -> None:
        self._store.patch_status(RESOURCE, self.name, self._namespace, status)

    def _conditions(self) -> Conditions:
        obj = self._get()
        return Conditions((obj.get("status") or {}).get("conditions"), generation=obj["metadata"]["generation"])

    def _set(self, *, remove: tuple[str, ...] = (), **conditions: tuple[str, str, str]) -> None:
        changed = self._conditions().remove(*remove)
        for kind, (status, reason, message) in conditions.items():
            changed.set(kind, status, reason, message, at=self._clock.now())
        self._patch(conditions=changed.listed())

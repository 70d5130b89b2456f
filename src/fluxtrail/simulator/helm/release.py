"""A simulated helm-controller: one HelmRelease, its status written step by step as version 1.6 does.

One upgrade is these patches: `Fulfilling prerequisites` · `Running 'upgrade' action` with Ready=Unknown ·
`lastAttempted…` · (Helm works and waits) · Ready and Released · `history`, `inventory`, the action · no more
Reconciling · `observedGeneration`, and the history cut. A failure has its own: counted, then remedied, then retried
or `Stalled`.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog

from fluxtrail.simulator.apiserver.store import Store
from fluxtrail.simulator.clock import SimulatedClock
from fluxtrail.simulator.controller_metrics import ControllerMetrics
from fluxtrail.simulator.duty import Duty
from fluxtrail.simulator.helm.charts import Chart, config_digest, render
from fluxtrail.simulator.helm.history import truncated
from fluxtrail.simulator.helm.release_object import RESOURCE, ReleaseObject
from fluxtrail.simulator.helm.sources import HelmSources, place_of_chart
from fluxtrail.simulator.helm.truth import ReleaseTruth
from fluxtrail.simulator.statuses import is_ready
from fluxtrail.simulator.workloads.applying import Applied, Applier
from fluxtrail.simulator.workloads.healths import Health, waiting_message
from fluxtrail.simulator.workloads.objects import KIND_OF_RESOURCE

log = structlog.get_logger(__name__)

TIMEOUT_SECONDS = 30.0
INTERVAL_SECONDS = 300.0
RETRY_SECONDS = 5.0
DEPENDENCY_SECONDS = 3.0
HELM_SECONDS = (1.0, 1.5)
"""Until an action has rendered its chart and changes anything: it is never over within a second."""
_POLL_SECONDS = 0.02
KILLED = "killed"
"""In the place of an outage: the controller itself is gone amid the action."""
_VERBS = {"install": "Install", "upgrade": "Upgrade"}

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Work:
    """What a reconciliation is about."""

    generation: int
    chart: Chart
    config: str
    values: Object

    @property
    def key(self) -> tuple[int, str, str]:
        return self.generation, self.chart.version, self.config


class ReleaseController:
    """Reconciles one HelmRelease for ever.

    Args:
        metrics: of the program that it is a part of.
        keeps_inventory: whether this Flux writes `status.inventory` and the actions of the history; older ones do not.
        on_ready: called after each success, for those that depend on it.
        find_outage: asked in each action; returns what is out of order then, or `KILLED`.
    """

    def __init__(
        self,
        name: str,
        namespace: str,
        *,
        store: Store,
        clock: SimulatedClock,
        sources: HelmSources,
        applier: Applier,
        truth: ReleaseTruth,
        dice: random.Random,
        metrics: ControllerMetrics,
        keeps_inventory: bool,
        on_ready: Callable[[], None],
        find_outage: Callable[[], str] = lambda: "",
    ) -> None:
        self.duty = Duty(clock)
        self.is_busy = True
        self.handled: tuple[int, str, str] | None = None
        self._name = name
        self._namespace = namespace
        self._store = store
        self._clock = clock
        self._sources = sources
        self._applier = applier
        self._truth = truth
        self._dice = dice
        self._object = ReleaseObject(name, namespace, store=store, clock=clock, keeps_inventory=keeps_inventory)
        self._metrics = metrics
        self._has_failed = False
        self._on_ready = on_ready
        self._find_outage = find_outage
        self._before: list[Object] = []
        """What the last good release rendered to: what is rolled back to."""
        self._last_good: Work | None = None

    async def run(self) -> None:
        while True:
            self.is_busy = True
            self._has_failed = False
            with self._metrics.reconciling("HelmRelease", self._namespace, self._name) as work:
                wait = await self.reconcile()
                work.end(wait, has_failed=self._has_failed)
            if self._store.find(RESOURCE, self._name, self._namespace) is None:
                self._metrics.forget("HelmRelease", self._namespace, self._name)
            self.is_busy = False
            await self.duty.wait(wait)

    def is_settled(self) -> bool:
        if self.is_busy or self.duty.is_poked:
            return False
        obj = self._store.find(RESOURCE, self._name, self._namespace)
        if obj is None or obj["spec"].get("suspend"):
            return True
        work = self._find_work(obj)
        return work is not None and self.handled == work.key

    async def reconcile(self) -> float | None:
        """Reconcile once; return when to do so again, or None to wait for a change."""
        obj = self._store.find(RESOURCE, self._name, self._namespace)
        if obj is None:
            self._applier.remove(self._name)
            return None
        if obj["spec"].get("suspend"):
            return None
        self._object.set(remove=("Stalled",), Reconciling=("True", "Progressing", "Fulfilling prerequisites"))
        work = self._find_work(obj)
        if "chart" in obj["spec"] and "helmChart" not in obj["status"]:
            self._object.patch(helmChart="/".join(place_of_chart(obj)))
        waits_for = self._find_blocking_dependency(obj)
        if waits_for:
            self._object.set(Ready=("False", "DependencyNotReady", waits_for))
            return DEPENDENCY_SECONDS
        if work is None:
            why = "is not ready: latest generation of object has not been reconciled"
            self._object.set(Ready=("False", "SourceNotReady", f"HelmChart '{'/'.join(place_of_chart(obj))}' {why}"))
            return DEPENDENCY_SECONDS
        await self._clock.sleep(self._dice.uniform(0.02, 0.1))
        self._object.take_reset()
        is_forced = self._object.take_force()
        self._object.unlock()
        if not is_forced and self._is_done(work):
            return self._leave(work)
        return await self._act(obj, work)

    def _find_work(self, obj: Object) -> Work | None:
        chart = self._sources.chart_of(obj)
        if chart is None:
            return None
        self._truth.fetched(chart)
        values = obj["spec"].get("values") or {}
        return Work(obj["metadata"]["generation"], chart, config_digest(values), values)

    def _is_done(self, work: Work) -> bool:
        """Whether the newest release is what is wanted, or has been tried often enough."""
        status = self._object.status()
        history = status.get("history") or []
        attempted = (status.get("lastAttemptedGeneration"), status.get("lastAttemptedRevision"))
        is_tried = attempted == (work.generation, work.chart.version)
        if is_tried and status.get("failures"):
            return bool(status["failures"] > self._object.retries("upgrade" if self._last_good else "install"))
        newest = history[0] if history else {}
        wanted = (work.chart.version, work.config, "deployed")
        return (newest.get("chartVersion"), newest.get("configDigest"), newest.get("status")) == wanted

    def _leave(self, work: Work) -> float:
        if self._object.status().get("failures"):
            self._has_failed = True
            self._object.set(
                remove=("Reconciling",), Stalled=self._object.stalled("upgrade" if self._last_good else "install")
            )
        else:
            if self._last_good is not None and self._last_good.generation != work.generation:
                self._object.patch(lastAttemptedGeneration=work.generation)
                self._truth.unchanged(work)
            self._object.set(remove=("Reconciling",))
        self._object.patch(observedGeneration=work.generation, **self._object.handled_request())
        self.handled = work.key
        return INTERVAL_SECONDS

    async def _act(self, obj: Object, work: Work) -> float | None:
        action = "upgrade" if self._last_good else "install"
        began = self._clock.now()
        attempt = self._truth.begin(work)
        running = f"Running '{action}' action with timeout of {TIMEOUT_SECONDS:g}s"
        self._object.set(Reconciling=("True", "Progressing", running), Ready=("Unknown", "Progressing", running))
        self._note_attempt(work)
        await self._clock.sleep(self._dice.uniform(*HELM_SECONDS))
        outage = self._find_outage()
        if outage == KILLED:
            # Nobody is left to say how it ended: Helm's record of it stays pending.
            self._object.patch(history=self._object.add_release(work, action, f"pending-{action}", began))
            return None
        if outage:
            return await self._fail(work, attempt, action, outage, began)
        manifests = render(work.chart, self._name, self._namespace, work.values)
        applied = self._applier.apply(self._name, self._namespace, manifests)
        self._truth.applied(attempt, applied)
        problem = await self._wait(applied, obj)
        if problem:
            return await self._fail(work, attempt, action, problem, began)
        self._truth.succeeded(attempt)
        self._succeed(work, action, manifests, began)
        return INTERVAL_SECONDS

    async def _wait(self, applied: Applied, obj: Object) -> str:
        """Wait for all that the release holds; return what is said against it, if anything."""
        if (obj["spec"].get("upgrade") or {}).get("disableWait"):
            return ""
        began = self._clock.now()
        while True:
            await self._clock.sleep(max(self._dice.uniform(0.2, 0.6), _POLL_SECONDS * self._clock.scale))
            healths = self._applier.healths(applied)
            bad = {place: health for place, health in healths.items() if health is Health.FAILED}
            if bad:
                return f"failed early due to stalled resources: [{waiting_message(bad, KIND_OF_RESOURCE)}]"
            if all(health is Health.CURRENT for health in healths.values()):
                return ""
            if (self._clock.now() - began).total_seconds() > TIMEOUT_SECONDS:
                return f"timeout waiting for: [{waiting_message(healths, KIND_OF_RESOURCE)}]"

    def _note_attempt(self, work: Work) -> None:
        status = self._object.status()
        known = (status.get("lastAttemptedGeneration"), status.get("lastAttemptedRevision"))
        fresh: Object = {}
        if known != (work.generation, work.chart.version):
            fresh = {"failures": None, "installFailures": None, "upgradeFailures": None}
        self._object.patch(
            lastAttemptedGeneration=work.generation,
            lastAttemptedRevision=work.chart.version,
            lastAttemptedRevisionDigest=work.chart.oci_digest,
            lastAttemptedConfigDigest=work.config,
            storageNamespace=self._namespace,
            **fresh,
        )

    def _succeed(self, work: Work, action: str, manifests: list[Object], began: datetime) -> None:
        history = self._object.add_release(work, action, "deployed", began)
        message = f"Helm {action} succeeded for release {self._label(history)} with chart {_chart(work)}"
        done = ("True", f"{_VERBS[action]}Succeeded", message)
        self._object.set(remove=("Remediated",), Ready=done, Released=done)
        self._object.patch(**self._object.action(action, began), **self._object.inventory(manifests), history=history)
        self._object.set(remove=("Reconciling",))
        self._object.patch(
            observedGeneration=work.generation, history=truncated(history), **self._object.handled_request()
        )
        self._before, self._last_good = manifests, work
        self.handled = work.key
        self._on_ready()

    async def _fail(self, work: Work, attempt: Any, action: str, problem: str, began: datetime) -> float:
        message = (
            f"Helm {action} failed for release {self._namespace}/{self._name} with chart {_chart(work)}: {problem}"
        )
        reason = f"{_VERBS[action]}Failed"
        self._truth.failed(attempt, reason)
        self._object.set(remove=("Remediated",), Ready=("False", reason, message), Released=("False", reason, message))
        status = self._object.status()
        counter = f"{action}Failures"
        counts = {"failures": status.get("failures", 0) + 1, counter: status.get(counter, 0) + 1}
        history = self._object.add_release(work, action, "failed", began)
        self._object.patch(**self._object.action(action, began), **counts, history=history)
        is_last = counts["failures"] > self._object.retries(action)
        # "Exceeded maximum retries" is an error to it; what is tried again is not.
        self._has_failed = is_last
        if self._object.remedies(action, is_last=is_last):
            self._truth.remedied(attempt)
            await self._remedy(work, action, is_last=is_last)
        elif is_last:
            self._object.set(remove=("Reconciling",), Stalled=self._object.stalled(action))
        else:
            self._object.set(Reconciling=("True", "ProgressingWithRetry", message))
        if is_last:
            self._object.patch(observedGeneration=work.generation, **self._object.handled_request())
        self.handled = work.key if is_last else None
        return INTERVAL_SECONDS if is_last else RETRY_SECONDS

    async def _remedy(self, work: Work, action: str, *, is_last: bool) -> None:
        """Roll back what was upgraded, uninstall what was installed."""
        good = self._last_good
        deed = "rollback" if good else "uninstall"
        running = f"Running '{deed}' action with timeout of {TIMEOUT_SECONDS:g}s"
        self._object.set(Reconciling=("True", "Progressing", running))
        if good is None:
            self._applier.remove(self._name)
            label = f"{self._namespace}/{self._name}.v1"
            message = f"Helm uninstall remediation for release {label} with chart {_chart(work)} succeeded"
            done = ("True", "UninstallSucceeded", message)
            history = list(self._object.status().get("history") or [])
            history = [history[0] | {"status": "uninstalling", "action": "uninstall-remediation"}] if history else []
            conditions = {"Remediated": done}
        else:
            began = self._clock.now()
            applied = self._applier.apply(self._name, self._namespace, self._before)
            await self._wait(applied, {"spec": {}})
            history = self._object.add_release(good, "rollback", "deployed", began)
            label = f"{self._namespace}/{self._name}.v{history[-1]['version']}"
            message = f"Helm rollback to previous release {label} with chart {_chart(good)} succeeded"
            conditions = {
                "Ready": ("False", "RollbackSucceeded", message),
                "Remediated": ("True", "RollbackSucceeded", message),
            }
        if is_last:
            self._object.set(remove=("Reconciling",), Stalled=self._object.stalled(action), **conditions)
        else:
            self._object.set(Reconciling=("True", "ProgressingWithRetry", message), **conditions)
        self._object.patch(history=history)

    def _label(self, history: list[Object]) -> str:
        return f"{self._namespace}/{self._name}.v{history[0]['version']}"

    def _find_blocking_dependency(self, obj: Object) -> str:
        for item in obj["spec"].get("dependsOn") or ():
            name, namespace = item["name"], item.get("namespace", self._namespace)
            other = self._store.find(RESOURCE, name, namespace)
            if other is None or not is_ready(other):
                return f"dependency '{namespace}/{name}' is not ready"
        return ""


def _chart(work: Work) -> str:
    return f"{work.chart.name}@{work.chart.version}"

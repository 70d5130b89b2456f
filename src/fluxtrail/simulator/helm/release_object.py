"""A HelmRelease as its controller reads and writes it: the pieces of its status."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Protocol

from fluxtrail.simulator.apiserver.store import Store
from fluxtrail.simulator.clock import SimulatedClock
from fluxtrail.simulator.helm.charts import Chart
from fluxtrail.simulator.helm.history import released
from fluxtrail.simulator.source_controller import REQUESTED_AT
from fluxtrail.simulator.statuses import Conditions

RESOURCE = "helmreleases"
RESET_AT = "reconcile.fluxcd.io/resetAt"
FORCE_AT = "reconcile.fluxcd.io/forceAt"

Object = dict[str, Any]


class Released(Protocol):
    """What a release of Helm's is made from."""

    @property
    def chart(self) -> Chart: ...

    @property
    def config(self) -> str: ...


class ReleaseObject:
    """One HelmRelease in the store.

    Args:
        keeps_inventory: whether this Flux writes `status.inventory` and the actions of the history; older ones do not.
    """

    def __init__(
        self, name: str, namespace: str, *, store: Store, clock: SimulatedClock, keeps_inventory: bool
    ) -> None:
        self._name = name
        self._namespace = namespace
        self._store = store
        self._clock = clock
        self._keeps_inventory = keeps_inventory

    def read(self) -> Object:
        return self._store.get(RESOURCE, self._name, self._namespace)

    def status(self) -> Object:
        status: Object = self.read().get("status") or {}
        return status

    def patch(self, **status: Any) -> None:
        self._store.patch_status(RESOURCE, self._name, self._namespace, status)

    def set(self, *, remove: tuple[str, ...] = (), **conditions: tuple[str, str, str]) -> None:
        obj = self.read()
        changed = Conditions((obj.get("status") or {}).get("conditions"), generation=obj["metadata"]["generation"])
        changed.remove(*remove)
        for kind, (status, reason, message) in conditions.items():
            changed.set(kind, status, reason, message, at=self._clock.now())
        self.patch(conditions=changed.listed())

    def add_release(self, work: Released, action: str, status: str, began: datetime) -> list[Object]:
        """Return the history with one more; Helm dates a release when it begins."""
        history = released(
            list(self.status().get("history") or []),
            chart=work.chart,
            config=work.config,
            action=action,
            status=status,
            at=began,
            release={"name": self._name, "namespace": self._namespace},
        )
        return history if self._keeps_inventory else [{k: v for k, v in h.items() if k != "action"} for h in history]

    def action(self, action: str, began: datetime) -> Object:
        seconds = (self._clock.now() - began).total_seconds()
        if not self._keeps_inventory:
            return {"lastAttemptedReleaseAction": action}
        return {"lastAttemptedReleaseAction": action, "lastAttemptedReleaseActionDuration": f"{seconds:.9f}s"}

    def inventory(self, manifests: list[Object]) -> Object:
        if not self._keeps_inventory:
            return {}
        entries = []
        for item in manifests:
            group, _, version = item["apiVersion"].rpartition("/")
            entries.append({"id": f"{self._namespace}_{item['metadata']['name']}_{group}_{item['kind']}", "v": version})
        return {"inventory": {"entries": entries}}

    def retries(self, action: str) -> int:
        spec = self.read()["spec"]
        return int(((spec.get(action) or {}).get("remediation") or {}).get("retries", 0))

    def remedies(self, action: str, *, is_last: bool) -> bool:
        remediation = (self.read()["spec"].get(action) or {}).get("remediation") or {}
        default = remediation.get("retries", 0) > 0
        return bool(remediation.get("remediateLastFailure", default)) if is_last else bool(remediation)

    def stalled(self, action: str) -> tuple[str, str, str]:
        return "True", "RetriesExceeded", f"Failed to {action} after {self.status()['failures']} attempt(s)"

    def take_reset(self) -> None:
        """Set the counters of failures back where that is asked for, once for each token."""
        token = self._request(RESET_AT)
        if token and token != self.status().get("lastHandledResetAt"):
            self.patch(lastHandledResetAt=token, failures=None, installFailures=None, upgradeFailures=None)

    def take_force(self) -> bool:
        """Whether an action is asked for whatever the counters say, once for each token."""
        token = self._request(FORCE_AT)
        if not token or token == self.status().get("lastHandledForceAt"):
            return False
        self.patch(lastHandledForceAt=token)
        return True

    def _request(self, name: str) -> str:
        """Return a request's token: it counts only while it is that of the request to reconcile."""
        annotations = self.read()["metadata"].get("annotations") or {}
        token = str(annotations.get(name) or "")
        return token if token == annotations.get(REQUESTED_AT) else ""

    def unlock(self) -> None:
        """Take what an action that was cut short left pending for failed."""
        history = list(self.status().get("history") or [])
        if not history or not history[0]["status"].startswith("pending-"):
            return
        newest = history[0]
        place = f"{self._namespace}/{self._name}.v{newest['version']}"
        chart = f"{newest['chartName']}@{newest['chartVersion']}"
        message = f"Unlocked Helm release {place} with chart {chart} in {newest['status']} state"
        self.set(Released=("False", "PendingRelease", message))
        self.patch(history=[newest | {"status": "failed"}, *history[1:]])

    def handled_request(self) -> Object:
        requested = (self.read()["metadata"].get("annotations") or {}).get(REQUESTED_AT)
        return {"lastHandledReconcileAt": requested} if requested else {}

"""An Argo-like controller: a Rollout's new template runs beside the old one for a while, before it takes over."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from fluxtrail.simulator.apiserver.store import Store
from fluxtrail.simulator.clock import SimulatedClock, precise_time, seconds
from fluxtrail.simulator.workloads.objects import (
    ROLLOUT_REVISION,
    ROLLOUTS,
    Object,
    is_going,
    patch_status,
    revision,
    wanted_pods,
)
from fluxtrail.simulator.workloads.replicasets import ReplicaSetFamily, ready_count

HASH_LABEL = "rollouts-pod-template-hash"
CANARY_SECONDS = 6.0

Later = Callable[[float, str, str, str], None]
"""(seconds, resource, namespace, name): step that object again after so much simulated time."""


class Rollouts:
    """Canary: one pod of the new template until the pause is over, then all. `status.abort` takes it back."""

    def __init__(self, store: Store, *, clock: SimulatedClock, later: Later) -> None:
        self._store = store
        self._clock = clock
        self._later = later

    def step(self, namespace: str, name: str) -> None:
        found = self._store.find(ROLLOUTS, name, namespace)
        if found is None or is_going(found):
            return
        status = found.get("status") or {}
        family = ReplicaSetFamily(self._store, found, hash_label=HASH_LABEL, annotation=ROLLOUT_REVISION)
        if status.get("currentPodHash") != family.hash:
            self._begin(found, family)
            return
        present, stable = family.present(), family.find(str(status["stableRS"]))
        wanted = wanted_pods(found)
        if stable is None or stable["metadata"]["uid"] == present["metadata"]["uid"]:
            present = family.scale(present, wanted)
            self._empty_others(family, present)
            phase = "Healthy"
        elif status.get("abort"):
            family.scale(present, 0)
            family.scale(stable, wanted)
            phase = "Degraded"
        elif status.get("currentStepIndex", 0) < 1:
            phase = self._try_out(found, family, present, stable, wanted)
        else:
            phase = self._take_over(found, family, present, wanted)
        ready = sum(map(ready_count, family.sets))
        patch_status(self._store, ROLLOUTS, found, phase=phase, readyReplicas=ready, availableReplicas=ready)

    def _begin(self, rollout: Object, family: ReplicaSetFamily) -> None:
        """A new template: a new set with the highest revision. The first one is the stable one at once."""
        present = family.present()
        stable = (rollout.get("status") or {}).get("stableRS") or family.hash
        annotations = {ROLLOUT_REVISION: str(revision(present, ROLLOUT_REVISION))}
        metadata = rollout["metadata"]
        self._store.patch(ROLLOUTS, metadata["name"], metadata["namespace"], {"metadata": {"annotations": annotations}})
        patch_status(
            self._store,
            ROLLOUTS,
            rollout,
            currentPodHash=family.hash,
            stableRS=stable,
            currentStepIndex=0,
            abort=None,
            pauseConditions=None,
        )

    def _try_out(self, rollout: Object, family: ReplicaSetFamily, present: Object, stable: Object, wanted: int) -> str:
        present = family.scale(present, 1)
        family.scale(stable, max(wanted - 1, 1))
        paused = (rollout.get("status") or {}).get("pauseConditions")
        now = self._clock.now()
        if paused:
            began = datetime.fromisoformat(paused[0]["startTime"].replace("Z", "+00:00"))
            if now >= began + seconds(CANARY_SECONDS):
                patch_status(self._store, ROLLOUTS, rollout, currentStepIndex=1, pauseConditions=None)
                return "Progressing"
        elif ready_count(present):
            pause = {"reason": "CanaryPauseStep", "startTime": precise_time(now)}
            patch_status(self._store, ROLLOUTS, rollout, pauseConditions=[pause])
            metadata = rollout["metadata"]
            self._later(CANARY_SECONDS + 0.1, ROLLOUTS, metadata["namespace"], metadata["name"])
        return "Paused" if paused else "Progressing"

    def _take_over(self, rollout: Object, family: ReplicaSetFamily, present: Object, wanted: int) -> str:
        present = family.scale(present, wanted)
        if ready_count(present) < wanted:
            return "Progressing"
        self._empty_others(family, present)
        patch_status(self._store, ROLLOUTS, rollout, stableRS=family.hash)
        return "Healthy"

    def _empty_others(self, family: ReplicaSetFamily, present: Object) -> None:
        for item in family.others(present):
            family.scale(item, 0)
        family.prune(present, limit=3)

"""Status fields as Flux's controllers write them: conditions, history, artifacts.

Source: fluxcd/pkg runtime/conditions and apis/meta history.go; the order and the wording were compared with
what source-controller 1.9 and kustomize-controller 1.9 write.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from fluxtrail.simulator.clock import wire_time

Status = dict[str, Any]

HISTORY_LIMIT = 5


class Conditions:
    """The conditions of one object. Each `set` moves `lastTransitionTime` when anything in the condition changes."""

    def __init__(self, present: list[Status] | None, *, generation: int) -> None:
        self._by_type = {item["type"]: item for item in present or ()}
        self._generation = generation

    def set(self, kind: str, status: str, reason: str, message: str, *, at: datetime) -> Conditions:
        new = {
            "type": kind,
            "status": status,
            "reason": reason,
            "message": message,
            "observedGeneration": self._generation,
        }
        old = self._by_type.get(kind)
        is_same = old is not None and all(old.get(key) == value for key, value in new.items())
        if not is_same:
            self._by_type[kind] = new | {"lastTransitionTime": wire_time(at)}
        return self

    def remove(self, *kinds: str) -> Conditions:
        for kind in kinds:
            self._by_type.pop(kind, None)
        return self

    def message(self, kind: str) -> str:
        return str((self._by_type.get(kind) or {}).get("message", ""))

    def listed(self) -> list[Status]:
        """Return them as the API has them: Ready first."""
        return sorted(self._by_type.values(), key=lambda item: (item["type"] != "Ready", item["type"]))


def upsert_snapshot(
    history: list[Status] | None, *, digest: str, status: str, revision: str, at: datetime, seconds: float
) -> list[Status]:
    """Return the history with one more reconciliation: a known (digest, status) comes to the front."""
    rest = list(history or ())
    known = next((s for s in rest if (s["digest"], s["lastReconciledStatus"]) == (digest, status)), None)
    if known is not None:
        rest.remove(known)
    snapshot = {
        "digest": digest,
        "firstReconciled": known["firstReconciled"] if known else wire_time(at),
        "lastReconciled": wire_time(at),
        "lastReconciledDuration": f"{seconds * 1000:.6f}ms" if seconds < 1 else f"{seconds:.9f}s",
        "lastReconciledStatus": status,
        "metadata": {"revision": revision},
        "totalReconciliations": (known["totalReconciliations"] if known else 0) + 1,
    }
    return [snapshot, *rest][:HISTORY_LIMIT]


def is_ready(obj: Status) -> bool:
    """Whether an object is Ready at its present generation: what `dependsOn` asks."""
    status = obj.get("status") or {}
    ready = next((c for c in status.get("conditions") or () if c["type"] == "Ready"), None)
    current = status.get("observedGeneration") == obj["metadata"].get("generation")
    return bool(ready and ready["status"] == "True" and current)

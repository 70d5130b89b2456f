"""Conditions of workloads as their controllers write them: each with its own times.

Source: kubernetes pkg/controller/deployment/util, pkg/controller/replicaset, version 1.34.
"""

from __future__ import annotations

from datetime import datetime

from fluxtrail.simulator.clock import wire_time
from fluxtrail.simulator.workloads.objects import Object


def condition(kind: str, status: str, reason: str = "", message: str = "") -> Object:
    """Return a condition without times; `dated` gives it some."""
    return {"type": kind, "status": status, "reason": reason, "message": message}


def find(obj: Object, kind: str) -> Object | None:
    listed = (obj.get("status") or {}).get("conditions") or ()
    return next((item for item in listed if item["type"] == kind), None)


def dated(obj: Object, *wanted: Object | None, at: datetime, is_updated: bool = False) -> list[Object]:
    """Return conditions with the times that they have had, or `at` where they are new.

    Args:
        obj: whose present conditions are compared with.
        wanted: as `condition` makes them; None is left out.
        at: now.
        is_updated: write `lastUpdateTime` too, as Deployments do; `at` where reason or message changed.
    """
    result = []
    for item in wanted:
        if item is None:
            continue
        old = find(obj, item["type"])
        is_kept = old is not None and old["status"] == item["status"]
        times = {"lastTransitionTime": old["lastTransitionTime"] if old and is_kept else wire_time(at)}
        if is_updated:
            is_same = old is not None and all(old.get(key) == value for key, value in item.items())
            times["lastUpdateTime"] = old["lastUpdateTime"] if old and is_same else wire_time(at)
        result.append(item | times)
    return result

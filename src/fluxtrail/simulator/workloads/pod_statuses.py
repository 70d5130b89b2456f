"""The pieces of a pod's status, as a kubelet writes them.

Sources: kubernetes pkg/kubelet (kuberuntime, status) and pkg/scheduler, version 1.34.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from fluxtrail.simulator.clock import wire_time
from fluxtrail.simulator.workloads.objects import Object

NOT_READY = "ContainersNotReady"
COMPLETED = "PodCompleted"
FAILED = "PodFailed"


def waiting(container: Object, reason: str = "ContainerCreating", message: str = "") -> Object:
    """Return the status of a container that waits for its (next) start."""
    state = {"reason": reason} | ({"message": message} if message else {})
    return {
        "name": container["name"],
        "image": container["image"],
        "imageID": "",
        "ready": False,
        "started": False,
        "restartCount": 0,
        "state": {"waiting": state},
        "lastState": {},
    }


def ended(status: Object, *, at: datetime, exit_code: int = 0, reason: str = "Completed") -> Object:
    """Return the status of a container that ran, and has come to its end."""
    started = (status["state"].get("running") or {}).get("startedAt", wire_time(at))
    end = {"exitCode": exit_code, "reason": reason, "startedAt": started, "finishedAt": wire_time(at)}
    return status | {"ready": False, "started": False, "state": {"terminated": end}}


def backing_off(status: Object, pod: Object, *, seconds: int) -> Object:
    """Return the status of a container that ended, and waits for its next start."""
    metadata = pod["metadata"]
    name = f"{metadata['name']}_{metadata['namespace']}({metadata['uid']})"
    message = f"back-off {seconds}s restarting failed container={status['name']} pod={name}"
    crashed = {"reason": "CrashLoopBackOff", "message": message}
    return status | {"state": {"waiting": crashed}, "lastState": status["state"]}


def started_conditions(reason: str, containers: Iterable[Object], *, at: datetime) -> list[Object]:
    """Return the conditions of a pod that has its node; without a reason it is ready.

    Args:
        reason: why it is not: NOT_READY, COMPLETED, FAILED.
        containers: named in the message.
        at: of those that change; see `merged`.
    """
    names = " ".join(container["name"] for container in containers)
    said = {"message": f"containers with unready status: [{names}]"} if reason == NOT_READY else {}
    is_ready = {"status": "False", "reason": reason} | said if reason else {"status": "True"}
    sandbox = "False" if reason in (COMPLETED, FAILED) else "True"
    return [
        {"type": "PodReadyToStartContainers", "status": sandbox, "lastTransitionTime": wire_time(at)},
        {"type": "Initialized", "status": "True", "lastTransitionTime": wire_time(at)},
        {"type": "Ready", "lastTransitionTime": wire_time(at)} | is_ready,
        {"type": "ContainersReady", "lastTransitionTime": wire_time(at)} | is_ready,
        {"type": "PodScheduled", "status": "True", "lastTransitionTime": wire_time(at)},
    ]


def merged(old: Sequence[Object], new: Sequence[Object]) -> list[Object]:
    """Return new conditions, each with its old `lastTransitionTime` where its status is the old one."""
    before = {item["type"]: item for item in old}
    result = []
    for item in new:
        known = before.pop(item["type"], None)
        is_same = known is not None and known["status"] == item["status"]
        result.append(item | {"lastTransitionTime": known["lastTransitionTime"]} if known and is_same else item)
    return [*result, *(item for kind, item in before.items() if kind == "DisruptionTarget")]

"""Workloads, roll-outs and images to put into a ledger, with everything filled in that a test does not care about."""

from __future__ import annotations

from typing import Any

from tests.ledger.deployments import digest
from tests.ledger.world import NOON

from fluxtrail.model.image_records import ImageRecord, ImageRun, ImageState
from fluxtrail.model.observation import ClusterUid, ObjectKey, ObjectUid
from fluxtrail.model.records import UNSAVED, SyncRecord, TargetRecord
from fluxtrail.model.rollout import RolloutState
from fluxtrail.model.running_records import RolloutRecord, WorkloadId, WorkloadRecord


def workload(target: TargetRecord, name: str = "shop", **given: Any) -> WorkloadRecord:
    fields: dict[str, Any] = {
        "id": WorkloadId(UNSAVED),
        "cluster": target.cluster,
        "key": ObjectKey("apps", "Deployment", "prod", name),
        "uid": ObjectUid(f"uid-{name}"),
        "target_id": target.id,
        "generation": 1,
        "touched_at": None,
        "images": {"app": "ghcr.io/acme/shop:v1"},
        "state": RolloutState.PROGRESSING,
        "since": NOON,
        "observed_at": NOON,
    }
    return WorkloadRecord(**(fields | given))


def rollout(sync: SyncRecord, of: WorkloadRecord, **given: Any) -> RolloutRecord:
    fields: dict[str, Any] = {"sync_id": sync.id, "workload_id": of.id, "generation": of.generation}
    return RolloutRecord(**(fields | given))


def image(number: int = 1, **given: Any) -> ImageRecord:
    fields: dict[str, Any] = {
        "digest": digest(number),
        "repository": "ghcr.io/acme/shop",
        "state": ImageState.PENDING,
    }
    return ImageRecord(**(fields | given))


def run(number: int = 1, name: str = "shop", *, cluster: str = "c1", **given: Any) -> ImageRun:
    fields: dict[str, Any] = {
        "cluster": ClusterUid(cluster),
        "namespace": "prod",
        "kind": "Deployment",
        "workload": name,
        "container": "app",
        "digest": digest(number),
        "image": f"ghcr.io/acme/shop:v{number}",
        "since": NOON,
    }
    return ImageRun(**(fields | given))

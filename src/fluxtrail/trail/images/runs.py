"""Which digests a workload's containers run, as its pods say: pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from fluxtrail.model.image import is_digest
from fluxtrail.model.workloads import Pod


class Slot(NamedTuple):
    """One digest in one container of a workload."""

    container: str
    digest: str


class Use(NamedTuple):
    image: str
    """As wanted, with its tag."""
    since: datetime | None
    """When the first of the containers there started; None where no node has said so."""


def uses_of(pods: Iterable[Pod]) -> dict[Slot, Use]:
    """Return what these pods run. Pods that are over run nothing; init containers count while their pod is there."""
    found: dict[Slot, Use] = {}
    for pod in pods:
        if pod.is_over:
            continue
        for container in pod.containers:
            if not is_digest(container.image_id):
                continue
            slot = Slot(container.name, container.image_id)
            known = found.get(slot)
            if known is None:
                found[slot] = Use(container.image, container.started_at)
            elif _is_earlier(container.started_at, known.since):
                found[slot] = Use(known.image, container.started_at)
    return found


def _is_earlier(left: datetime | None, right: datetime | None) -> bool:
    return left is not None and (right is None or left < right)

"""What GitHub should hold of a namespace, read from the API server's own lists by the documented rule.

Written again from docs/deployment-records.md, and plainly: nothing is shared with what it judges.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from benchmarks.hostile_pods import GENERATION, HASH, KINDS, REVISION, Api

Json = dict[str, Any]

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


async def read_expected(api: Api) -> tuple[dict[str, str], set[str]]:
    """Return the digest of each deployment name of which a container runs, and the names of all containers."""
    lists = {kind: await api.list(kind) for kind in KINDS}
    objects = {item["metadata"]["uid"]: item | {"kind": kind} for kind in KINDS for item in lists[kind]}
    speakers: dict[str, list[tuple[Any, ...]]] = {}
    names: set[str] = set()
    for pod in lists["Pod"]:
        owner = _owner(pod, objects)
        top = owner and (_owner(owner, objects) or owner)
        workload = (top or pod)["metadata"]["name"]
        prefix = f"{api.namespace}/{workload}/"
        spec, status = pod["spec"], pod.get("status") or {}
        names |= {prefix + item["name"] for item in [*spec["containers"], *(spec.get("initContainers") or ())]}
        if status.get("phase") != "Running":
            continue
        for run in [*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ())]:
            digest = _DIGEST.search(run.get("imageID") or "")
            if digest:
                rank = (
                    "deletionTimestamp" not in pod["metadata"],
                    _revision(pod, owner),
                    pod["metadata"]["creationTimestamp"],
                    _started(run),
                    digest.group(),
                )
                speakers.setdefault(prefix + run["name"], []).append(rank)
    return {name: max(ranks)[-1] for name, ranks in speakers.items()}, names


def _owner(item: Json, objects: Mapping[str, Json]) -> Json | None:
    references = item["metadata"].get("ownerReferences") or [{}]
    return objects.get(references[0].get("uid", ""))


def _revision(pod: Json, owner: Json | None) -> int:
    labels = pod["metadata"].get("labels") or {}
    if owner is None:
        return 0
    match owner["kind"]:
        case "ReplicaSet":
            return int(owner["metadata"]["annotations"][REVISION])
        case "StatefulSet":
            return int(labels[HASH] == owner["status"]["updateRevision"])
        case _:
            return int(labels[GENERATION])


def _started(run: Json) -> str:
    """Times of one form and of whole seconds: in the order of their text."""
    state = run.get("state") or {}
    started: str = ((state.get("running") or state.get("terminated")) or {}).get("startedAt") or ""
    return started


def differences(
    expected: Mapping[str, str],
    names: Collection[str],
    held: Sequence[Json],
    *,
    ever: Mapping[str, Collection[str]],
) -> list[str]:
    """Return where GitHub's records are not what they should be; what runs nowhere now may be as it was told last.

    Args:
        ever: name -> every digest that ever ran there.
    """
    told = {item["deployment_name"]: item for item in held}
    found = [f"{name} is there, and never was" for name in sorted(told.keys() - set(names))]
    for name, digest in sorted(expected.items()):
        item = told.get(name)
        said = (item["digest"], item["status"]) if item else None
        if said != (digest, "deployed"):
            found.append(f"{name} is {said}, true is {digest}")
    for name in sorted(set(names) - expected.keys()):
        item = told.get(name)
        if item is not None and item["digest"] not in ever.get(name, ()):
            found.append(f"{name} is {item['digest']}, which never ran there")
    return found

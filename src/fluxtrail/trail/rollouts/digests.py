"""Which image digest a workload runs: of its updated pods, so that a tag is what it was when they pulled it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from fluxtrail.model.image import is_digest
from fluxtrail.model.workloads import Pod, Workload
from fluxtrail.trail.rollouts.revisions import updated_pods


def digests_of(workload: Workload | Pod, pods: Sequence[Pod], below: Sequence[Workload] = ()) -> dict[str, str]:
    """Return by container the one digest that the updated pods run.

    Nothing of a container of which they run several (its tag moved in between), and of one that has not begun in any
    of them. A pod that failed and was replaced is not asked; one that succeeded ran what it was to run.

    Args:
        below: its ReplicaSets; without them the newest pod's is taken for the newest.
    """
    asked = [workload] if isinstance(workload, Pod) else updated_pods(workload, pods, below)
    found: defaultdict[str, set[str]] = defaultdict(set)
    for pod in asked:
        if pod.phase != "Failed":
            for run in pod.containers:
                if is_digest(run.image_id):
                    found[run.name].add(run.image_id)
    return {name: next(iter(digests)) for name, digests in sorted(found.items()) if len(digests) == 1}

"""Whether a sync changed a workload, told from what was kept of it after the sync before."""

from __future__ import annotations

from fluxtrail.model.running_records import WorkloadRecord
from fluxtrail.model.workloads import Pod, Workload


def is_changed(before: WorkloadRecord | None, workload: Workload | Pod) -> bool:
    """Whether a workload, read again after a sync, is another than it was after the sync before.

    Its generation grows with each change of its spec, whoever made it. Where Flux touched nothing since, and the images
    are the same, it was somebody else: an autoscaler, or a person. What has no generation, as a pod on an older server,
    can only have other images.
    """
    if before is None or before.uid != workload.uid:
        return True
    images = {container.name: container.image for container in workload.containers or ()}
    if isinstance(workload, Pod) or workload.generation == 0:
        return images != before.images
    if workload.generation <= before.generation:
        return False
    touched = workload.touched_at
    is_untouched = touched is not None and touched == before.touched_at
    return not (is_untouched and images == before.images)

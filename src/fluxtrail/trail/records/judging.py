"""What should be recorded under a deployment name: the cluster as it is, compared with what the ledger holds."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime

import msgspec

from fluxtrail.model.deployment import Content, DeploymentStatus, KeptRecord, NameTemplate, Place, RecordId, read_notes
from fluxtrail.model.image import split_image
from fluxtrail.model.observation import ClusterUid
from fluxtrail.model.records import UNSAVED
from fluxtrail.model.workloads import Pod, Workload
from fluxtrail.trail.records.choice import Candidate
from fluxtrail.trail.workloads.anchors import Anchor, anchor_of_place
from fluxtrail.trail.workloads.index import ClusterIndex

replace = msgspec.structs.replace

_NEVER = datetime.min.replace(tzinfo=UTC)

Speaker = tuple[Place, Candidate]
IsAbsent = Callable[[Anchor], bool]
"""Whether a workload that the index does not hold is known not to be there."""


class Judge:
    """Decides on the names of one cluster. Reads the index, changes nothing.

    Args:
        decommissions_at_zero: a workload that is scaled to zero counts as gone once its pods are.
    """

    def __init__(
        self,
        cluster: ClusterUid,
        index: ClusterIndex,
        template: NameTemplate,
        *,
        is_absent: IsAbsent,
        decommissions_at_zero: bool,
    ) -> None:
        self._cluster = cluster
        self._index = index
        self._template = template
        self._is_absent = is_absent
        self._at_zero = decommissions_at_zero

    def judge(
        self, name: str, speakers: Iterable[Speaker], kept: KeptRecord | None, now: datetime
    ) -> KeptRecord | None:
        """Return the record that a name should have, or None where what is kept is right.

        Args:
            speakers: who speaks for it, one a workload; several where the template gives several the same name.
            kept: what is recorded as deployed under it.
        """
        best = max(speakers, key=_rank, default=None)
        if best is not None:
            pod = self._index.pod(best[1].pod)
            # One that has gone meanwhile is judged again: what it was annotated with is not known any more.
            return self._deployed(name, best, pod, kept, now) if pod is not None else None
        if kept is None or self._is_wanted(name, kept.place):
            return None
        gone = replace(kept.content, status=DeploymentStatus.DECOMMISSIONED)
        return replace(kept, content=gone, changed_at=now)

    def _deployed(
        self, name: str, best: Speaker, pod: Pod, kept: KeptRecord | None, now: datetime
    ) -> KeptRecord | None:
        place, speaker = best
        content = self._content_of(speaker, pod)
        if kept is None:
            return KeptRecord(
                id=RecordId(UNSAVED),
                cluster=self._cluster,
                deployment_name=name,
                place=place,
                content=content,
                since=_since(speaker, now),
                changed_at=now,
            )
        if (kept.content, kept.place) == (content, place):
            return None
        since = kept.since if kept.content.digest == content.digest else _since(speaker, now)
        changed_at = kept.changed_at if kept.content == content else now
        return replace(kept, place=place, content=content, since=since, changed_at=changed_at)

    def _content_of(self, speaker: Candidate, pod: Pod) -> Content:
        risks, tags = read_notes(self._index.notes_of(pod))
        image = split_image(speaker.image)
        return Content(
            name=image.name,
            digest=speaker.digest,
            version=image.tag,
            status=DeploymentStatus.DEPLOYED,
            runtime_risks=risks,
            tags=tags,
        )

    def _is_wanted(self, name: str, place: Place) -> bool:
        """Whether a container is still meant to be, though none of its pods is up: then it stays as it was told."""
        if self._template.name(place) != name:
            return False  # the template was changed: the name is nobody's now
        anchor = anchor_of_place(place)
        item = self._index.find(anchor)
        if item is None and not self._is_absent(anchor):
            return True
        if isinstance(item, Workload) and item.containers is not None:
            is_named = any(container.name == place.container for container in item.containers)
            return is_named and not (self._at_zero and item.replicas == 0)
        pods = [pod for pod, _ in self._index.pods_of(anchor)]
        if pods:
            return any(_names(pod, place.container) for pod in pods)
        return item is not None


def _rank(speaker: Speaker) -> tuple[object, ...]:
    """Order speakers of several workloads; places are told apart last, so that no two are equal."""
    place, candidate = speaker
    return *candidate.over_all, place


def _names(pod: Pod, container: str) -> bool:
    return any(found.name == container for found in pod.containers)


def _since(speaker: Candidate, now: datetime) -> datetime:
    """A container started before we saw it; a clock ahead of ours does not make it start in the future."""
    return min(speaker.started_at, now) if speaker.started_at > _NEVER else now

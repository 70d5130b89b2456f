"""Whether a sync changed a workload, and which digest it runs."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.trail.rollouts.states import (
    at,
    bad,
    container,
    custom,
    daemon_set,
    deployment,
    digest,
    job,
    pod,
    pods,
    replica_set,
    stateful_set,
    workload,
)

from fluxtrail.model.observation import ClusterUid, ObjectUid
from fluxtrail.model.records import TargetId
from fluxtrail.model.rollout import RolloutState
from fluxtrail.model.running_records import WorkloadId, WorkloadRecord
from fluxtrail.model.workloads import ContainerKind, ContainerSpec, Pod, Workload
from fluxtrail.trail.rollouts.rules import digests_of, is_changed

NOW = deployment("3/3/3/3", generation=5, touched_at=at(0))
IMAGES = {"app": "ghcr.io/acme/app:2"}


def kept(**fields: Any) -> WorkloadRecord:
    """Return what was kept of it: the same, unless told otherwise."""
    given: dict[str, Any] = {
        "id": WorkloadId(1),
        "cluster": ClusterUid("c"),
        "key": NOW.key,
        "uid": NOW.uid,
        "target_id": TargetId(1),
        "generation": 5,
        "touched_at": at(0),
        "images": IMAGES,
        "state": RolloutState.ROLLED_OUT,
        "since": at(0),
        "observed_at": at(0),
    }
    return WorkloadRecord(**(given | fields))


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        pytest.param(None, NOW, True, id="never seen"),
        pytest.param(kept(uid=ObjectUid("other")), NOW, True, id="another of that name"),
        pytest.param(kept(), NOW, False, id="the same"),
        pytest.param(kept(images={}), NOW, False, id="no newer generation"),
        pytest.param(kept(generation=6), NOW, False, id="read before"),
        pytest.param(kept(generation=4, touched_at=at(-60)), NOW, True, id="Flux changed it"),
        pytest.param(kept(generation=4), NOW, False, id="autoscaler"),
        pytest.param(kept(generation=4, images={"app": "other"}), NOW, True, id="another image within a second"),
        pytest.param(kept(generation=4, touched_at=None), NOW, True, id="Flux took it over"),
        pytest.param(
            kept(generation=4, touched_at=None),
            deployment("1/1/1/1", generation=5, touched_at=None),
            True,
            id="who, unknown",
        ),
        pytest.param(kept(generation=0), deployment("1/1/1/1", generation=0), False, id="no generations"),
        pytest.param(
            kept(generation=0, images={"app": "1"}),
            deployment("1/1/1/1", generation=0),
            True,
            id="no generations, image",
        ),
        pytest.param(kept(uid=ObjectUid("pod-web-0"), generation=1), pod(), False, id="pod"),
        pytest.param(
            kept(uid=ObjectUid("pod-web-0"), generation=1, images={}), pod(), True, id="pod with another image"
        ),
    ],
)
def test_change_is_told(before: WorkloadRecord | None, now: Workload | Pod, expected: bool) -> None:
    assert is_changed(before, now) is expected


def runs(owner: Workload | None, name: str, version: int, **fields: Any) -> Pod:
    return pod(owner, name, containers=(container(version=version),), **fields)


WEB, SET, DAEMONS, JOB, NIGHTLY = NOW, stateful_set("2/2/2/2"), daemon_set("2/2/2/2"), job(), workload("CronJob")
OLD, NEW = replica_set(WEB, 1), replica_set(WEB, 2)
FIRST, SECOND = job(name="night-1", owner=NIGHTLY), job(name="night-2", owner=NIGHTLY)
LATER = {"created_at": at(90)}


@pytest.mark.parametrize(
    ("item", "found", "below", "expected"),
    [
        pytest.param(WEB, [runs(NEW, "a", 2), runs(OLD, "b", 1)], [OLD, NEW], 2, id="newest ReplicaSet"),
        pytest.param(WEB, [runs(NEW, "a", 2, **LATER), runs(OLD, "b", 1)], [], 2, id="ReplicaSets unknown"),
        pytest.param(WEB, [runs(NEW, "a", 2), runs(NEW, "b", 3)], [OLD, NEW], None, id="tag moved"),
        pytest.param(WEB, [runs(NEW, "a", 2), bad(NEW)], [OLD, NEW], 2, id="one has not begun"),
        pytest.param(WEB, [bad(NEW), runs(OLD, "b", 1)], [OLD, NEW], None, id="none has begun"),
        pytest.param(WEB, [runs(NEW, "a", 2), runs(NEW, "b", 1, is_deleting=True)], [NEW], 2, id="on its way out"),
        pytest.param(WEB, [runs(NEW, "a", 2), runs(NEW, "b", 1, phase="Failed")], [NEW], 2, id="failed and replaced"),
        pytest.param(WEB, [], [], None, id="no pods"),
        pytest.param(SET, [runs(SET, "a", 2, revision="new"), runs(SET, "b", 1, revision="old")], [], 2, id="stateful"),
        pytest.param(
            DAEMONS,
            [runs(DAEMONS, "a", 2, revision="y", generation=2), runs(DAEMONS, "b", 1, revision="x", generation=1)],
            [],
            2,
            id="daemons",
        ),
        pytest.param(JOB, [runs(JOB, "a", 2, phase="Succeeded")], [], 2, id="job"),
        pytest.param(NIGHTLY, [runs(FIRST, "a", 1), runs(SECOND, "b", 2, **LATER)], [FIRST, SECOND], 2, id="cron job"),
        pytest.param(
            custom(),
            [runs(None, "a", 1, revision="1"), runs(None, "b", 2, revision="2", **LATER)],
            [],
            2,
            id="custom",
        ),
        pytest.param(runs(None, "a", 2), [], [], 2, id="bare pod"),
    ],
)
def test_digest_is_of_updated_pods(
    item: Workload | Pod, found: list[Pod], below: list[Workload], expected: int | None
) -> None:
    assert digests_of(item, found, below) == ({} if expected is None else {"app": digest(expected)})


def test_what_is_no_digest_is_none() -> None:
    local = pod(NEW, containers=(container(image_id="app:dev"), container("init", 7, kind=ContainerKind.INIT)))
    assert digests_of(WEB, [local], [NEW]) == {"init": digest(7)}


def test_images_are_told_from_a_template_of_several_containers() -> None:
    two = (*(NOW.containers or ()), ContainerSpec("log", "log:1", ContainerKind.SIDECAR))
    now = msgspec.structs.replace(NOW, generation=6, containers=two)
    assert is_changed(kept(), now)
    assert not is_changed(kept(images=IMAGES | {"log": "log:1"}), now)


def test_digests_do_not_depend_on_the_order_of_pods() -> None:
    found = [*pods(NEW, 3), runs(OLD, "z", 1)]
    assert digests_of(WEB, found, [OLD, NEW]) == digests_of(WEB, found[::-1], [NEW, OLD])

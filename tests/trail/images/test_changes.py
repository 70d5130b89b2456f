"""What a roll-out says of its containers' images: tables."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from fluxtrail.model.image_records import ImageRecord, ImageRun, ImageState
from fluxtrail.model.moment import Evidence, observed
from fluxtrail.model.observation import ClusterUid, ObjectKey, ObjectUid
from fluxtrail.model.records import SyncId, TargetId
from fluxtrail.model.rollout import RolloutState
from fluxtrail.model.running_records import RolloutRecord, WorkloadId, WorkloadRecord
from fluxtrail.trail.images.changes import BuiltFrom, Changes, Known, built_from, changes_of, pinned_digest

replace = msgspec.structs.replace
APPLIED = datetime(2026, 3, 1, 12, tzinfo=UTC)
SHOP = "ghcr.io/acme/shop"


def digest(name: str) -> str:
    return f"sha256:{name.encode().hex():0<64}"


def rollout(before: str | None, after: str, *, digest_before: str | None = None, **fields: Any) -> RolloutRecord:
    return RolloutRecord(
        sync_id=SyncId(1),
        workload_id=WorkloadId(1),
        generation=2,
        images_before={"app": before} if before else {},
        images={"app": after},
        digests_before={"app": digest(digest_before)} if digest_before else {},
        **fields,
    )


def ran(name: str, image: str, *, since: float, until: float | None = None, container: str = "app") -> ImageRun:
    return ImageRun(
        cluster=ClusterUid("c1"),
        namespace="prod",
        kind="Deployment",
        workload="shop",
        container=container,
        digest=digest(name),
        image=image,
        since=APPLIED + timedelta(seconds=since),
        until=None if until is None else APPLIED + timedelta(seconds=until),
    )


def workload(image: str, *, digest: str, rolled: int = 1) -> WorkloadRecord:
    """Return what is kept of one of which `image` is wanted, and of which `digest` was last seen to run."""
    return WorkloadRecord(
        id=WorkloadId(1),
        cluster=ClusterUid("c1"),
        key=ObjectKey("apps", "Deployment", "prod", "shop"),
        uid=ObjectUid("u1"),
        target_id=TargetId(1),
        generation=2,
        touched_at=None,
        images={"app": image},
        digests={"app": f"sha256:{digest.encode().hex():0<64}"},
        state=RolloutState.PROGRESSING,
        since=APPLIED,
        rolled_generation=rolled,
        observed_at=APPLIED,
    )


def sides(changes: Changes) -> list[tuple[set[str], set[str]]]:
    return [(set(item.before), set(item.after)) for item in changes.found]


A, B = f"{SHOP}:a", f"{SHOP}:b"
RUNNING = observed(APPLIED + timedelta(seconds=30), Evidence.PODS_READY)


@pytest.mark.parametrize(
    ("row", "runs", "found", "is_open"),
    [
        (rollout(A, B, digest_before="a"), [ran("b", B, since=3)], [({"a"}, {"b"})], False),
        (rollout(A, B), [ran("a", A, since=-900, until=9), ran("b", B, since=3)], [({"a"}, {"b"})], False),
        (rollout(A, B, digest_before="a"), [], [], True),
        (rollout(A, B, digest_before="a", is_dropped=True), [], [], False),
        (rollout(A, B, digest_before="a"), [ran("a", B, since=3)], [], False),
        (rollout(A, B), [ran("b", B, since=3)], [(set(), {"b"})], False),
        (
            rollout(A, B, digest_before="a"),
            [ran("b-arm", B, since=3), ran("b-amd", B, since=4)],
            [({"a"}, {"b-arm", "b-amd"})],
            False,
        ),
        (rollout(A, A, digest_before="a"), [ran("a", A, since=-900)], [], True),
        (rollout(A, A, digest_before="a", running=RUNNING), [ran("a", A, since=-900)], [], False),
        (rollout(A, A, digest_before="a"), [ran("b", A, since=3)], [({"a"}, {"b"})], False),
        (rollout(A, A, digest_before="a"), [ran("b", A, since=-300)], [], True),
        (
            rollout(B, f"{SHOP}:c"),
            [ran("a", A, since=-900, until=9), ran("c", f"{SHOP}:c", since=3)],
            [({"a"}, {"c"})],
            False,
        ),
        (rollout(A, B, digest_before="a"), [ran("b", B, since=3, container="other")], [], True),
        (rollout(None, B), [ran("b", B, since=3)], [], False),
        (rollout(f"{A}@{digest('a')}", f"{B}@{digest('b')}"), [], [({"a"}, {"b"})], False),
        (rollout(A, B, digest_before="a"), [ran("b", B, since=-2)], [({"a"}, {"b"})], False),
        (
            rollout(A, B, digest_before="b", running=RUNNING),
            [ran("a", A, since=-900, until=1), ran("b", B, since=-2)],
            [({"a"}, {"b"})],
            False,
        ),
        (
            rollout(B, f"{SHOP}:c", digest_before="c", running=RUNNING),
            [ran("a", A, since=-900, until=9), ran("c", f"{SHOP}:c", since=3)],
            [({"a"}, {"c"})],
            False,
        ),
    ],
    ids=[
        "another tag",
        "before known by what ran",
        "has not run yet",
        "will not run",
        "another tag of the same image",
        "nothing ran before",
        "two architectures",
        "same tag, not rolled out yet",
        "same tag, rolled out, same image",
        "same tag, another image",
        "same tag, other image of before",
        "an image that never ran between two that did",
        "another container",
        "new container",
        "pinned",
        "a node's clock is behind",
        "read only when it had rolled out",
        "the same, after an image that never ran",
    ],
)
def test_changes(
    row: RolloutRecord, runs: list[ImageRun], found: list[tuple[set[str], set[str]]], is_open: bool
) -> None:
    changes = changes_of(row, None, runs, applied_at=APPLIED)
    named = [({digest(name) for name in before}, {digest(name) for name in after}) for before, after in found]
    assert sides(changes) == named
    assert changes.is_open is is_open


def test_what_still_runs_when_another_image_is_wanted_is_not_what_came() -> None:
    row, kept = rollout(A, B, digest_before="a"), workload(B, digest="a")
    assert changes_of(row, kept, [], applied_at=APPLIED) == Changes(is_open=True)
    came = changes_of(row, kept, [ran("a", A, since=-900), ran("b", B, since=3)], applied_at=APPLIED)
    assert (sides(came), came.is_open) == ([({digest("a")}, {digest("b")})], False)


def test_digest_of_what_has_begun_is_taken_before_it_has_rolled_out() -> None:
    row = rollout(A, B, digest_before="a")
    assert sides(changes_of(row, workload(B, digest="b"), [], applied_at=APPLIED)) == [({digest("a")}, {digest("b")})]


def test_another_tag_of_the_same_image_brings_nothing_once_it_has_rolled_out() -> None:
    row = rollout(A, B, digest_before="a", running=RUNNING)
    assert changes_of(row, workload(B, digest="a", rolled=2), [], applied_at=APPLIED) == Changes()


def image(
    name: str, *, revision: str | None = "r1", state: ImageState = ImageState.KNOWN, **fields: Any
) -> ImageRecord:
    source = "github.com/acme/shop" if revision else None
    return ImageRecord(digest=digest(name), repository=SHOP, state=state, source=source, revision=revision, **fields)


@pytest.mark.parametrize(
    ("names", "images", "known", "revision"),
    [
        ({"a"}, [image("a")], Known.YES, "r1"),
        ({"a", "b"}, [image("a"), image("b")], Known.YES, "r1"),
        ({"a", "b"}, [image("a"), image("b", revision=None, state=ImageState.PENDING)], Known.YES, "r1"),
        ({"a", "b"}, [image("a"), image("b", revision="r2")], Known.NO, None),
        ({"a"}, [image("a", revision=None)], Known.NO, None),
        ({"a"}, [image("a", revision=None, state=ImageState.PENDING)], Known.NOT_YET, None),
        ({"a"}, [image("a", revision=None, state=ImageState.PRIVATE)], Known.NO, None),
        ({"a"}, [], Known.NOT_YET, None),
        (set(), [], Known.NO, None),
    ],
)
def test_what_an_image_was_built_from(
    names: set[str], images: list[ImageRecord], known: Known, revision: str | None
) -> None:
    found = built_from(frozenset(map(digest, names)), {record.digest: record for record in images})
    assert (found.known, found.revision) == (known, revision)


def test_platforms_of_an_index_have_one_head() -> None:
    images = {digest(name): image(name, index_digest=digest("index")) for name in ("arm", "amd")}
    left: BuiltFrom = built_from(frozenset({digest("arm")}), images)
    assert left.heads == built_from(frozenset({digest("amd")}), images).heads == {digest("index")}


@pytest.mark.parametrize(
    ("text", "found"),
    [(f"{A}@{digest('a')}", digest("a")), (A, None), ("x@sha256:12", None), ("", None)],
)
def test_pinned_digest(text: str, found: str | None) -> None:
    assert pinned_digest(text) == found

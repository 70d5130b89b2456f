"""Given many syncs or many targets at once: the order that matters stays, what does not matter is not paid for."""

from __future__ import annotations

from typing import cast

from hypothesis import given
from hypothesis import strategies as st
from tests.trail.trees import FakeTrees, changed

from fluxtrail.model.moment import Evidence, exact, parse_timestamp
from fluxtrail.model.reasons import Outcome
from fluxtrail.model.records import Cause, SyncId, SyncRecord, TargetId
from fluxtrail.trail.ports import RepositoryReader
from fluxtrail.trail.readings import Reading, in_turns
from fluxtrail.trail.scopes import ScopeKey, Scopes

NOON = parse_timestamp("2026-03-01T12:00:00Z")


def reading(sync: int, target: int) -> Reading:
    assert NOON is not None
    record = SyncRecord(
        id=SyncId(sync),
        target_id=TargetId(target),
        revision="main@sha1:0",
        sha=None,
        previous=None,
        previous_sha=None,
        cause=Cause.REVISION,
        generation=1,
        outcome=Outcome.RUNNING,
        started=exact(NOON, Evidence.STATUS_OBSERVED),
    )
    return Reading(sync=record, branch="main", here=None, before=None)


@given(st.lists(st.integers(min_value=1, max_value=4), max_size=20))
def test_turns_hold_one_sync_of_a_target_each_and_keep_their_order(targets: list[int]) -> None:
    readings = [reading(number, target) for number, target in enumerate(targets, start=1)]
    turns = in_turns(readings)
    assert all(turns)
    for turn in turns:
        ids = [item.sync.target_id for item in turn]
        assert len(ids) == len(set(ids))
    for target in set(targets):
        mine = [item.sync.id for turn in turns for item in turn if item.sync.target_id == target]
        assert mine == [item.sync.id for item in readings if item.sync.target_id == target]


async def test_the_same_keys_asked_again_read_nothing_and_new_ones_are_read() -> None:
    files = {f"apps/{name}/kustomization.yaml": "resources: []" for name in "abc"}
    tree = FakeTrees({"c1": files, "c2": files})
    reader = cast("RepositoryReader", tree)
    a, b, c = [ScopeKey(f"./apps/{name}", (), None, ()) for name in "abc"]
    scopes, keys = Scopes(), frozenset({a, b})
    assert await scopes.affected(reader, changed("c1", "apps/a/x.yaml"), keys) == {a}
    read = len(tree.reads)
    assert await scopes.affected(reader, changed("c2", "apps/b/x.yaml", "apps/c/x.yaml"), keys) == {b}
    assert len(tree.reads) == read
    assert await scopes.affected(reader, changed("c2", "apps/c/x.yaml"), frozenset({b, c})) == {c}
    assert await scopes.affected(reader, changed("c2", "apps/a/x.yaml", truncated=True), keys) == {a, b}

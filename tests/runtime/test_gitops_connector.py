"""gitops-connector replaced: its variables and its folder alone, real repositories behind both forges, Flux's objects."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.runtime.connector_places import PAGE, TOKENS, Side, open_place
from tests.runtime.worlds import until

MERGES: dict[Side, str] = {
    "GITHUB": "Merge pull request #12 from acme/deploy/4711/v1.2.3/main",
    "AZDO": "Merged PR 12: acme/deploy/4711/v1.2.3/main",
}


@pytest.mark.parametrize(
    ("manifests", "pipelines"),
    [("GITHUB", "GITHUB"), ("AZDO", "AZDO"), ("GITHUB", "AZDO"), ("AZDO", "GITHUB")],
)
async def test_each_pair_of_forges_works_by_its_variables_and_without_any_notification(
    tmp_path: Path, manifests: Side, pipelines: Side
) -> None:
    context = "fluxtrail/prod"
    async with open_place(tmp_path, manifests, pipelines) as place:
        place.wait(12)
        async with place.running():
            commit = await place.push(MERGES[manifests])
            await until(lambda: place.told(commit) == {context: "pending"}, "pending")
            assert (place.dispatches(commit), place.ended()) == ([], [])
            place.deliver(commit)
            well = {"GITHUB": "success", "AZDO": "succeeded"}[manifests]
            await until(lambda: place.told(commit) == {context: well}, "it is there")
            if pipelines == "GITHUB":
                [payload] = await until(lambda: place.dispatches(commit), "a dispatch")
                assert (payload["sha"], payload["runid"]) == ("v1.2.3", "4711")
                assert payload["commitmessage"] == MERGES[manifests]
            else:
                await until(lambda: place.ended() == [("task12", "succeeded")], "the pipeline goes on")
        status = next(item for item in place.forges.recorder.writes if item.sha == commit.sha)
        assert status.url.startswith(PAGE)
        assert status.repository == {"GITHUB": "acme/manifests", "AZDO": "acme/shop/manifests"}[manifests]
    assert place.forges.recorder.violation_counts.total() == 0
    assert {status for (_, _, status) in place.forges.recorder.counts} & {401, 403} == set()
    assert set(TOKENS) == {"GITHUB", "AZDO"}

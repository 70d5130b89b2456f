from __future__ import annotations

from tests.remotes.github.artifacts import ArtifactClientMaker, VirtualClock
from tests.remotes.github.forge import FakeForge, Says

from fluxtrail.remotes.allowances import AllowanceBook
from fluxtrail.remotes.github.artifact_wire import JobStatus

LEFT = {"x-ratelimit-limit": "5000", "x-ratelimit-remaining": "17", "x-ratelimit-resource": "core"}


async def test_what_is_left_and_who_asked_to_wait_is_noted(
    forge: FakeForge, make_artifacts: ArtifactClientMaker, turning: VirtualClock
) -> None:
    book = AllowanceBook(lambda: turning.now().timestamp())
    client = make_artifacts(organization="Test-Org", allowances=book, token="the-token")
    forge.says(
        Says(status=429, json={}, headers={"retry-after": "1"}),
        Says(json={"id": 1, "status": "completed"}, headers=LEFT),
    )
    found = await client.job_status("cluster", 1)
    assert isinstance(found, JobStatus)
    (left,) = book.current()
    assert (left.whose.rpartition("/")[2], left.resource, left.remaining) == ("test-org", "core", 17)
    assert list(book.limited.values()) == [1]
    assert "the-token" not in repr(left)

"""The simulated GitLab refuses transitions that go back, and keeps deployments and environments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.simulator.forges.conftest import Caller

SHA = "a" * 40
PROJECT = "/gitlab/api/v4/projects/group%2Fsub%2Fshop"
STATUSES = f"{PROJECT}/statuses/{SHA}"
LISTED = f"{PROJECT}/repository/commits/{SHA}/statuses"


def said(state: str, **more: Any) -> dict[str, Any]:
    return {"state": state, "name": "fluxtrail/staging", "ref": "main"} | more


@pytest.mark.parametrize(
    ("first", "second", "wanted"),
    [
        ("pending", "running", 201),
        ("pending", "pending", 400),
        ("running", "pending", 400),
        ("running", "running", 400),
        ("running", "success", 201),
        ("success", "success", 201),
        ("success", "pending", 201),
        ("failed", "success", 201),
    ],
)
async def test_status_moves_forwards_only(forge: Caller, first: str, second: str, wanted: int) -> None:
    assert (await forge.post(STATUSES, said(first)))[0] == 201
    code, answer = await forge.post(STATUSES, said(second))
    assert code == wanted
    if wanted == 400:
        assert answer["message"].startswith("Cannot transition status via")
    [shown] = await forge.get(LISTED)
    assert shown["status"] == (second if wanted == 201 else first)


async def test_status_of_another_name_or_ref_is_another_one(forge: Caller) -> None:
    for body in (said("pending"), said("pending", name="other"), said("pending", ref="next")):
        assert (await forge.post(STATUSES, body))[0] == 201
    assert len(await forge.get(LISTED)) == 3
    assert len(await forge.get(f"{LISTED}?name=other")) == 1


async def test_latest_of_each_name_is_listed_unless_all_are_wanted(forge: Caller) -> None:
    for state in ("failed", "success"):
        await forge.post(STATUSES, said(state))
    assert [item["status"] for item in await forge.get(LISTED)] == ["success"]
    assert [item["status"] for item in await forge.get(f"{LISTED}?all=true")] == ["failed", "success"]


async def test_project_is_recorded_by_its_path(forge: Caller) -> None:
    await forge.post(STATUSES, said("success", description="d", target_url="https://a"))
    [write] = forge.forges.recorder.since(0)
    assert (write.system, write.repository, write.state) == ("gitlab", "group/sub/shop", "success")


@pytest.mark.parametrize(
    ("path", "body", "wanted"),
    [
        (f"{PROJECT}/statuses/{'f' * 40}", said("success"), (404, "404 Commit Not Found")),
        (f"/gitlab/api/v4/projects/acme%2Fnothing/statuses/{SHA}", said("success"), (404, "404 Project Not Found")),
        (STATUSES, said("failure"), (400, "state does not have a valid value")),
        (STATUSES, said("success", description="x" * 256), (400, "description is too long")),
    ],
)
async def test_status_that_does_not_fit_is_refused(
    forge: Caller, path: str, body: Any, wanted: tuple[int, str]
) -> None:
    code, answer = await forge.post(path, body)
    assert code == wanted[0]
    assert answer["message"].startswith(wanted[1])


async def test_deployment_goes_to_an_environment_and_ends_once(forge: Caller) -> None:
    body = {"environment": "staging", "sha": SHA, "ref": "main", "tag": False, "status": "running"}
    code, made = await forge.post(f"{PROJECT}/deployments", body)
    assert (code, made["environment"]["name"]) == (201, "staging")
    place = f"{PROJECT}/deployments/{made['id']}"
    assert (await forge.call("PUT", place, {"status": "running"}))[0] == 400
    assert (await forge.call("PUT", place, {"status": "success"}))[0] == 200
    assert (await forge.call("PUT", place, {"status": "success"}))[0] == 400
    assert [d["status"] for d in await forge.get(f"{PROJECT}/deployments?environment=staging")] == ["success"]
    [environment] = await forge.get(f"{PROJECT}/environments?name=staging")
    changed = await forge.call("PUT", f"{PROJECT}/environments/{environment['id']}", {"external_url": "https://s"})
    assert changed[1]["external_url"] == "https://s"
    assert (await forge.post(f"{PROJECT}/environments", {"name": "staging"}))[0] == 400
    assert (await forge.post(f"{PROJECT}/deployments", body | {"sha": "f" * 40}))[0] == 400


async def test_too_many_requests_are_refused(forge: Caller) -> None:
    forge.forges.gitlab.per_minute = 2
    for _ in range(2):
        await forge.get(LISTED)
    code, answer, headers = await forge.call("GET", LISTED)
    assert (code, answer["message"]) == (429, "429 Too Many Requests")
    assert int(headers["Retry-After"]) <= 61
    assert forge.violations() == {"per_minute": 1}
    forge.clock.advance(61)
    await forge.get(LISTED)

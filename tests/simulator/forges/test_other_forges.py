"""The simulated Gitea and Bitbucket take commit statuses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.simulator.forges.conftest import Caller

SHA = "a" * 40
UNKNOWN = "f" * 40
GITEA = "/gitea/api/v1/repos/acme/shop"
CLOUD = f"/bitbucket/2.0/repositories/acme/shop/commit/{SHA}"
SERVER = f"/bitbucket-server/rest/api/1.0/projects/ACME/repos/shop/commits/{SHA}/builds"
OLD = f"/bitbucket-server/rest/build-status/1.0/commits/{SHA}"


def build(state: str = "INPROGRESS", **more: Any) -> dict[str, Any]:
    return {"key": "fluxtrail/staging", "state": state, "url": "https://a", "name": "n", "description": "d"} | more


async def test_gitea_keeps_every_status_and_combines_the_newest(forge: Caller) -> None:
    for state in ("pending", "success"):
        body = {"state": state, "context": "fluxtrail/staging", "description": "d", "target_url": "https://a"}
        assert (await forge.post(f"{GITEA}/statuses/{SHA}", body))[0] == 201
    listed = await forge.get(f"{GITEA}/commits/{SHA}/statuses?limit=1")
    assert [item["status"] for item in listed] == ["success"]
    assert len(await forge.get(f"{GITEA}/statuses/{SHA}?sort=oldest")) == 2
    assert (await forge.get(f"{GITEA}/commits/{SHA}/status"))["state"] == "success"
    assert (await forge.post(f"{GITEA}/statuses/{SHA}", {"state": "running"}))[0] == 422
    assert (await forge.post(f"{GITEA}/statuses/{UNKNOWN}", {"state": "success"}))[0] == 404
    assert (await forge.post(f"/gitea/api/v1/repos/acme/nothing/statuses/{SHA}", {"state": "success"}))[0] == 404


async def test_bitbucket_cloud_has_one_status_a_key(forge: Caller) -> None:
    for state in ("INPROGRESS", "SUCCESSFUL"):
        assert (await forge.post(f"{CLOUD}/statuses/build", build(state)))[0] == 201
    listed = await forge.get(f"{CLOUD}/statuses")
    assert [item["state"] for item in listed["values"]] == ["SUCCESSFUL"]
    one = f"{CLOUD}/statuses/build/fluxtrail%2Fstaging"
    assert (await forge.get(one))["description"] == "d"
    assert (await forge.call("PUT", one, {"state": "FAILED"}))[0] == 200
    final = forge.forges.final_statuses("bitbucket")["bitbucket", "acme/shop", SHA, "fluxtrail/staging"]
    assert (final.last.state, final.writes, final.finals) == ("FAILED", 3, 2)


async def test_bitbucket_cloud_takes_a_thousand_requests_an_hour(forge: Caller) -> None:
    for _ in range(1_000):
        await forge.get(f"{CLOUD}/statuses")
    assert (await forge.call("GET", f"{CLOUD}/statuses"))[0] == 429
    assert forge.violations() == {"per_hour": 1}


async def test_bitbucket_server_has_one_status_a_key(forge: Caller) -> None:
    for state in ("INPROGRESS", "SUCCESSFUL"):
        assert (await forge.post(SERVER, build(state)))[0] == 204
    assert (await forge.get(f"{SERVER}?key=fluxtrail%2Fstaging"))["state"] == "SUCCESSFUL"
    assert (await forge.call("GET", f"{SERVER}?key=other"))[0] == 404
    assert (await forge.post(OLD, build("FAILED")))[0] == 204
    assert [item["state"] for item in (await forge.get(OLD))["values"]] == ["FAILED"]


@pytest.mark.parametrize(
    ("path", "body", "wanted"),
    [
        (f"{CLOUD}/statuses/build", build(key="k" * 41), 400),
        (f"{CLOUD}/statuses/build", build("CANCELLED"), 400),
        (f"{CLOUD}/statuses/build", build(url=""), 400),
        (f"{CLOUD}/statuses/build".replace(SHA, UNKNOWN), build(), 404),
        (SERVER, build(description="x" * 256), 400),
        (SERVER, build("STOPPED"), 400),
        (SERVER, build(url="here"), 400),
    ],
)
async def test_status_that_does_not_fit_is_refused(forge: Caller, path: str, body: Any, wanted: int) -> None:
    assert (await forge.post(path, body))[0] == wanted

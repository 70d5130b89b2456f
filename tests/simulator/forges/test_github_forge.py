"""The simulated GitHub takes statuses, deployments and dispatches as the real one does, and limits them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.simulator.forges.conftest import Caller

SHA = "a" * 40
UNKNOWN = "f" * 40
REPO = "/repos/acme/shop"
STATUSES = f"{REPO}/statuses/{SHA}"
COMMIT = f"{REPO}/commits/{SHA}"


def status(state: str = "pending", context: str = "fluxtrail/staging", **more: Any) -> dict[str, Any]:
    return {"state": state, "context": context, "description": "on its way"} | more


async def test_newest_status_of_a_context_counts_whatever_its_case(forge: Caller) -> None:
    assert (await forge.post(STATUSES, status()))[0] == 201
    assert (await forge.post(STATUSES, status("success", "Fluxtrail/Staging")))[0] == 201
    assert (await forge.post(STATUSES, status("failure", "fluxtrail/production")))[0] == 201
    combined = await forge.get(f"{COMMIT}/status")
    assert combined["state"] == "failure"
    assert [(s["context"], s["state"]) for s in combined["statuses"]] == [
        ("fluxtrail/production", "failure"),
        ("Fluxtrail/Staging", "success"),
    ]
    listed = await forge.get(f"{COMMIT}/statuses?per_page=2")
    assert [s["state"] for s in listed] == ["failure", "success"]
    final = forge.forges.final_statuses("github")["github", "acme/shop", SHA, "fluxtrail/staging"]
    assert (final.last.state, final.writes, final.finals, final.steps) == ("success", 2, 1, ["pending", "success"])


async def test_combined_state_is_success_only_when_all_are(forge: Caller) -> None:
    assert (await forge.get(f"{COMMIT}/status"))["state"] == "pending"
    await forge.post(STATUSES, status("success"))
    assert (await forge.get(f"{COMMIT}/status"))["state"] == "success"
    await forge.post(STATUSES, status("pending", "other"))
    assert (await forge.get(f"{COMMIT}/status"))["state"] == "pending"


@pytest.mark.parametrize(
    ("path", "body", "wanted"),
    [
        (f"{REPO}/statuses/{UNKNOWN}", status(), (422, "No commit found for SHA")),
        (f"/repos/acme/nothing/statuses/{SHA}", status(), (404, "Not Found")),
        (STATUSES, status("running"), (422, "state")),
        (STATUSES, status(description="x" * 141), (422, "description is too long")),
        (STATUSES, status(description="shipped \U0001f680"), (422, "4-byte Unicode")),
        (STATUSES, status(target_url="ftp://a"), (422, "target_url")),
    ],
)
async def test_status_that_does_not_fit_is_refused(
    forge: Caller, path: str, body: Any, wanted: tuple[int, str]
) -> None:
    code, answer = await forge.post(path, body)
    assert code == wanted[0]
    assert wanted[1] in answer["message"]
    assert forge.forges.recorder.total_writes == 0


async def test_context_takes_a_thousand_statuses(forge: Caller) -> None:
    for _ in range(1000):
        assert (await forge.post(STATUSES, status()))[0] == 201
        forge.clock.advance(60)
    code, answer = await forge.post(STATUSES, status("success", "FLUXTRAIL/staging"))
    assert (code, "maximum number of statuses" in answer["message"]) == (422, True)
    assert (await forge.post(STATUSES, status("success", "another")))[0] == 201
    assert forge.violations() == {"per_context": 1}


async def test_unchanged_read_costs_nothing(forge: Caller) -> None:
    await forge.post(STATUSES, status())
    _, _, headers = await forge.call("GET", f"{COMMIT}/status")
    again, _, later = await forge.call("GET", f"{COMMIT}/status", headers={"If-None-Match": headers["ETag"]})
    assert again == 304
    assert later["X-RateLimit-Remaining"] == headers["X-RateLimit-Remaining"]
    await forge.post(STATUSES, status("success"))
    changed, _, _ = await forge.call("GET", f"{COMMIT}/status", headers={"If-None-Match": headers["ETag"]})
    assert changed == 200


async def test_more_than_eighty_writes_a_minute_are_refused(forge: Caller) -> None:
    codes = [(await forge.post(STATUSES, status()))[0] for _ in range(82)]
    assert codes[:80] == [201] * 80
    assert set(codes[80:]) == {403, 429}
    code, answer, headers = await forge.call("POST", STATUSES, status())
    assert (code, "secondary rate limit" in answer["message"]) == (403, True)
    assert 0 < int(headers["Retry-After"]) <= 61
    assert forge.violations() == {"per_minute": 1, "while_limited": 2}
    other = {"Authorization": "Bearer two"}
    assert (await forge.call("POST", STATUSES, status(), other))[0] == 201
    forge.clock.advance(61)
    assert (await forge.post(STATUSES, status()))[0] == 201
    assert forge.forges.report()["github_peaks"]["per_minute"] == 81


async def test_eighty_writes_in_any_minute_are_within_the_limit(forge: Caller) -> None:
    for _ in range(160):
        assert (await forge.post(STATUSES, status()))[0] == 201
        forge.clock.advance(0.8)
    assert forge.violations() == {}


async def test_more_than_five_hundred_writes_an_hour_are_refused(forge: Caller) -> None:
    for _ in range(500):
        assert (await forge.post(STATUSES, status()))[0] == 201
        forge.clock.advance(1.0)
    code, _, headers = await forge.call("POST", STATUSES, status())
    assert code in (403, 429)
    assert int(headers["Retry-After"]) > 3000
    assert forge.violations() == {"per_hour": 1}


async def test_reading_too_much_costs_points(forge: Caller) -> None:
    codes = {(await forge.call("GET", f"{COMMIT}/status"))[0] for _ in range(901)}
    assert 200 in codes
    assert forge.violations() == {"points": 1}


async def test_primary_limit_ends_with_its_hour(forge: Caller) -> None:
    forge.forges.github_limits.of("").primary.limit = 2
    forge.headers = {}
    for _ in range(2):
        await forge.get(f"{COMMIT}/status")
    code, answer, headers = await forge.call("GET", f"{COMMIT}/status")
    assert (code, headers["X-RateLimit-Remaining"]) == (403, "0")
    assert "API rate limit exceeded" in answer["message"]
    assert int(headers["X-RateLimit-Reset"]) > forge.clock.now().timestamp()
    forge.clock.advance(3601)
    await forge.get(f"{COMMIT}/status")


async def test_wrong_token_is_refused(forge: Caller) -> None:
    forge.forges.desk.tokens["github"] = "right"
    assert (await forge.post(STATUSES, status()))[0] == 401
    forge.headers = {"Authorization": "token right"}
    assert (await forge.post(STATUSES, status()))[0] == 201


async def test_commit_has_its_message(forge: Caller) -> None:
    assert (await forge.get(COMMIT))["commit"]["message"] == "Change"
    code, answer, _ = await forge.call("GET", f"{REPO}/commits/{UNKNOWN}")
    assert (code, answer["message"]) == (422, f"No commit found for SHA: {UNKNOWN}")


# Deployments.


def deployment(**more: Any) -> dict[str, Any]:
    base = {"ref": SHA, "auto_merge": False, "required_contexts": [], "environment": "staging"}
    return base | {"payload": {"fluxtrail": "key"}, "production_environment": False} | more


async def test_deployment_is_found_by_its_sha_and_environment(forge: Caller) -> None:
    code, made = await forge.post(f"{REPO}/deployments", deployment())
    assert (code, made["payload"]) == (201, {"fluxtrail": "key"})
    assert await forge.get(f"{REPO}/deployments?sha={SHA}&environment=staging") == [made]
    assert await forge.get(f"{REPO}/deployments?environment=production") == []
    code, said = await forge.post(f"{REPO}/deployments/{made['id']}/statuses", {"state": "in_progress"})
    assert (code, said["state"]) == (201, "in_progress")
    listed = await forge.get(f"{REPO}/deployments/{made['id']}/statuses")
    assert [s["state"] for s in listed] == ["in_progress"]
    final = forge.forges.final_statuses("github_deployments")["github_deployments", "acme/shop", SHA, "staging"]
    assert (final.last.state, final.finals) == ("in_progress", 0)


async def test_deployment_without_auto_merge_false_is_refused(forge: Caller) -> None:
    body = deployment()
    del body["auto_merge"]
    code, answer = await forge.post(f"{REPO}/deployments", body)
    assert (code, "merging" in answer["message"]) == (409, True)
    assert forge.violations() == {"auto_merge": 1}


async def test_deployment_waits_for_contexts_unless_none_are_required(forge: Caller) -> None:
    await forge.post(STATUSES, status())
    body = deployment()
    del body["required_contexts"]
    code, answer = await forge.post(f"{REPO}/deployments", body)
    assert (code, "status checks failed" in answer["message"]) == (409, True)
    assert (await forge.post(f"{REPO}/deployments", deployment()))[0] == 201


async def test_success_makes_earlier_ones_inactive_except_in_production(forge: Caller) -> None:
    for environment, is_production, wanted in (("staging", False, "inactive"), ("production", True, "success")):
        body = deployment(environment=environment, production_environment=is_production)
        made = [(await forge.post(f"{REPO}/deployments", body))[1]["id"] for _ in range(2)]
        for number in made:
            await forge.post(f"{REPO}/deployments/{number}/statuses", {"state": "success"})
        first = await forge.get(f"{REPO}/deployments/{made[0]}/statuses")
        assert first[0]["state"] == wanted


@pytest.mark.parametrize(
    ("path", "body", "wanted"),
    [
        ("/deployments", deployment(ref=UNKNOWN), 422),
        ("/deployments", {"auto_merge": False}, 422),
        ("/deployments", deployment(description="x" * 141), 422),
        ("/deployments/99/statuses", {"state": "success"}, 404),
    ],
)
async def test_deployment_that_does_not_fit_is_refused(forge: Caller, path: str, body: Any, wanted: int) -> None:
    assert (await forge.post(REPO + path, body))[0] == wanted


async def test_deployment_status_needs_a_known_state(forge: Caller) -> None:
    _, made = await forge.post(f"{REPO}/deployments", deployment())
    path = f"{REPO}/deployments/{made['id']}/statuses"
    assert (await forge.post(path, {"state": "running"}))[0] == 422
    assert (await forge.post(path, {"state": "success", "log_url": "here"}))[0] == 422


async def test_dispatch_is_taken_down(forge: Caller) -> None:
    payload = {"sha": SHA, "runid": "7", "commitmessage": "Change"}
    code, _ = await forge.post(f"{REPO}/dispatches", {"event_type": "sync-success", "client_payload": payload})
    assert code == 204
    [write] = forge.forges.recorder.since(0)
    assert (write.call, write.context, write.sha) == ("dispatch", "sync-success", SHA)
    many = {str(number): number for number in range(11)}
    assert (await forge.post(f"{REPO}/dispatches", {"event_type": "x", "client_payload": many}))[0] == 422
    assert (await forge.post(f"{REPO}/dispatches", {"event_type": "x" * 101}))[0] == 422

"""A running service whose repository has CI: a GitHub that answers, the API and the metrics."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from tests.runtime.worlds import Cluster, ago, make_environ, make_repository, make_settings, push, running, until

from fluxtrail.simulator.clock import wire_time


class GitHub:
    """Runs, jobs and one pull request of acme/fleet."""

    def __init__(self) -> None:
        self.url = ""
        self.runs: dict[int, dict[str, Any]] = {}
        self.asked: list[str] = []

    def run(self, number: int, sha: str, *, begun: datetime, ended: datetime | None = None) -> None:
        self.runs[number] = {
            "id": number,
            "name": "Images",
            "head_sha": sha,
            "event": "push",
            "status": "completed" if ended else "in_progress",
            "conclusion": "success" if ended else None,
            "html_url": f"https://github.test/acme/fleet/actions/runs/{number}",
            "created_at": wire_time(begun),
            "run_started_at": wire_time(begun),
            "updated_at": wire_time(ended or begun),
        }

    async def handle(self, request: web.Request) -> web.Response:
        self.asked.append(request.path)
        match request.path.removeprefix("/repos/acme/fleet/").split("/"):
            case ["actions", "runs"]:
                newest = sorted(self.runs.values(), key=lambda run: run["created_at"], reverse=True)
                return web.json_response({"workflow_runs": newest})
            case ["actions", "runs", number]:
                return web.json_response(self.runs[int(number)])
            case ["actions", "runs", number, "jobs"]:
                run = self.runs[int(number)]
                job = {"name": "Build", "status": "completed", "conclusion": "success",
                       "started_at": run["created_at"], "completed_at": run["updated_at"]}  # fmt: skip
                return web.json_response({"jobs": [job]})
            case ["pulls", "12"]:
                merged = {"merged_at": wire_time(ago(60)), "merged_by": {"login": "grace"}, "user": {"login": "ada"}}
                return web.json_response({"number": 12, "title": "Sell more", "state": "closed", **merged})
            case ["pulls", "12", "reviews"]:
                return web.json_response([{"user": {"login": "grace"}, "state": "APPROVED"}])
            case ["commits", _, "pulls"]:
                return web.json_response([])
            case _:
                return web.json_response({"message": "Not Found"}, status=404)


@pytest.fixture
async def github() -> AsyncIterator[GitHub]:
    made = GitHub()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", made.handle)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


async def test_a_commit_is_followed_through_ci(tmp_path: Path, github: GitHub) -> None:
    repository = await make_repository(tmp_path)
    forge = {"kind": "github", "owner": "acme", "repo": "fleet"}
    cluster = Cluster()
    async with cluster.server:
        settings = make_settings(
            tmp_path,
            cluster,
            repositories=({"url": repository.url, "branch": "main", "forge": forge},),
            github={"base_url": github.url},
            ci={"poll_seconds": 5},
            workloads={"enabled": False},
        )
        async with running(settings, make_environ(tmp_path)) as here:
            await here.until_followed()
            commit = await push(repository, {"apps/web.yaml": "replicas: 3\n"}, "Sell more (#12)")
            begun = ago(0)
            github.run(7, commit.sha, begun=begun)

            async def trail() -> dict[str, Any]:
                return await here.ask(f"/commits/{commit.sha}") or {}

            async def stands(state: str) -> bool:
                found = await trail()
                return bool(found) and found["commit"]["build_state"] == state

            await until(lambda: stands("running"), "the run is seen")
            github.run(7, commit.sha, begun=begun, ended=ago(0))
            await until(lambda: stands("succeeded"), "the run is over")
            found = await trail()
            assert [stage["name"] for stage in found["ci_runs"][0]["stages"]] == ["Build"]
            assert found["pull_request"]["merged_by"] == "grace"
            assert [item["by"] for item in found["pull_request"]["approvals"]] == ["grace"]
            lines = (await here.ask("/transitions"))["items"]
            built = [(line["before"], line["after"]) for line in lines if line["kind"] == "built"]
            assert built == [("", "running"), ("running", "succeeded")]
            assert await here.sample("fluxtrail_ci_repositories") == 1
            assert await here.sample("fluxtrail_ci_requests_total") >= 4

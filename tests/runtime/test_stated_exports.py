"""A running service whose manifests say nothing of where they come from: the pipeline that writes them does."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import anyio
from click.testing import CliRunner
from tests.runtime.worlds import Cluster, Running, make_environ, make_repository, make_settings, push, running, until

from fluxtrail.cli.main import cli


class Pipelines:
    """Of a repository that nobody follows."""

    def __init__(self, here: Running) -> None:
        self.here = here

    async def state(self, **said: Any) -> tuple[int, Any]:
        body = {"role": "export", "state": "succeeded", "run_id": "7", **said}
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{self.here.addresses['api']}/api/v1/ci/runs", json=body) as response,
        ):
            return response.status, await response.json()

    async def run(self, *command: str) -> str:
        env = {"FLUXTRAIL_SERVER": self.here.addresses["api"]}
        done = await anyio.to_thread.run_sync(lambda: CliRunner().invoke(cli, [*command], env=env))
        assert done.exit_code == 0, done.output
        return done.stdout


async def test_a_commit_is_followed_by_what_its_pipeline_states(tmp_path: Path) -> None:
    fleet = await make_repository(tmp_path)
    source, late = "ab" * 20, "cd" * 20
    cluster = Cluster()
    async with cluster.server:
        first = await push(fleet, {"apps/web.yaml": "replicas: 1\n"}, "Begin")
        settings = make_settings(tmp_path, cluster, workloads={"enabled": False})
        cluster.fetch(first, url=fleet.url)
        cluster.apply(first)
        async with running(settings, make_environ(tmp_path)) as here:
            await here.until_followed()
            await here.until_applied(first)
            pipelines = Pipelines(here)
            carrier = await push(fleet, {"apps/web.yaml": "replicas: 2\n"}, "Release 2")
            said = {"repository": "github.com/acme/shop", "carrier_sha": carrier.sha[:7]}
            assert (await pipelines.state(**said, sha=source))[0] == 201
            await here.until_verdict(source, "pending")
            cluster.fetch(carrier, url=fleet.url)
            cluster.apply(carrier)
            await here.until_verdict(source, "deployed")

            status, answer = await pipelines.state(**said, sha=late, run_id="8")
            assert status == 201, answer
            delivery = await here.until_verdict(late, "deployed")
            mine, its = [(await here.deliveries(sha))[0] for sha in (late, carrier.sha)]
            assert mine["stages"]["applied"] == its["stages"]["applied"] == delivery["stages"]["applied"]
            lines = [line for line in (await here.ask("/transitions"))["items"] if line["kind"] == "applied"]
            assert len(lines) == len({line["commit_id"] for line in lines}) == 3
            assert len({(line["at"], line["sync_id"]) for line in lines}) == 1
            assert (await pipelines.state(**said, sha=late, run_id="8"))[0] == 200
            await until(partial(is_counted, here), "the figures of three deliveries")
            shown = await pipelines.run("trace", late)
            assert f"exported by {carrier.sha[:8]} in" in shown
            assert "as a pipeline says" in shown
            assert "as a pipeline says" in (await here.get("api", f"/commits/{late}"))[1]
            (export,) = (await here.ask(f"/commits/{late}"))["exports"]
            assert (export["sha"], export["evidence"]) == (carrier.sha, "stated")
            refused, answer = await pipelines.state(**said, sha=late, carrier_repository="github.com/acme/typo")
            assert (refused, answer["errors"][0]["parameter"]) == (400, "carrier_repository")
        async with running(settings, make_environ(tmp_path)) as again:
            await again.until_followed()
            await again.until_verdict(late, "deployed")
            assert await is_counted(again), "and not twice"
            row = ["p3", "8", "manifestCommitId", carrier.sha[:7], "env", "Prod"]
            await Pipelines(again).run("ci", "record", *row)
            assert len((await again.ask(f"/commits/{late}"))["exports"]) == 1


async def is_counted(here: Running) -> bool:
    return await here.sample("fluxtrail_delivery_duration_seconds_count", stage="applied") == 3

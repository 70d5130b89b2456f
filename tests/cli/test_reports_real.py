"""`fluxtrail get reports`, `get routes` and `reports` against a running service, a cluster and a GitHub."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio.to_thread
import pytest
from click.testing import CliRunner, Result
from tests.cli.conftest import QUIET
from tests.runtime.worlds import Cluster, make_environ, make_repository, make_settings, push, running, until

from fluxtrail.cli.main import cli
from fluxtrail.simulator.clock import SimulatedClock
from fluxtrail.simulator.forges.faults import ForgeFault
from fluxtrail.simulator.forges.server import Forges
from fluxtrail.web.shapes import RouteView

pytestmark = pytest.mark.timeout(150)

TOKEN = "ghp_0123456789abcdefghijABCDEFGHIJ012345"
REFUSING = ForgeFault(action="status", status=422, count=10_000, systems=("github",), calls=("status",))


@pytest.fixture
async def forges() -> AsyncIterator[Forges]:
    async with Forges(SimulatedClock()) as found:
        yield found


async def call(url: str, *arguments: str) -> Result:
    env = {**QUIET, "FLUXTRAIL_SERVER": url}
    return await anyio.to_thread.run_sync(lambda: CliRunner().invoke(cli, list(arguments), env=env))


async def listed(url: str, *arguments: str) -> list[dict[str, Any]]:
    """A list's items. The service is in this process and may log to the same stdout: its lines stand before it."""
    result = await call(url, "get", *arguments, "-o", "json")
    assert result.exit_code == 0, result.output
    items: list[dict[str, Any]] = json.loads(result.stdout[result.stdout.index("{\n") :])["items"]
    return items


async def test_what_a_forge_refuses_is_shown_tried_and_dropped(tmp_path: Path, forges: Forges) -> None:
    cluster, repository = Cluster(), await make_repository(tmp_path / "repositories")
    forge = {"kind": "github", "owner": "acme", "repo": "fleet"}
    first = await push(repository, {"apps/web.yaml": "replicas: 1\n"}, "First")
    async with cluster.server:
        cluster.fetch(first, url=repository.url)
        cluster.apply(first)
        settings = make_settings(
            tmp_path,
            cluster,
            github={"base_url": forges.url},
            repositories=[{"url": repository.url, "branch": "main", "forge": forge}],
            routes=[{"name": "checks", "to": "github_status"}],
        )
        async with running(settings, make_environ(tmp_path, GITHUB_TOKEN=TOKEN)) as service:
            url = service.addresses["api"]
            await service.until_ready()
            forges.fail(REFUSING)
            await push(repository, {"apps/web.yaml": "replicas: 2\n"}, "Two")
            await until(lambda: service.sample("fluxtrail_reports_waiting", sink="route.checks"), "a report that waits")

            async def answers() -> list[str]:
                found = await listed(url, "reports", "--route", "checks", "--state", "waiting")
                return [item["answer"] for item in found if item["answer"]]

            found = await until(answers, "the answer of the forge")
            assert TOKEN not in "".join(found)
            shown = next(item for item in await listed(url, "routes") if item["name"] == "checks")
            assert (shown["kind"], shown["sink"], shown["waiting"]) == ("github_status", "route.checks", 1)
            assert set(shown) == set(RouteView.__struct_fields__)

            refused = await call(url, "reports", "test", "checks")
            assert (refused.exit_code, "✗ " in refused.stdout) == (1, True), refused.output
            dropped = await call(url, "reports", "drop", "--route", "checks", "--yes")
            assert (dropped.exit_code, "✔ 1 report will never be sent" in dropped.stdout) == (0, True), dropped.output
            assert "► none of them is dead" in (await call(url, "reports", "replay", "--all-dead")).stdout

            forges.fail(ForgeFault(action="clear"))
            taken = await call(url, "reports", "test", "checks")
            assert (taken.exit_code, "✔ " in taken.stdout) == (0, True), taken.output
            assert [key[3] for key in forges.final_statuses("github")] == ["fluxtrail/test"]

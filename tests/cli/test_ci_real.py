"""`fluxtrail ci` against the real server and ledger, with the tokens of pipelines."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import anyio.to_thread
import pytest
from click.testing import CliRunner, Result
from tests.ledger.world import fresh_place
from tests.web.worlds import World

from fluxtrail.cli.main import cli
from fluxtrail.ledger.ledger import SqlLedger
from fluxtrail.runtime.figures import FoldedLedger
from fluxtrail.runtime.stated import StatedRuns
from fluxtrail.web.access.doorkeeper import Doorkeeper
from fluxtrail.web.access.principals import Role
from fluxtrail.web.access.tokens import Token
from fluxtrail.web.app import create_app
from fluxtrail.web.server import Listener, WebServer

SHA, HLD, MANIFEST = "37a429f" + "0" * 33, "abcdef1" + "1" * 33, "096c952" + "2" * 33
TOKENS = {
    "operator": Token(name="operator", secret="operator-" * 4),
    "viewer": Token(name="viewer", role=Role.VIEWER, secret="viewer-" * 4),
    "shop": Token(name="shop", role=Role.CI, secret="of-the-shop-" * 4, repositories=("github.com/acme/*",)),
    "other": Token(name="other", role=Role.CI, secret="of-another-" * 4, repositories=("github.com/other/*",)),
}


class RealClock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        del seconds


@dataclass
class Place:
    url: str

    async def ci(self, who: str, *arguments: str) -> Result:
        return await self.invoke(who, "ci", arguments[0], "--timeout", "0s", *arguments[1:])

    async def invoke(self, who: str, *command: str) -> Result:
        env = {
            "FLUXTRAIL_SERVER": self.url, "FLUXTRAIL_TOKEN": TOKENS[who].secret, "NO_COLOR": "1",
            "GITHUB_ACTIONS": None, "GITLAB_CI": None, "TF_BUILD": None, "CIRCLECI": None, "BUILDKITE": None,
            "JENKINS_URL": None,
        }  # fmt: skip
        return await anyio.to_thread.run_sync(lambda: CliRunner().invoke(cli, command, env=env))

    async def get(self, path: str) -> Any:
        headers = {"Authorization": f"Bearer {TOKENS['viewer'].secret}"}
        async with aiohttp.ClientSession() as session, session.get(self.url + path, headers=headers) as response:
            assert response.status == 200, await response.text()
            return await response.json()


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    clock = RealClock()
    ledger = await SqlLedger.open(await fresh_place(tmp_path / "ledger.sqlite"), clock=clock)
    app = create_app(
        answers=ledger,
        report=World(),
        now=clock.now,
        doorkeeper=Doorkeeper(list(TOKENS.values())),
        ci=StatedRuns(FoldedLedger(ledger), clock),
    )
    async with WebServer([Listener(name="api", app=app, host="127.0.0.1", port=0)]) as server:
        yield Place(server.addresses["api"].url)
    await ledger.close()


async def test_three_pipelines_write_the_rows_of_the_table_writer(place: Place) -> None:
    table = ["account", "c2VjcmV0", "deployments", "prod"]
    place_ = ["sourceRepo", "https://github.com/acme/hello", "service", "acme/hello"]
    first = await place.ci("shop", "record", *table, "p1", "7254", "imageTag", "Hello-1", "commitId", SHA, *place_)
    assert first.exit_code == 0, first.output
    second = await place.ci(
        "shop", "record", *table, "imageTag", "hello-1", "p2", "264", "env", "Dev", "hldCommitId", HLD
    )
    assert second.exit_code == 0, second.output
    third = await place.ci("shop", "record", "hldCommitId", HLD[:7], "p3", "7255", "manifestCommitId", MANIFEST)
    assert third.exit_code == 0, third.output
    again = await place.ci("shop", "record", "hldCommitId", HLD[:7], "p3", "7255", "manifestCommitId", MANIFEST)
    assert again.exit_code == 0, again.output
    runs = (await place.get("/api/v1/ci/runs"))["items"]
    assert [(run["run_id"], run["role"], run["sha"], run["environment"], run["service"]) for run in runs] == [
        ("7255", "export", SHA, "Dev", "hello"),
        ("264", "export", SHA, "Dev", "hello"),
        ("7254", "build", SHA, "", "hello"),
    ]
    assert [run["carrier_sha"] for run in runs] == [MANIFEST, HLD, ""]


async def test_who_may_not_speak_of_a_repository_is_refused(place: Place) -> None:
    said = ["--repository", "github.com/acme/shop", "--sha", SHA, "--run-id", "1", "--state", "succeeded"]
    for who in ("other", "viewer"):
        refused = await place.ci(who, "build", *said)
        assert refused.exit_code == 1, refused.output
    assert (await place.get("/api/v1/ci/runs"))["items"] == []
    for who in ("shop", "operator"):
        assert (await place.ci(who, "build", *said)).exit_code == 0


async def test_the_row_of_another_partition_is_not_taken(place: Place) -> None:
    """The table writer took the first row that fitted, whoever's it was."""
    said = ["--sha", SHA, "--run-id", "1", "--state", "succeeded", "--image", "ghcr.io/x/y:1"]
    assert (await place.ci("other", "build", "--repository", "github.com/other/y", *said)).exit_code == 0
    lost = await place.ci("shop", "record", "imageTag", "1", "p2", "9")
    assert lost.exit_code == 3, "it may still be stated: tried until the timeout"
    assert "no run is known that fits" in lost.stderr
    assert len((await place.get("/api/v1/ci/runs"))["items"]) == 1


async def test_one_run_exports_several_commits_and_is_listed_with_each(place: Place) -> None:
    said = ["--repository", "github.com/acme/shop", "--run-id", "7", "--carrier-sha", MANIFEST, "--state", "succeeded"]
    done = await place.ci("shop", "export", *said, "--sha", SHA, "--sha", HLD, "--sha", SHA)
    assert done.exit_code == 0, done.output
    listed = await place.invoke("viewer", "get", "runs", "--role", "export", "-o", "name")
    assert listed.exit_code == 0, listed.output
    known = {f"run/stated/github.com/acme/shop/7/export/{sha[:8]}" for sha in (SHA, HLD)}
    assert set(listed.stdout.split()) == known
    table = await place.invoke("viewer", "get", "runs", "--sha", SHA[:7], "--state", "succeeded")
    assert table.stdout.split()[:8] == ["RUN", "PIPELINE", "ROLE", "SHA", "REPOSITORY", "STATE", "TOOK", "AGE"]
    assert "acme/shop" in table.stdout.splitlines()[1]
    none = await place.invoke("viewer", "get", "runs", "--system", "gitlab_ci")
    assert (none.exit_code, none.stdout) == (0, "")
    assert "No runs found." in none.stderr
    refused = await place.ci("shop", "build", *said[:4], "--state", "succeeded", "--sha", SHA, "--sha", HLD)
    assert refused.exit_code == 2
    assert "takes several" in refused.stderr

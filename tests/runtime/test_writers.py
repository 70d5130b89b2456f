"""Who writes where: hosts that routes name, credentials that are bound, and nobody else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.runtime.worlds import make_environ, make_settings

from fluxtrail.model.status import CommitStatus, StatusState
from fluxtrail.remotes.azure_devops.tasks import AzureTasks
from fluxtrail.remotes.bitbucket.cloud import BitbucketCloudStatuses
from fluxtrail.remotes.bitbucket.server import BitbucketServerStatuses
from fluxtrail.runtime.remotes import open_remotes
from fluxtrail.runtime.writers import NamedHost, NamedKind, Placed, Writers
from fluxtrail.simulator.forges.azure_tasks import Plan
from fluxtrail.simulator.forges.server import Forges

SHA = "0123456789abcdef0123456789abcdef01234567"
TOKEN = "0123456789abcdefghijklmnop"
STATUS = CommitStatus(
    state=StatusState.SUCCESS, context="fluxtrail/prod", description="there", url="https://t.example/x"
)


@asynccontextmanager
async def writers_of(folder: Path, **changes: Any) -> AsyncIterator[Writers]:
    settings = make_settings(folder, **changes)
    async with AsyncExitStack() as stack:
        remotes = await open_remotes(settings, make_environ(folder), stack)
        yield Writers(remotes, settings)


def tokens(*hosts: str, **more: str) -> list[dict[str, str]]:
    return [{"host": host, "token": TOKEN, **more} for host in hosts]


@pytest.mark.parametrize(
    ("kind", "root", "repository", "told"),
    [
        ("gitea", "/gitea/api/v1", "git.test/acme/shop", "acme/shop"),
        ("bitbucket", "/bitbucket/2.0", "git.test/acme/shop", "acme/shop"),
        ("bitbucket", "/bitbucket-server/rest", "git.test/ACME/shop", "ACME/shop"),
    ],
)
async def test_a_named_host_is_written_to(
    kind: NamedKind, root: str, repository: str, told: str, tmp_path: Path, forges: Forges
) -> None:
    host = NamedHost(kind=kind, host="git.test", api_url=forges.url + root)
    async with writers_of(tmp_path, credentials=tokens("git.test")) as writers:
        placed = writers.find_named(repository, host)
        assert placed is not None
        assert (placed.path, placed.budget) == (repository.partition("/")[2], "git.test")
        await placed.statuses.write(placed.path, SHA, STATUS)
        found = await placed.statuses.find(placed.path, SHA, "fluxtrail/prod")
        again = writers.find_named(repository, host)
        assert again is not None
        assert again.statuses is placed.statuses
    assert found == placed.statuses.as_kept(STATUS)
    (written,) = forges.recorder.writes
    assert (written.repository, written.sha) == (told, SHA)


@pytest.mark.parametrize(
    ("repository", "credentials"),
    [
        ("git.test/acme/shop", []),
        ("git.test/acme/shop", tokens("other.test")),
        ("git.test/acme/shop", tokens("git.test", owner="beta")),
        ("other.test/acme/shop", tokens("other.test")),
        ("git.test", tokens("git.test")),
        ("file:/git.test/acme/shop", tokens("git.test")),
    ],
)
async def test_another_host_and_one_without_a_credential_are_not_asked(
    repository: str, credentials: list[dict[str, str]], tmp_path: Path
) -> None:
    async with writers_of(tmp_path, credentials=credentials) as writers:
        assert writers.find_named(repository, NamedHost(kind="gitea", host="git.test")) is None
        assert writers.find_named(repository, None) is None


async def test_a_credential_may_be_bound_to_the_apis_port(tmp_path: Path) -> None:
    host = NamedHost(kind="gitea", host="git.test", api_url="https://git.test:8443/api/v1")
    async with writers_of(tmp_path, credentials=tokens("git.test:8443")) as writers:
        placed = writers.find_named("git.test/acme/shop", host)
    assert placed is not None
    assert placed.budget == "git.test:8443"


async def test_which_bitbucket_it_is_follows_from_its_address(tmp_path: Path) -> None:
    hosts = [
        NamedHost(kind="bitbucket", host="bitbucket.org"),
        NamedHost(kind="bitbucket", host="git.test"),
        NamedHost(kind="bitbucket", host="git.test", api_url="https://git.test/bit/rest"),
    ]
    async with writers_of(tmp_path, credentials=tokens("git.test", "bitbucket.org")) as writers:
        found = [writers.find_named(f"{host.host}/acme/shop", host) for host in hosts]
    kinds = [type(placed.statuses) for placed in found if isinstance(placed, Placed)]
    assert kinds == [BitbucketCloudStatuses, BitbucketServerStatuses, BitbucketServerStatuses]


async def test_a_route_may_have_a_token_of_its_own_for_tasks(tmp_path: Path, forges: Forges) -> None:
    file = tmp_path / "token"
    file.write_text(TOKEN)
    known = [{"host": "ado.test", "kind": "azure_devops", "api_url": f"{forges.url}/azure"}]
    pull = forges.azure_tasks.open_pull_request("acme/shop/cart", 7)
    plan = Plan(id="plan", task_id="task", job_id="j")
    forges.azure_tasks.wait_for(pull, plan, server=f"{forges.url}/azure/acme/")
    async with writers_of(tmp_path, forges=known) as writers:
        assert writers.find_tasks("ado.test/acme/shop/cart") is None
        assert writers.find_tasks("other.test/acme/shop/cart", file) is None
        assert writers.find_tasks("gitlab.com/acme/shop/cart", file) is None
        assert writers.find_tasks("ado.test/acme", file) is None
        place = writers.find_tasks("ado.test/acme/shop/cart", file)
        assert place is not None
        assert isinstance(place.tasks, AzureTasks)
        task = await place.tasks.find_task(place.path, 7)
        assert task is not None
        await place.tasks.complete(task, succeeded=True)
    assert plan.result == "succeeded"


async def test_where_a_route_sends_to_is_allowed_since_it_is_stated(tmp_path: Path) -> None:
    given: dict[str, Any] = {"credentials": tokens("dev.azure.com")}
    repository = "dev.azure.com/acme/shop/cart"
    async with writers_of(tmp_path, **given) as writers:
        assert writers.find_tasks(repository) is None
        assert writers.find(repository, "azure_devops") is None
    route = {"name": "tasks", "to": "azure_devops_task", "repository": repository}
    async with writers_of(tmp_path, routes=[route], **given) as writers:
        place, placed = writers.find_tasks(repository), writers.find(repository, "azure_devops")
        assert writers.find(repository, "gitlab") is None
    assert place is not None
    assert placed is not None
    assert {place.path, placed.path} == {"acme/shop/cart"}
    assert {place.budget, placed.budget} == {"dev.azure.com"}

"""`fluxtrail records` against a running service, a cluster and a GitHub."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import anyio.to_thread
import pytest
from click.testing import CliRunner, Result
from tests.cli.conftest import QUIET
from tests.runtime.records import TOKEN, GitHubRecords, Shop, digest, open_github
from tests.runtime.worlds import Cluster, make_environ, make_settings, running, until

from fluxtrail.cli.main import cli

pytestmark = pytest.mark.timeout(60)


async def call(url: str, *arguments: str) -> Result:
    env = {**QUIET, "FLUXTRAIL_SERVER": url}
    return await anyio.to_thread.run_sync(lambda: CliRunner().invoke(cli, ["records", *arguments], env=env))


async def test_what_runs_is_listed_and_told_again_after_github_lost_it(tmp_path: Path) -> None:
    cluster = Cluster()
    async with cluster.server, open_github() as github:
        shop = Shop(cluster)
        for number in range(1, 4):
            shop.deploy(f"web-{number}", number)
        given = {"enabled": True, "organization": "acme", "logical_environment": "p", "base_url": github.url}
        settings = make_settings(tmp_path, cluster, deployment_records=given)
        async with running(settings, make_environ(tmp_path, API_TOKEN=TOKEN)) as service:
            url = service.addresses["api"]
            await until(lambda: service.sample("fluxtrail_deployment_records", told="told"), "records that are told")
            listed = await call(url, "list", "--digest", digest(2), "-o", "json")
            (item,) = json.loads(listed.stdout)["items"]
            assert (item["deployment_name"], item["told"]) == ("shop/web-2/app", "told")

            planned = await call(url, "sync", "--dry-run", "--cluster", "prod", "-o", "name")
            assert len(planned.stdout.splitlines()) == 3
            assert github.counts["job", 202] == 1

            told = github.counts.copy()
            again = await call(url, "sync", "-o", "json")
            assert again.exit_code == 0, again.output
            assert json.loads(again.stdout) == {"planned": 3, "pending": 0, "told": 3, "unknown": 0, "refused": 0}
            assert sum(github.counts.values()) > sum(told.values())
            assert (await call(url, "sync", "--cluster", "nowhere")).exit_code == 1


async def test_what_is_recorded_of_a_cluster_that_is_no_more_is_not_waited_for(tmp_path: Path) -> None:
    """It was made anew under its name: nobody can be told of the old one, and its records stay as they are."""
    async with open_github() as github:
        given = {
            "enabled": True,
            "organization": "acme",
            "logical_environment": "p",
            "base_url": github.url,
            "bulk": False,
        }
        for version in (1, 2):
            cluster = Cluster()
            async with cluster.server:
                Shop(cluster).deploy(f"web-{version}", version)
                settings = make_settings(tmp_path, cluster, deployment_records=given)
                async with running(settings, make_environ(tmp_path, API_TOKEN=TOKEN)) as service:
                    url, name = service.addresses["api"], f"shop/web-{version}/app"
                    await until(partial(_holds, github, name), "the record at GitHub")
                    again = await call(url, "sync", "-o", "json", "--timeout", "20s")
                    planned = await call(url, "sync", "--dry-run", "-o", "name")
                    listed = await call(url, "list", "-o", "json")
        assert again.exit_code == 0, again.output
        assert json.loads(again.stdout)["planned"] == 1
        assert planned.stdout.splitlines() == ["record/prod/shop/web-2/app"]
        assert {item["told"] for item in json.loads(listed.stdout)["items"]} == {"told"}


def _holds(github: GitHubRecords, name: str) -> bool:
    return name in github.held()


async def test_where_records_are_off_the_remedy_is_said(tmp_path: Path) -> None:
    cluster = Cluster()
    async with cluster.server, running(make_settings(tmp_path, cluster), make_environ(tmp_path)) as service:
        for arguments in (["list"], ["sync"], ["sync", "--dry-run"]):
            result = await call(service.addresses["api"], *arguments)
            assert (result.exit_code, result.stdout) == (1, "")
            assert "--deployment-records" in result.stderr


async def test_a_process_that_only_tries_tells_nobody_again(tmp_path: Path) -> None:
    cluster = Cluster()
    given = {"enabled": True, "dry_run": True, "organization": "acme", "logical_environment": "p"}
    settings = make_settings(tmp_path, cluster, deployment_records=given)
    async with cluster.server, running(settings, make_environ(tmp_path)) as service:
        result = await call(service.addresses["api"], "sync")
        assert result.exit_code == 1
        assert "start it without --dry-run" in result.stderr

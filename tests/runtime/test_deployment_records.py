"""`fluxtrail run --deployment-records` as a whole: a cluster's API server, GitHub, and what stands between them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.runtime.records import TOKEN, GitHubRecords, Shop, digest, open_github
from tests.runtime.worlds import Cluster, Running, make_environ, make_settings, running, until

from fluxtrail.model.errors import ConfigError
from fluxtrail.runtime.settings.settings import Settings

pytestmark = pytest.mark.timeout(60)


def settings_of(folder: Path, at: Cluster, github: GitHubRecords, **changes: Any) -> Settings:
    given = {
        "enabled": True,
        "organization": "acme",
        "logical_environment": "production",
        "base_url": github.url,
        "bulk": False,  # a job takes seconds
        **changes,
    }
    return make_settings(folder, at, deployment_records=given)


def environ_of(folder: Path, **more: str) -> dict[str, str]:
    return make_environ(folder, API_TOKEN=TOKEN, **more)


async def until_held(github: GitHubRecords, expected: dict[str, tuple[str, str]], cluster: str = "prod") -> None:
    await until(lambda: github.held(cluster) == expected, f"{expected} at GitHub, which has {github.held(cluster)}")


async def test_what_runs_is_told_and_what_goes_is_told_too(tmp_path: Path) -> None:
    cluster = Cluster()
    async with cluster.server, open_github() as github:
        shop = Shop(cluster)
        pod = shop.deploy("web", 1)
        settings = settings_of(tmp_path, cluster, github, bulk=True)
        async with running(settings, environ_of(tmp_path)) as service:
            await until_held(github, {"shop/web/app": (digest(1), "deployed")})
            assert github.counts["job", 202] == 1, "the first time in bulk"
            shop.deploy("web", 2, revision=2)
            await until_held(github, {"shop/web/app": (digest(2), "deployed")})
            shop.delete("deployments", "web")
            for name in (pod, "web-2-2"):
                shop.delete("pods", name)
            await until_held(github, {"shop/web/app": (digest(2), "decommissioned")})
            await service.until_ready()

            async def is_drained() -> bool:
                return await service.sample("fluxtrail_reports_waiting", sink="github.records") == 0

            await until(is_drained, "nothing waiting")


async def test_what_happened_while_it_was_down_is_told_at_the_next_start(tmp_path: Path) -> None:
    cluster = Cluster()
    async with cluster.server, open_github() as github:
        shop = Shop(cluster)
        gone, stays = shop.deploy("gone", 1), shop.deploy("stays", 1)
        settings = settings_of(tmp_path, cluster, github)
        async with running(settings, environ_of(tmp_path)):
            await until(lambda: len(github.held()) == 2, "two records")
        shop.delete("pods", gone)
        shop.delete("deployments", "gone")
        shop.run(stays, 7)
        async with running(settings, environ_of(tmp_path)):
            await until_held(
                github,
                {"shop/gone/app": (digest(1), "decommissioned"), "shop/stays/app": (digest(7), "deployed")},
            )


async def test_another_environment_is_told_everything(tmp_path: Path) -> None:
    cluster = Cluster()
    async with cluster.server, open_github() as github:
        Shop(cluster).deploy("web", 1)
        async with running(settings_of(tmp_path, cluster, github), environ_of(tmp_path)):
            await until_held(github, {"shop/web/app": (digest(1), "deployed")})
        renamed = settings_of(tmp_path, cluster, github, cluster="eu-1")
        async with running(renamed, environ_of(tmp_path)):
            await until_held(github, {"shop/web/app": (digest(1), "deployed")}, cluster="eu-1")


async def test_a_cluster_made_anew_under_its_name_takes_over_what_it_had(tmp_path: Path) -> None:
    old, new = Cluster(), Cluster()
    async with old.server, new.server, open_github() as github:
        for name in ("web", "gone"):
            Shop(old).deploy(name, 1)
        async with running(settings_of(tmp_path, old, github), environ_of(tmp_path)):
            await until(lambda: len(github.held()) == 2, "two records")
        Shop(new).deploy("web", 2)
        async with running(settings_of(tmp_path, new, github), environ_of(tmp_path)) as service:
            await until_held(
                github, {"shop/web/app": (digest(2), "deployed"), "shop/gone/app": (digest(1), "decommissioned")}
            )

            async def is_all() -> bool:
                return len((await service.ask("/records?told=told"))["items"]) == 2

            await until(is_all, "two records, of the new cluster alone")


@pytest.mark.parametrize(
    ("narrowed", "expected"),
    [
        ({"namespaces": ("shop",)}, {"shop/web/app"}),
        ({"exclude_namespaces": ("shop", "other")}, {"third/web/app"}),
        ({}, {"shop/web/app", "other/web/app", "third/web/app"}),
    ],
)
async def test_only_the_stated_namespaces(tmp_path: Path, narrowed: dict[str, Any], expected: set[str]) -> None:
    cluster = Cluster()
    async with cluster.server, open_github() as github:
        for namespace in ("shop", "other", "third"):
            Shop(cluster).deploy("web", 1, namespace=namespace)
        async with running(settings_of(tmp_path, cluster, github, **narrowed), environ_of(tmp_path)):
            await until(lambda: set(github.held()) == expected, f"{expected}")


async def test_a_dry_run_only_says_what_it_would_tell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cluster = Cluster()
    async with cluster.server, open_github() as github:
        Shop(cluster).deploy("web", 1)
        said: list[str] = []

        def says() -> bool:
            said.append(capsys.readouterr().out)
            return '"shop/web/app"' in "".join(said)

        async with running(settings_of(tmp_path, cluster, github, dry_run=True), environ_of(tmp_path)):
            await until(says, "the record on standard output")
        assert github.counts.total() == 0
        async with running(settings_of(tmp_path, cluster, github), environ_of(tmp_path)):
            await until_held(github, {"shop/web/app": (digest(1), "deployed")})


async def test_its_metrics_have_a_port_of_their_own(tmp_path: Path) -> None:
    cluster = Cluster()
    async with cluster.server, open_github() as github, aiohttp.ClientSession() as session:
        shop = Shop(cluster)
        shop.deploy("web", 1)
        settings = settings_of(tmp_path, cluster, github, metrics_port="0")
        async with running(settings, environ_of(tmp_path)) as service:
            await until_held(github, {"shop/web/app": (digest(1), "deployed")})
            await until_told(service)
            address = service.addresses["deployment_records"].replace("0.0.0.0", "127.0.0.1")
            async with session.get(f"{address}/metrics") as answer:
                lines = (await answer.text()).splitlines()
            assert 'deptracker_events_processed_ok{event_type="CREATED"} 1' in lines
            assert "deptracker_post_record_ok 1" in lines
            samples = await service.samples()
            # The parser adds what a counter's name should end with.
            assert samples["deptracker_post_record_ok_total"] == [({}, 1.0)]
            told = {"cluster": "prod", "status": "deployed", "told": "told"}
            assert samples["fluxtrail_deployment_records"] == [(told, 1.0)]


async def until_told(service: Running) -> None:
    async def is_told() -> bool:
        return bool((await service.ask("/records?told=told"))["items"])

    await until(is_told, "a record that is told")


async def test_records_are_listed_and_told_again(tmp_path: Path) -> None:
    cluster = Cluster()
    async with cluster.server, open_github() as github, aiohttp.ClientSession() as session:
        Shop(cluster).deploy("web", 1)
        async with running(settings_of(tmp_path, cluster, github), environ_of(tmp_path)) as service:
            await until_told(service)
            github.records.clear()
            url = f"{service.addresses['api']}/api/v1/records/sync"
            async with session.post(url, json={"dry_run": True}) as answer:
                plan = await answer.json()
            assert [item["deployment_name"] for item in plan["records"]] == ["shop/web/app"]
            assert plan["planned"] == 1
            async with session.post(url, json={"cluster": "prod"}) as answer:
                assert (await answer.json())["planned"] == 1
            await until_held(github, {"shop/web/app": (digest(1), "deployed")})
            async with session.post(url, json={"cluster": "elsewhere"}) as answer:
                assert answer.status == 404


async def test_annotations_are_told_and_told_again(tmp_path: Path) -> None:
    cluster = Cluster()
    async with cluster.server, open_github() as github:
        shop = Shop(cluster)
        shop.deploy("web", 1)
        async with running(settings_of(tmp_path, cluster, github), environ_of(tmp_path)):
            await until_held(github, {"shop/web/app": (digest(1), "deployed")})
            shop.annotate("deployments", "web", {"metadata.github.com/team": "a"})
            await until(lambda: github.listed()[0].get("tags") == {"team": "a"}, "the tag")
            shop.annotate("deployments", "web", {"metadata.github.com/team": "b"})
            await until(lambda: github.listed()[0].get("tags") == {"team": "b"}, "the changed tag")


async def test_pods_that_may_not_be_read_make_it_unready(tmp_path: Path) -> None:
    cluster = Cluster()
    async with cluster.server, open_github() as github:
        cluster.server.access.forbid("", resource="pods")
        async with running(settings_of(tmp_path, cluster, github), environ_of(tmp_path)) as service:

            async def says_forbidden() -> bool:
                status, text = await service.readiness()
                return status == 503 and "prod/Pod" in text and "forbidden" in text

            await until(says_forbidden, "pods forbidden in /readyz")


async def test_two_clusters_under_one_name_are_refused(tmp_path: Path) -> None:
    one, two = Cluster("a"), Cluster("b")
    async with one.server, two.server, open_github() as github:
        given = {"enabled": True, "organization": "acme", "logical_environment": "x", "base_url": github.url}
        settings = make_settings(tmp_path, one, two, deployment_records={**given, "cluster": "same"})
        with pytest.raises(ConfigError, match="overwrite each other"):
            async with running(settings, environ_of(tmp_path)):
                pass

"""What a running service does with input that cannot be used: says so, and follows everything else."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from structlog.testing import capture_logs
from tests.runtime.worlds import (
    Cluster,
    Running,
    ago,
    make_environ,
    make_repository,
    make_settings,
    push,
    running,
    until,
)

from fluxtrail.model.errors import ConfigError, FluxtrailError
from fluxtrail.runtime.assembly import open_service
from fluxtrail.runtime.settings.settings import Settings

TEN_MEBIBYTES = 10 * 1024 * 1024


async def refused(settings: Settings, environ: dict[str, str]) -> str:
    """Return why the service does not start."""
    with pytest.raises(FluxtrailError) as caught:
        async with open_service(settings, environ) as service:
            await service.run()
    return str(caught.value)


# -- the kubeconfig -------------------------------------------------------------------------------------------------


def write_config(path: Path, **changes: Any) -> str:
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}],
        "users": [{"name": "u", "user": {}}],
        "contexts": [
            {"name": "one", "context": {"cluster": "c", "user": "u"}},
            {"name": "two", "context": {"cluster": "c", "user": "u"}},
        ],
    }
    path.write_text(yaml.safe_dump(document | changes))
    return str(path)


async def test_kubeconfig_without_a_current_context_is_refused_with_a_remedy(tmp_path: Path) -> None:
    settings = make_settings(tmp_path, kubeconfig=write_config(tmp_path / "config"))
    said = await refused(settings, make_environ(tmp_path))
    assert "current-context" in said
    assert "context" in said
    assert str(tmp_path / "config") in said


async def test_context_that_is_not_there_is_refused_by_name(tmp_path: Path) -> None:
    config = write_config(tmp_path / "config")
    settings = make_settings(tmp_path, kubeconfig=config, kube_contexts=("one", "absent"))
    said = await refused(settings, make_environ(tmp_path))
    assert "'absent'" in said
    assert "one" in said


async def test_no_kubeconfig_at_all_is_refused(tmp_path: Path) -> None:
    said = await refused(make_settings(tmp_path), make_environ(tmp_path))
    assert "kubeconfig" in said


async def test_two_clusters_of_one_name_are_refused(tmp_path: Path) -> None:
    config = write_config(tmp_path / "config")
    settings = make_settings(
        tmp_path, kubeconfig=config, kube_contexts=("one", "two"), cluster_names={"one": "same", "two": "same"}
    )
    said = await refused(settings, make_environ(tmp_path))
    assert "two clusters are named 'same'" in said
    assert "cluster_names" in said


# -- exporter-info --------------------------------------------------------------------------------------------------


def entry(sha: str, **fields: Any) -> dict[str, Any]:
    return {"hash": sha, "summary": "Change", "author": "Ada", "email": "", "time": ago(900).isoformat(), **fields}


def payload(*entries: Any, **fields: Any) -> str:
    return json.dumps({"commit": "x", "commits_since_last_export": list(entries), **fields})


async def test_unusable_exporter_info_costs_only_itself(tmp_path: Path) -> None:
    repository = await make_repository(tmp_path)
    cluster = Cluster()
    good, beside_null, future, last = ("a" * 40, "b" * 40, "c" * 40, "d" * 40)
    payloads = {
        "not JSON": "{not json",
        "too large": payload(entry("e" * 40), padding="x" * TEN_MEBIBYTES),
        "null entries": payload(None, entry(beside_null), None),
        "future time": payload(entry(future, time=(ago(0) + timedelta(days=400)).isoformat())),
        "a list": "[]",
        "good": payload(entry(good)),
    }
    async with cluster.server:
        cluster.fetch(repository.head_commit, url=repository.url)
        cluster.apply(repository.head_commit)
        async with running(make_settings(tmp_path, cluster), make_environ(tmp_path)) as run:
            await run.until_applied(repository.head_commit)
            await run.until_attributed()
            carriers = [await push(repository, {"exporter-info.json": text}, name) for name, text in payloads.items()]
            carriers.append(await push(repository, {"exporter-info.json": payload(entry(last))}, "Last"))
            cluster.fetch(carriers[-1], url=repository.url)
            cluster.apply(carriers[-1])
            for sha in (good, beside_null, future, last):
                await run.until_verdict(sha, "deployed")
            for carrier in carriers:
                await run.until_verdict(carrier, "deployed")
            assert await run.deliveries("e" * 40) == []
            # Three payloads as a whole, two entries, one time; a second look at one may count it again.
            assert await run.sample("fluxtrail_exporter_info_problems_total") >= 6
            merged = (await run.ask(f"/commits/{future}"))["commit"]["merged"]
    assert merged is None or merged["at"] < ago(-60).isoformat()


# -- revisions ------------------------------------------------------------------------------------------------------


async def test_unknown_form_of_revision_is_a_gap_and_the_others_go_on(tmp_path: Path) -> None:
    repository = await make_repository(tmp_path)
    cluster = Cluster()
    async with cluster.server:
        cluster.fetch(repository.head_commit, url=repository.url)
        for name in ("apps", "odd"):
            cluster.apply(repository.head_commit, name=name)
        async with running(make_settings(tmp_path, cluster), make_environ(tmp_path)) as run:
            for name in ("apps", "odd"):
                await run.until_applied(repository.head_commit, target=name)
            await run.until_attributed()
            cluster.apply("what/ever:is#this", name="odd")

            async def find_gap() -> dict[str, Any] | None:
                syncs = await syncs_of(run, "odd")
                return next((item for item in syncs if item["attribution"] == "gap"), None)

            gap = await until(find_gap, "the gap")
            assert gap["revision"] == "what/ever:is#this"
            assert "'what/ever:is#this'" in gap["attribution_problem"]
            assert await run.sample("fluxtrail_attribution_gaps_total") == 1
            commit = await push(repository, {"apps/web.yaml": "replicas: 1\n"})
            cluster.fetch(commit, url=repository.url)
            cluster.apply(commit)
            await run.until_verdict(commit, "deployed")
            await run.until_verdict(commit, "pending", target="odd")
            cluster.apply(commit, name="odd")
            await run.until_verdict(commit, "deployed", target="odd")


async def syncs_of(run: Running, name: str) -> list[dict[str, Any]]:
    target = next(item for item in await run.targets() if item["target"].endswith(f"/{name}"))
    return list((await run.ask(f"/targets/{target['id']}"))["syncs"])


# -- GitHub ---------------------------------------------------------------------------------------------------------


class GitHub:
    """Answers about pull requests; with `status`, refuses everything."""

    def __init__(self) -> None:
        self.url = ""
        self.status = 200
        self.headers: dict[str, str] = {}
        self.asked: list[str] = []
        self.tokens: set[str] = set()
        self.merged_at = ago(120)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.path)
        self.tokens.add(request.headers.get("Authorization", ""))
        if self.status != 200:
            return web.json_response({"message": "no"}, status=self.status, headers=self.headers)
        sha = request.match_info.get("sha", "")
        if not sha:
            return web.json_response([])
        pull = {
            "number": 7,
            "title": "Change",
            "state": "closed",
            "html_url": "https://github.com/acme/fleet/pull/7",
            "merged_at": self.merged_at.isoformat().replace("+00:00", "Z"),
            "merge_commit_sha": sha,
            "head": {"sha": "f" * 40, "ref": "topic"},
            "base": {"ref": "main"},
            "user": {"login": "ada"},
        }
        return web.json_response([pull])


@asynccontextmanager
async def github() -> AsyncIterator[GitHub]:
    server = GitHub()
    app = web.Application()
    app.router.add_get("/api/v3/repos/acme/fleet/commits/{sha}/pulls", server.answer)
    app.router.add_get("/{path:.*}", server.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}/api/v3"
    try:
        yield server
    finally:
        await runner.cleanup()


TOKEN = "ghp_" + "t0kent0ken" * 3


async def test_github_gives_the_merge_time_and_its_failures_cost_only_that(tmp_path: Path) -> None:
    repository = await make_repository(tmp_path)
    cluster = Cluster()
    refusals: list[tuple[int, dict[str, str]]] = [
        (401, {}),
        (403, {}),
        (404, {}),
        (500, {}),
        (429, {"Retry-After": "120"}),  # the last one: until it is over, nothing is asked
    ]
    async with cluster.server, github() as forge:
        stated = {"url": repository.url, "branch": "main", "forge": {"owner": "acme", "repo": "fleet"}}
        settings = make_settings(tmp_path, cluster, repositories=(stated,), github={"base_url": forge.url})
        cluster.fetch(repository.head_commit, url=repository.url)
        cluster.apply(repository.head_commit)
        with capture_logs() as logs:
            async with running(settings, make_environ(tmp_path, GITHUB_TOKEN=TOKEN)) as run:
                await run.until_applied(repository.head_commit)
                await run.until_attributed()
                best = await deliver(run, cluster, repository, "best")
                worse = []
                for status, headers in refusals:
                    forge.status, forge.headers = status, headers
                    forge.asked.clear()
                    worse.append(await deliver(run, cluster, repository, str(status)))
                    assert forge.asked
                body = json.dumps(await run.ask("/status"))
    assert best["evidence"] == "pull_request_merged"
    assert best["precision"] == "exact"
    assert {moment["evidence"] for moment in worse} <= {"branch_moved", "committer_date"}
    assert forge.tokens == {f"token {TOKEN}"}
    assert len([line for line in logs if line["event"] == "pull request unknown"]) == len(refusals)
    assert TOKEN not in str(logs) + body


async def deliver(run: Running, cluster: Cluster, repository: Any, name: str) -> dict[str, Any]:
    """Push, fetch and apply a commit; return when it was merged."""
    commit = await push(repository, {"apps/web.yaml": f"name: {name}\n"}, name)
    cluster.fetch(commit, url=repository.url)
    cluster.apply(commit)
    delivery = await run.until_verdict(commit, "deployed")
    return dict(delivery["stages"]["merged"])


# -- repositories that may not be contacted -------------------------------------------------------------------------


async def test_internal_address_is_never_asked_and_the_revisions_own_commit_is_followed(tmp_path: Path) -> None:
    repository = await make_repository(tmp_path)
    cluster = Cluster()
    async with cluster.server, github() as trap:
        url = trap.url.replace("/api/v3", "/acme/fleet.git")
        cluster.fetch(repository.head_commit, url=url)
        cluster.apply(repository.head_commit)
        async with running(make_settings(tmp_path, cluster), make_environ(tmp_path)) as run:
            await run.until_ready()
            await run.until_applied(repository.head_commit)
            commit = await push(repository, {"apps/web.yaml": "replicas: 1\n"})
            cluster.fetch(commit, url=url)
            cluster.apply(commit)
            delivery = await run.until_verdict(commit, "deployed")
            assert delivery["is_scope_unknown"]
            await assert_problem_is_shown(run, "loopback", "allow")
        assert trap.asked == []


async def test_url_that_is_not_allowed_is_never_read_and_the_revisions_own_commit_is_followed(tmp_path: Path) -> None:
    repository = await make_repository(tmp_path)
    cluster = Cluster()
    async with cluster.server:
        cluster.fetch(repository.head_commit, url=repository.url)
        cluster.apply(repository.head_commit)
        settings = make_settings(tmp_path, cluster, git={"allow_file_protocol": False})
        async with running(settings, make_environ(tmp_path)) as run:
            await run.until_ready()
            await run.until_applied(repository.head_commit)
            commit = await push(repository, {"apps/web.yaml": "replicas: 1\n"})
            cluster.fetch(commit, url=repository.url)
            cluster.apply(commit)
            await run.until_verdict(commit, "deployed")
            await assert_problem_is_shown(run, "file URLs", "allow_file_protocol")
    assert not list((tmp_path / "ledger" / "git" / "repositories").glob("*"))


async def assert_problem_is_shown(run: Running, *words: str) -> None:
    """In `/api/v1/status`, and on the sync whose commits stay unknown."""

    async def find_problem() -> str | None:
        problems = (await run.ask("/status"))["repository_problems"]
        return next((item["problem"] for item in problems if item["branch"] == "main"), None)

    async def find_sync() -> str | None:
        return next((item["attribution_problem"] for item in await syncs_of(run, "apps")), None)

    for text in (await until(find_problem, "the status"), await until(find_sync, "the sync's problem")):
        for word in words:
            assert word in text


# -- places and addresses -------------------------------------------------------------------------------------------


async def test_second_process_on_the_same_ledger_or_the_same_clones_is_refused(tmp_path: Path) -> None:
    cluster = Cluster()
    async with cluster.server:
        settings = make_settings(tmp_path, cluster)
        async with running(settings, make_environ(tmp_path)):
            said = await refused(settings, make_environ(tmp_path))
            assert "another process has this ledger open" in said
            clones = tmp_path / "ledger" / "git"
            elsewhere = make_settings(
                tmp_path, cluster, ledger={"path": tmp_path / "other.sqlite"}, git={"directory": clones}
            )
            said = await refused(elsewhere, make_environ(tmp_path))
            assert str(clones) in said
            assert "another Fluxtrail process" in said
        async with running(settings, make_environ(tmp_path)):
            pass


@pytest.mark.parametrize("listener", ["api", "metrics", "health"])
async def test_port_in_use_is_refused_by_name(listener: str, tmp_path: Path) -> None:
    cluster = Cluster()
    async with cluster.server:
        taken = cluster.server.url.removeprefix("http://")
        settings = make_settings(tmp_path, cluster, **{listener: {"listen": taken}})
        said = await refused(settings, make_environ(tmp_path))
    assert f"cannot listen on {taken} for {listener}" in said


async def test_api_beyond_loopback_needs_a_token(tmp_path: Path) -> None:
    cluster = Cluster()
    token = tmp_path / "token"
    async with cluster.server:
        settings = make_settings(tmp_path, cluster, api={"listen": "0.0.0.0:0"})
        said = await refused(settings, make_environ(tmp_path))
        assert "token" in said
        assert "0.0.0.0" in said
        token.write_text("short\n")
        settings = make_settings(tmp_path, cluster, api={"listen": "0.0.0.0:0", "token_file": token})
        assert "short" not in await refused(settings, make_environ(tmp_path))
        settings = make_settings(tmp_path, cluster, api={"listen": "0.0.0.0:0", "token_file": tmp_path / "absent"})
        assert "absent" in await refused(settings, make_environ(tmp_path))
        token.write_text("long-enough-to-be-a-token\n")
        settings = make_settings(tmp_path, cluster, api={"listen": "0.0.0.0:0", "token_file": token})
        async with running(settings, make_environ(tmp_path)) as run:
            assert (await run.get("api", "/api/v1/status"))[0] == 401


@pytest.mark.parametrize("text", ["nonsense", "127.0.0.1", "127.0.0.1:x", "127.0.0.1:99999"])
async def test_address_that_is_none_is_refused_with_its_setting(text: str, tmp_path: Path) -> None:
    cluster = Cluster()
    async with cluster.server:
        settings = make_settings(tmp_path, cluster, metrics={"listen": text})
        said = await refused(settings, make_environ(tmp_path))
    assert "metrics.listen" in said
    assert repr(text) in said


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"repositories": ({"url": "https://x:hunter2@h"},)}, ["https://"]),
        ({"allow": ("https://h/o?x=1 2",)}, ["allow"]),
        ({"credentials": ({"host": "h", "token": "hunter2", "tokn": "x"},)}, ["credentials[0]", "tokn"]),
        ({"credentials": ({"host": "h"},)}, ["credentials[0]", "exactly one of"]),
        ({"github": {"base_url": "api.github.com"}}, ["github.base_url", "https://api.github.com"]),
    ],
)
async def test_setting_that_only_its_user_can_judge_is_refused_at_the_start(
    changes: dict[str, Any], words: list[str], tmp_path: Path
) -> None:
    cluster = Cluster()
    async with cluster.server:
        with pytest.raises(FluxtrailError) as caught:
            async with open_service(make_settings(tmp_path, cluster, **changes), make_environ(tmp_path)):
                pass
    for word in words:
        assert word in str(caught.value)
    assert "hunter2" not in str(caught.value)


async def test_clock_that_is_none_is_refused(tmp_path: Path) -> None:
    settings = make_settings(tmp_path, kubeconfig=write_config(tmp_path / "config"), kube_contexts=("one",))
    with pytest.raises(ConfigError, match="FLUXTRAIL_CLOCK"):
        async with open_service(settings, make_environ(tmp_path, FLUXTRAIL_CLOCK="soon")):
            pass

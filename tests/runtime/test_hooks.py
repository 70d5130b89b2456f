"""Notices from outside, over the hooks listener: they make the service look, and change nothing by themselves."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.runtime.worlds import (
    FREE,
    Cluster,
    Running,
    make_environ,
    make_repository,
    make_settings,
    push,
    running,
    until,
)

SECRET = "a secret of a sender, long enough"
SENDERS = [{"name": "github", "secret": SECRET}]


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    made = Cluster()
    await made.server.start()
    yield made
    await made.server.stop()


def signed(body: bytes) -> str:
    return "sha256=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()


async def post(here: Running, path: str, body: Any, **headers: str) -> int:
    data = json.dumps(body).encode()
    url = here.addresses["hooks"] + path
    async with (
        aiohttp.ClientSession() as session,
        session.post(url, data=data, headers={"X-Hub-Signature-256": signed(data), **headers}) as response,
    ):
        return response.status


async def test_a_push_is_looked_at_at_once(tmp_path: Path, cluster: Cluster) -> None:
    repository = await make_repository(tmp_path / "repositories")
    settings = make_settings(
        tmp_path,
        cluster,
        git={"poll_seconds": 3600, "allow_file_protocol": True},
        repositories=[{"url": repository.url, "branch": "main"}],
        hooks={"listen": FREE, "senders": SENDERS},
    )
    async with running(settings, make_environ(tmp_path)) as here:

        async def is_read() -> bool:
            return bool((await here.ask("/commits"))["items"])

        await until(is_read, "the branch is read")
        commit = await push(repository, {"apps/web.yaml": "replicas: 2\n"}, "Two")
        body = {"ref": "refs/heads/main", "after": commit.sha, "repository": {"clone_url": repository.url}}
        assert await post(here, "/hooks/github", body, **{"X-GitHub-Event": "push"}) == 202

        async def is_known() -> bool:
            return any(item["sha"] == commit.sha for item in (await here.ask("/commits"))["items"])

        await until(is_known, "the commit that was pushed")
        assert await here.sample("fluxtrail_hooks_dealt_with_total", hook="github") == 1


@pytest.mark.parametrize(
    ("path", "body"), [("/hooks/flux", {"involvedObject": {"kind": "Kustomization", "name": "x"}})]
)
async def test_what_nobody_signed_is_refused(tmp_path: Path, cluster: Cluster, path: str, body: Any) -> None:
    settings = make_settings(tmp_path, cluster, hooks={"listen": FREE, "senders": SENDERS})
    async with running(settings, make_environ(tmp_path)) as here:
        assert await post(here, path, body, **{"X-Hub-Signature-256": ""}) == 401
        assert await post(here, path, body, **{"X-Hub-Signature-256": signed(b"another body")}) == 401
        assert await here.sample("fluxtrail_hooks_accepted_total") == 0

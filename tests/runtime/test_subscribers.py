"""gitops-connector's subscribers: what they are told links to where gitops-connector's records did."""

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
    NAMESPACE,
    Cluster,
    Running,
    make_environ,
    make_repository,
    make_settings,
    push,
    revision,
    running,
    until,
)

from fluxtrail.simulator.clock import SimulatedClock
from fluxtrail.simulator.forges.server import Forges
from fluxtrail.simulator.repositories import Commit

SECRET = "a secret of a sender, long enough"
APP_URL = "https://connector.example/ui"
PUBLIC_URL = "https://trail.example"


@pytest.fixture
async def forges() -> AsyncIterator[Forges]:
    async with Forges(SimulatedClock()) as found:
        yield found


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    made = Cluster()
    await made.server.start()
    yield made
    await made.server.stop()


async def post_event(here: Running, commit: Commit) -> int:
    event = {
        "involvedObject": {"kind": "Kustomization", "namespace": NAMESPACE, "name": "apps"},
        "severity": "info",
        "timestamp": "2026-01-01T00:00:00Z",
        "reason": "ReconciliationSucceeded",
        "message": "Reconciliation finished",
        "metadata": {"revision": revision(commit)},
        "reportingController": "kustomize-controller",
    }
    data = json.dumps(event).encode()
    signature = "sha256=" + hmac.new(SECRET.encode(), data, hashlib.sha256).hexdigest()
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{here.addresses['hooks']}/gitopsphase", data=data, headers={"X-Signature": signature}) as answer,
    ):
        return answer.status


@pytest.mark.parametrize(
    ("changes", "verdict_link", "phase_link"),
    [
        ({"gitops_connector": {"app_url": APP_URL}}, APP_URL, APP_URL),
        ({}, PUBLIC_URL + "/commits/{sha}", PUBLIC_URL),
    ],
    ids=["as gitops-connector was told", "our pages"],
)
async def test_records_link_to_what_the_settings_say(
    tmp_path: Path, cluster: Cluster, forges: Forges, changes: Any, verdict_link: str, phase_link: str
) -> None:
    repository = await make_repository(tmp_path / "repositories")
    routes = [
        {"name": "verdicts", "to": "subscriber", "address": f"{forges.url}/webhooks/verdicts"},
        {"name": "phases", "to": "subscriber", "address": f"{forges.url}/webhooks/phases", "source": "phases"},
    ]
    settings = make_settings(
        tmp_path,
        cluster,
        repositories=[{"url": repository.url, "branch": "main"}],
        routes=routes,
        hooks={"listen": FREE, "senders": [{"name": "flux", "secret": SECRET}]},
        public_url=PUBLIC_URL,
        **changes,
    )
    first = await push(repository, {"apps/web.yaml": "replicas: 1\n"}, "First")
    cluster.fetch(first, url=repository.url)
    cluster.apply(first)

    def links(name: str, commit: Commit) -> set[str]:
        bodies = (body for found, body, _ in forges.webhooks.bodies if found == name)
        return {body["callback_url"] for body in bodies if body["commit_id"] == commit.sha}

    async with running(settings, make_environ(tmp_path)) as here:
        await here.until_ready()
        commit = await push(repository, {"apps/web.yaml": "replicas: 2\n"}, "Two")
        cluster.fetch(commit, url=repository.url)
        cluster.apply(commit)
        assert await post_event(here, commit) == 200
        await until(lambda: links("verdicts", commit) and links("phases", commit), "both are told")
    assert links("verdicts", commit) == {verdict_link.format(sha=commit.sha)}
    assert links("phases", commit) == {phase_link}

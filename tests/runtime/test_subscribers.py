"""gitops-connector's subscribers: what they are told links to where gitops-connector's records did."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.runtime.telling import PUBLIC_URL, SECRET, begin, deliver, send, settings_of, signed
from tests.runtime.worlds import FREE, NAMESPACE, Cluster, Running, make_environ, push, revision, running, until

from fluxtrail.simulator.forges.server import Forges
from fluxtrail.simulator.repositories import Commit, Repository

APP_URL = "https://connector.example/ui"


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
    return await send(here, "/gitopsphase", data, **{"X-Signature": signed(data)})


@pytest.mark.parametrize(
    ("changes", "verdict_link", "phase_link"),
    [
        ({"gitops_connector": {"app_url": APP_URL}}, APP_URL, APP_URL),
        ({}, PUBLIC_URL + "/commits/{sha}", PUBLIC_URL),
    ],
    ids=["as gitops-connector was told", "our pages"],
)
async def test_records_link_to_what_the_settings_say(
    tmp_path: Path,
    cluster: Cluster,
    repository: Repository,
    forges: Forges,
    changes: Any,
    verdict_link: str,
    phase_link: str,
) -> None:
    routes = [
        {"name": "verdicts", "to": "subscriber", "address": f"{forges.url}/webhooks/verdicts"},
        {"name": "phases", "to": "subscriber", "address": f"{forges.url}/webhooks/phases", "source": "phases"},
    ]
    hooks = {"listen": FREE, "senders": [{"name": "flux", "secret": SECRET}]}
    settings = settings_of(tmp_path, [cluster], repository, *routes, environments=[], hooks=hooks, **changes)
    await begin([cluster], repository)

    def links(name: str, commit: Commit) -> set[str]:
        bodies = (body for found, body, _ in forges.webhooks.bodies if found == name)
        return {body["callback_url"] for body in bodies if body["commit_id"] == commit.sha}

    async with running(settings, make_environ(tmp_path)) as here:
        await here.until_ready()
        commit = await push(repository, {"apps/web.yaml": "replicas: 2\n"}, "Two")
        deliver([cluster], repository, commit)
        assert await post_event(here, commit) == 200
        await until(lambda: links("verdicts", commit) and links("phases", commit), "both are told")
    assert links("verdicts", commit) == {verdict_link.format(sha=commit.sha)}
    assert links("phases", commit) == {phase_link}

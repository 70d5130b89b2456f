"""What a channel, a webhook and a sink of CDEvents are told while Flux delivers, fails and mends."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.runtime.telling import begin, fetch, open_clusters, say, settings_of
from tests.runtime.worlds import Cluster, Running, make_environ, push, running, until

from fluxtrail.simulator.clock import SimulatedClock
from fluxtrail.simulator.forges.server import Forges
from fluxtrail.simulator.repositories import Commit, Repository

AUDITED = "not-a-secret-of-anybody"


@pytest.fixture
async def forges() -> AsyncIterator[Forges]:
    async with Forges(SimulatedClock()) as found:
        found.webhooks.secrets["audit"] = AUDITED
        yield found


@pytest.fixture
async def clusters() -> AsyncIterator[list[Cluster]]:
    async with open_clusters("prod-eu", "staging") as made:
        yield made


def bot(folder: Path, forges: Forges) -> dict[str, Any]:
    token = folder / "slack-token"
    token.write_text("xoxb-0123456789-abcdefghij")
    return {
        "name": "deploys",
        "to": "slack",
        "channel": "#deploys",
        "token_file": str(token),
        "api_url": f"{forges.url}/slack/api",
    }


async def go_through(
    here: Running, clusters: list[Cluster], repository: Repository, *, reached: Any = lambda _word: True
) -> Commit:
    """A commit that is pending, fails in production, and is mended; each step waits for `reached`."""
    commit = await push(repository, {"apps/web.yaml": "replicas: 2\n"}, "Sell <more> & @channel")
    await until(lambda: reached("pending"), "pending is told")
    fetch(clusters, repository, commit)
    clusters[1].apply(commit)
    message = "timeout waiting for Deployment/shop/web"
    say(clusters[0], commit, ready="False", reason="HealthCheckFailed", message=message)
    await here.until_verdict(commit, "failed")
    await until(lambda: reached("failed"), "the failure is told")
    clusters[0].apply(commit)
    await until(lambda: reached("deployed"), "recovery is told")
    return commit


def text_of(message: dict[str, Any]) -> str:
    parts = [block.get("text") or block["elements"][0] for block in message["blocks"]]
    return "\n".join(part["text"] for part in parts)


async def test_one_slack_message_a_commit_is_changed_in_place(
    tmp_path: Path, clusters: list[Cluster], repository: Repository, forges: Forges
) -> None:
    await begin(clusters, repository)
    settings, environ = settings_of(tmp_path, clusters, repository, bot(tmp_path, forges)), make_environ(tmp_path)
    words = {"pending": ":hourglass", "failed": ":x: *production*", "deployed": ":white_check_mark: *production*"}

    def reached(word: str) -> bool:
        return any(words[word] in text_of(message) for message in forges.slack.messages.values())

    async with running(settings, environ) as here:
        await here.until_ready()
        commit = await go_through(here, clusters, repository, reached=reached)
    [(channel, _)] = forges.slack.messages
    [message] = forges.slack.messages.values()
    assert channel == "#deploys"
    assert "Sell &lt;more&gt; &amp; @channel" in text_of(message)
    assert f"<https://trail.example/commits/{commit.sha}|trail>" in text_of(message)
    count = forges.recorder.total_writes
    async with running(settings, environ) as here:
        await here.until_ready()
        await push(repository, {"apps/web.yaml": "replicas: 3\n"}, "Three")
        await until(lambda: len(forges.slack.messages) == 2, "the next commit has a message")
    later = [item.id for item in list(forges.recorder.writes)[count:]]
    assert message["ts"] not in later
    assert forges.recorder.violation_counts.total() == 0


async def test_a_channel_that_cannot_edit_is_told_of_failure_and_recovery_alone(
    tmp_path: Path, clusters: list[Cluster], repository: Repository, forges: Forges
) -> None:
    await begin(clusters, repository)
    slack = {"name": "all", "to": "slack", "address": f"{forges.url}/slack/services/T1/B1/secretsecret"}
    teams = {
        "name": "failures",
        "to": "teams",
        "address": f"{forges.url}/teams/workflows/w1/triggers/manual/paths/invoke?sig=secret",
        "verdicts": ["failed", "rolled_back"],
    }
    settings = settings_of(tmp_path, clusters, repository, slack, teams)

    def told(system: str) -> list[str]:
        return [item.description for item in forges.recorder.writes if item.system == system]

    counts = {"pending": 0, "failed": 1, "deployed": 2}
    async with running(settings, make_environ(tmp_path)) as here:
        await here.until_ready()
        await go_through(
            here, clusters, repository, reached=lambda word: len(told("slack")) == len(told("teams")) == counts[word]
        )
    for system in ("slack", "teams"):
        first, second = told(system)
        assert "HealthCheckFailed" in first
        assert "deployed on prod-eu" in second


async def test_webhooks_are_signed_and_cdevents_tell_an_incident_and_its_end(
    tmp_path: Path, clusters: list[Cluster], repository: Repository, forges: Forges
) -> None:
    await begin(clusters, repository)
    secret = tmp_path / "audit-secret"
    secret.write_text(AUDITED + "\n")
    audit = {"name": "audit", "to": "webhook", "address": f"{forges.url}/webhooks/audit", "secret_file": str(secret)}
    events = {"name": "events", "to": "cdevents", "address": f"{forges.url}/cdevents"}
    board = {"name": "board", "to": "subscriber", "address": f"{forges.url}/webhooks/board"}
    settings, environ = settings_of(tmp_path, clusters, repository, audit, events, board), make_environ(tmp_path)

    def kinds(sha: str) -> list[str]:
        mine = (event for event in forges.cdevents.events if sha in str(event["data"]))
        return [event["type"].removeprefix("dev.cdevents.").rpartition(".0.3.0")[0] for event in mine]

    def bodies(name: str) -> list[Any]:
        return [body for found, body, _ in forges.webhooks.bodies if found == name]

    async with running(settings, environ) as here:
        await here.until_ready()
        commit = await go_through(here, clusters, repository)
        await until(lambda: "incident.resolved" in kinds(commit.sha), "the end of the incident")
        await until(lambda: len([b for b in bodies("audit") if commit.sha in str(b)]) == 4, "webhooks")
        await until(lambda: len([b for b in bodies("board") if b["commit_id"] == commit.sha]) == 3, "records")
    assert sorted(kinds(commit.sha)) == [
        "change.merged",
        "incident.detected",
        "incident.resolved",
        "service.upgraded",
        "service.upgraded",
    ]
    mine = [event for event in forges.cdevents.events if commit.sha in str(event["data"])]
    assert len({event["data"]["context"]["chainId"] for event in mine}) == 1
    documents = {(b["type"], b["environment"]): b for b in bodies("audit") if commit.sha in str(b)}
    assert set(documents) == {
        ("commit.seen", ""),
        ("delivery.failed", "production"),
        ("delivery.deployed", "production"),
        ("delivery.deployed", "staging"),
    }
    assert documents["delivery.failed", "production"]["reason"] == "HealthCheckFailed"
    assert documents["delivery.deployed", "staging"]["stages"]["applied"]["precision"] in ("exact", "observed")
    assert forges.recorder.violation_counts.total() == 0
    counts = (len(forges.webhooks.bodies), len(forges.cdevents.events))
    async with running(settings, environ) as here:
        await here.until_ready()
        again = await push(repository, {"apps/web.yaml": "replicas: 3\n"}, "Three")
        await until(lambda: "change.merged" in kinds(again.sha), "the next one is told")
    assert not [b for _, b, _ in list(forges.webhooks.bodies)[counts[0] :] if commit.sha in str(b)]
    assert not [e for e in list(forges.cdevents.events)[counts[1] :] if commit.sha in str(e)]


async def test_routes_can_be_tried(
    tmp_path: Path, clusters: list[Cluster], repository: Repository, forges: Forges
) -> None:
    await begin(clusters, repository)
    secret = tmp_path / "audit-secret"
    secret.write_text(AUDITED)
    routes = [
        bot(tmp_path, forges),
        {"name": "teams", "to": "teams", "address": f"{forges.url}/teams/workflows/w1/triggers/manual/paths/invoke"},
        {"name": "audit", "to": "webhook", "address": f"{forges.url}/webhooks/audit", "secret_file": str(secret)},
        {"name": "unsigned", "to": "webhook", "address": f"{forges.url}/webhooks/audit"},
        {"name": "events", "to": "cdevents", "address": f"{forges.url}/cdevents"},
        {"name": "board", "to": "subscriber", "address": f"{forges.url}/webhooks/board"},
    ]
    async with (
        running(settings_of(tmp_path, clusters, repository, *routes), make_environ(tmp_path)) as here,
        aiohttp.ClientSession() as session,
    ):
        await here.until_ready()
        commit = await push(repository, {"apps/web.yaml": "replicas: 2\n"}, "Two")
        await here.until_verdict(commit, "pending")
        answers = {}
        for route in routes:
            url = f"{here.addresses['api']}/api/v1/routes/{route['name']}/test"
            async with session.post(url, json={}) as response:
                answers[route["name"]] = (response.status, await response.json())
    taken = {name: (status, body.get("is_taken")) for name, (status, body) in answers.items()}
    assert taken == {
        "deploys": (200, True),
        "teams": (200, True),
        "audit": (200, True),
        "unsigned": (200, False),
        "events": (200, True),
        "board": (409, None),
    }
    assert "signature is missing or wrong" in answers["unsigned"][1]["answer"]
    assert forges.url not in str(answers)
    assert [body["type"] for name, body, _ in forges.webhooks.bodies if body.get("type") == "test"] == ["test"]
    assert "dev.cdeventsx.fluxtrail-route.tested.0.1.0" in [event["type"] for event in forges.cdevents.events]
    assert any("a test of the route deploys" in text_of(message) for message in forges.slack.messages.values())

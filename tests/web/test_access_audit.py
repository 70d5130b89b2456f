"""What is written down of who did what."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from structlog.testing import capture_logs
from tests.web.worlds import NOW, World

from fluxtrail.web.access.doorkeeper import Doorkeeper
from fluxtrail.web.access.principals import Role
from fluxtrail.web.access.tokens import Token
from fluxtrail.web.app import create_app
from fluxtrail.web.server import Listener, WebServer

OPERATOR = "operator-" + "0" * 16
VIEWER = "viewer-" + "1" * 16
PIPELINE = "pipeline-" + "2" * 16


@pytest.fixture
async def url() -> AsyncIterator[str]:
    tokens = [
        Token(name="ops", secret=OPERATOR),
        Token(name="people", role=Role.VIEWER, secret=VIEWER),
        Token(name="shop", role=Role.CI, secret=PIPELINE, repositories=("github.com/acme/shop",)),
    ]
    world = World()
    app = create_app(
        answers=world, report=world, now=lambda: NOW, doorkeeper=Doorkeeper(tokens), records=world, reports=world
    )
    async with WebServer([Listener(name="api", app=app, host="127.0.0.1", port=0)]) as server:
        yield server.addresses["api"].url


async def lines_of(url: str, path: str, token: str | None, *, body: Any = None, **how: Any) -> list[dict[str, Any]]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    method = "GET" if body is None and not how else "POST"
    with capture_logs() as lines:
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.request(method, url + path, json=body, **how) as answer,
        ):
            await answer.read()
    assert not any(secret in str(lines) for secret in (OPERATOR, VIEWER, PIPELINE, "guessed"))
    return [dict(line) for line in lines if line["event"] in ("audit", "token_refused")]


@pytest.mark.parametrize(
    ("path", "body", "action", "subject", "status"),
    [
        ("/api/v1/reports/replay", {"route": "pull-requests"}, "replay_reports", "route pull-requests", 200),
        ("/api/v1/reports/drop", {"ids": [7, 8]}, "drop_reports", "ids 7, 8", 200),
        ("/api/v1/reports/drop", {}, "drop_reports", "all dead letters", 400),
        ("/api/v1/records/sync", {"dry_run": False}, "sync_records", "all clusters", 200),
        ("/api/v1/nothing", {}, "POST /api/v1/nothing", "", 404),
    ],
)
async def test_action_of_an_operator(
    url: str, path: str, body: dict[str, Any], action: str, subject: str, status: int
) -> None:
    (line,) = await lines_of(url, path, OPERATOR, body=body)
    assert line == {
        "event": "audit",
        "log_level": "info",
        "who": "ops",
        "role": "operator",
        "means": "bearer",
        "action": action,
        "subject": subject,
        "address": "127.0.0.1",
        "status": status,
    }


@pytest.mark.parametrize(("token", "who"), [(VIEWER, "people"), (PIPELINE, "shop")])
async def test_refused_action_is_written_down_too(url: str, token: str, who: str) -> None:
    (line,) = await lines_of(url, "/api/v1/reports/replay", token, body={"all_dead": True})
    assert (line["who"], line["action"], line["status"]) == (who, "POST /api/v1/reports/replay", 403)


async def test_reading_is_no_action(url: str) -> None:
    assert await lines_of(url, "/api/v1/commits", VIEWER) == []


async def test_pipeline_reads_nothing(url: str) -> None:
    headers = {"Authorization": f"Bearer {PIPELINE}"}
    async with aiohttp.ClientSession(headers=headers) as session:
        for path in ("/api/v1/commits", "/api/v1/ci/runs", "/", "/api/v1/feed"):
            async with session.get(url + path) as answer:
                assert answer.status == 403
                assert "pipelines" in await answer.text()


async def test_wrong_token_is_written_down_without_itself(url: str) -> None:
    (line,) = await lines_of(url, "/api/v1/commits", "guessed" * 5)
    assert (line["event"], line["address"], line["path"]) == ("token_refused", "127.0.0.1", "/api/v1/commits")


async def test_who_is_not_known_leaves_no_line(url: str) -> None:
    assert await lines_of(url, "/api/v1/reports/replay", None, body={}) == []


async def test_signing_in_is_an_action(url: str) -> None:
    cookie = {"Cookie": f"fluxtrail-form={'a' * 43}"}
    (line,) = await lines_of(
        url, "/login", None, data={"csrf": "a" * 43, "token": VIEWER}, headers=cookie, allow_redirects=False
    )
    assert (line["who"], line["action"], line["means"], line["status"]) == ("people", "sign_in", "session", 303)

"""The API over the real ledger: every question is asked of it, with every parameter."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path

import aiohttp
import pytest
from tests.ledger.world import fresh_place
from tests.web.worlds import NOW, World

from fluxtrail.ledger.ledger import SqlLedger
from fluxtrail.model.figures import Figures
from fluxtrail.web.app import create_app
from fluxtrail.web.metrics import Metrics
from fluxtrail.web.packing import gathered
from fluxtrail.web.ports import Answers
from fluxtrail.web.server import Listener, WebServer


class Clock:
    def now(self) -> datetime:
        return NOW


@pytest.fixture
async def answers(tmp_path: Path) -> AsyncIterator[Answers]:
    ledger = await SqlLedger.open(await fresh_place(tmp_path / "ledger.sqlite"), clock=Clock())
    yield ledger
    await ledger.close()


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/commits", 200),
        ("/commits?repository=acme/shop&branch=main&author=j&verdict=failed&since=2026-11-20T10:00:00Z", 200),
        ("/commits?carriers=false&limit=1", 200),
        ("/commits?cursor=nonsense", 400),
        ("/commits/abcd", 404),
        ("/trail?q=%2312", 404),
        ("/trail?q=acme/shop%40abcdef", 404),
        ("/trail?q=kustomization/flux-system/apps", 404),
        ("/trail?q=%00", 404),
        ("/deliveries?cluster=a&namespace=b&target=c&repository=d&sha=abcd&verdict=lost", 200),
        ("/deliveries?cursor=W10", 400),
        ("/targets?cluster=a&namespace=b&target=c", 200),
        ("/targets/1", 404),
        ("/clusters", 200),
        ("/transitions?after=9223372036854775807", 200),
    ],
)
async def test_every_question_is_answered(answers: Answers, path: str, status: int) -> None:
    app = create_app(answers=answers, report=World(), now=lambda: NOW)
    async with (
        WebServer([Listener(name="api", app=app, host="127.0.0.1", port=0)]) as server,
        aiohttp.ClientSession() as session,
        session.get(f"{server.addresses['api'].url}/api/v1{path}") as response,
    ):
        assert response.status == status, await response.text()


async def test_metrics_of_a_new_ledger(answers: Answers) -> None:
    metrics = Metrics(figures=Figures, answers=answers, created_at=NOW, now=lambda: NOW)
    pieces, _ = await metrics.render()
    body = b"".join(gathered(pieces))
    assert b"fluxtrail_attribution_pending 0.0" in body

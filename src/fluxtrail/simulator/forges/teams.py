"""Teams: the webhook of a workflow, which takes adaptive cards and answers before it has done anything.

Source: learn.microsoft.com, "Create incoming webhooks with Workflows": 28 KB a message, four requests a second.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any, ClassVar

from aiohttp import web

from fluxtrail.simulator.artifact_limits import RefusedError
from fluxtrail.simulator.forges.limits import Window
from fluxtrail.simulator.forges.service import Answer, Asked, Desk, Service, fields

CARD = "application/vnd.microsoft.card.adaptive"
BODY_LIMIT_BYTES = 28 * 1024
REQUESTS_PER_SECOND = 4


class Teams(Service):
    system: ClassVar[str] = "teams"

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self.cards: list[Any] = []
        """What was posted, oldest first; the last thousand."""
        self._windows: dict[str, Window] = defaultdict(lambda: Window(REQUESTS_PER_SECOND, seconds=1))

    def add_routes(self, router: web.UrlDispatcher) -> None:
        router.add_post("/teams/workflows/{workflow}/triggers/manual/paths/invoke", self.answering("card", self._post))

    def error(self, status: int, message: str) -> Any:
        return {"error": {"code": "TooManyRequests" if status == 429 else "InvalidRequest", "message": message}}

    def _post(self, asked: Asked) -> Answer:
        window = self._windows[asked.part("workflow")]
        if not window.spend(asked.now):
            self.violate(asked, "per_second", f"{window.used(asked.now):g} requests in a second")
            raise RefusedError(429, "Rate limit is exceeded. Try again in 1 seconds.", {"Retry-After": "1"})
        if len(asked.raw) > BODY_LIMIT_BYTES:
            raise RefusedError(413, "Request Entity too large")
        attachments = fields(asked).get("attachments")
        if not isinstance(attachments, list) or not attachments or attachments[0].get("contentType") != CARD:
            raise RefusedError(400, f"attachments must hold an {CARD}")
        self.cards = [*self.cards[-999:], attachments[0].get("content")]
        facts = {"context": asked.part("workflow"), "description": str(attachments[0].get("content"))[:4000]}
        self.recorder.write(at=asked.now, system=self.system, call="card", **facts)
        return Answer(202)

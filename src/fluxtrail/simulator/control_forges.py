"""The part of the remote control that is about forges and chats: their record, the truth beside it, trouble."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from aiohttp import web

from fluxtrail.simulator.compare_statuses import repeated_statuses
from fluxtrail.simulator.forges.faults import ForgeFault
from fluxtrail.simulator.forges.record import write_json
from fluxtrail.simulator.forges.server import Forges
from fluxtrail.simulator.forges.service import is_web_address

_MOST_WRITES = 10_000


class Trust(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """`POST /forges/trust`: what callers must show from now on; empty texts let everybody in."""

    tokens: dict[str, str] = {}
    """By system: `github`, `gitlab`, …"""
    webhooks: dict[str, str] = {}
    """Secrets by the name of a receiver."""


class Listener(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """`POST /forges/hooks`: who is told of every push from now on, as by a webhook of GitHub."""

    url: str
    """Empty: nobody."""
    secret: str = ""
    """What bodies are signed with."""


class ForgesControl:
    """`/forges`, `/forges/writes`, `/forges/truth`, `/forges/trust`, `/forges/hooks`, `/faults/forges`.

    Args:
        differences: says where statuses are not what is true; None: there is no world, and nobody knows.
    """

    def __init__(self, forges: Forges, differences: Callable[[], list[str]] | None = None) -> None:
        self._forges = forges
        self._differences = differences

    def add_routes(self, router: web.UrlDispatcher) -> None:
        router.add_get("/forges", self._report)
        router.add_get("/forges/writes", self._writes)
        router.add_get("/forges/truth", self._truth)
        router.add_post("/forges/trust", self._trust)
        router.add_post("/forges/hooks", self._hook)
        router.add_post("/faults/forges", self._fail)

    async def _report(self, request: web.Request) -> web.Response:
        del request
        return _json(self._forges.report())

    async def _writes(self, request: web.Request) -> web.Response:
        """Writes after `?after=<number>`, oldest first, at most `?limit=` of them."""
        numbers = [request.query.get(name, default) for name, default in (("after", "0"), ("limit", "1000"))]
        if not all(text.isdigit() for text in numbers):
            return _json({"error": "after and limit are numbers"}, status=400)
        after, limit = map(int, numbers)
        found = self._forges.recorder.since(after, limit=min(limit, _MOST_WRITES))
        return _json({"writes": [write_json(write) for write in found]})

    async def _truth(self, request: web.Request) -> web.Response:
        """Where GitHub's statuses are not what is true, and what was told twice running."""
        del request
        if self._differences is None:
            return _json({"error": "no world stands behind these forges"}, status=404)
        repeated = repeated_statuses(self._forges.report()["statuses"])
        return _json({"differences": self._differences(), "repeated": repeated})

    async def _trust(self, request: web.Request) -> web.Response:
        try:
            given = msgspec.json.decode(await request.read(), type=Trust)
        except msgspec.MsgspecError as exc:
            return _json({"error": str(exc)}, status=400)
        self._forges.trust(tokens=given.tokens, webhooks=given.webhooks)
        return _json({})

    async def _hook(self, request: web.Request) -> web.Response:
        try:
            given = msgspec.json.decode(await request.read(), type=Listener)
        except msgspec.MsgspecError as exc:
            return _json({"error": str(exc)}, status=400)
        if given.url and not is_web_address(given.url):
            return _json({"error": "url is no http:// or https:// address"}, status=400)
        self._forges.pushes.listen(given.url, given.secret)
        return _json({})

    async def _fail(self, request: web.Request) -> web.Response:
        try:
            fault = msgspec.json.decode(await request.read(), type=ForgeFault)
        except msgspec.MsgspecError as exc:
            return _json({"error": str(exc)}, status=400)
        self._forges.fail(fault)
        return _json({"waiting": self._forges.desk.faults.waiting(self._forges.desk.clock.now())})


def _json(value: Any, *, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(value) + b"\n", content_type="application/json", status=status)

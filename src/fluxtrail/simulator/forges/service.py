"""What the simulated forges have in common: a request is read, struck, admitted, carried out, counted and answered."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import format_datetime
from typing import Any, ClassVar
from urllib.parse import parse_qsl

from aiohttp import web

from fluxtrail.simulator.artifact_limits import RefusedError
from fluxtrail.simulator.clock import SimulatedClock
from fluxtrail.simulator.faults import Faults, fault_headers
from fluxtrail.simulator.forges.commits import Commits
from fluxtrail.simulator.forges.faults import ForgeFault
from fluxtrail.simulator.forges.record import Recorder

Json = dict[str, Any]


@dataclass(slots=True)
class Asked:
    """One request."""

    request: web.Request
    call: str
    raw: bytes
    token: str
    """A digest of whatever it showed; empty: nothing."""
    now: datetime
    body: Any = None
    """Parsed; fields of a form are a mapping too."""
    wait_seconds: float = 0.0
    """How long the service lets it wait."""
    at_once: int = 1
    """How many requests of the same token are under way, this one too."""

    @property
    def is_read(self) -> bool:
        return self.request.method in ("GET", "HEAD")

    def part(self, name: str) -> str:
        """Return a variable part of the path."""
        return self.request.match_info[name]

    def text(self, name: str, default: str = "") -> str:
        """Return a field of the body, or else of the query, as text."""
        value = self.body.get(name) if isinstance(self.body, dict) else None
        return str(value) if value is not None else self.request.query.get(name, default)


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: Any = None
    """Text goes out as it is, None as nothing, all else as JSON."""
    headers: Mapping[str, str] = field(default_factory=dict)


Handler = Callable[[Asked], Answer]


@dataclass(slots=True)
class Desk:
    """What all forges of a server share.

    Args:
        tokens: by system, what a caller must show; systems without one let everybody in.
    """

    clock: SimulatedClock
    commits: Commits
    recorder: Recorder = field(default_factory=Recorder)
    faults: Faults[ForgeFault] = field(default_factory=Faults)
    tokens: dict[str, str] = field(default_factory=dict)
    under_way: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(system, token) -> requests that are not answered yet."""

    def fail(self, fault: ForgeFault) -> None:
        self.faults.add(fault, now=self.clock.now())


class Service:
    """One system. Subclasses say which calls it has, how it refuses, and what it limits."""

    system: ClassVar[str]

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.recorder = desk.recorder

    def add_routes(self, router: web.UrlDispatcher) -> None:
        raise NotImplementedError

    def error(self, status: int, message: str) -> Any:
        """Return the body of a refusal."""
        return {"message": message}

    def admit(self, asked: Asked) -> None:
        """Let a request in, or raise RefusedError."""

    def settle(self, asked: Asked, answer: Answer) -> Mapping[str, str]:
        """Book an answer that was worked out; return the headers of every answer."""
        del asked, answer
        return {}

    def violate(self, asked: Asked, kind: str, detail: str) -> None:
        self.recorder.violate(at=asked.now, system=self.system, kind=kind, token=asked.token, detail=detail)

    def answering(self, call: str, handler: Handler) -> Callable[[web.Request], Any]:
        async def answer(request: web.Request) -> web.StreamResponse:
            token = token_digest(request)
            self.desk.under_way[self.system, token] += 1
            try:
                asked = Asked(request, call, await request.read(), token, self.desk.clock.now())
                asked.at_once = self.desk.under_way[self.system, token]
                return await self._answer(asked, handler)
            finally:
                self.desk.under_way[self.system, token] -= 1

        return answer

    async def _answer(self, asked: Asked, handler: Handler) -> web.StreamResponse:
        path = asked.request.path
        taken = self.desk.faults.strike(lambda fault: fault.concerns(self.system, asked.call, path), asked.now)
        await self._sleep(sum(fault.delay_seconds for fault in taken if fault.action == "delay"))
        struck = next((fault for fault in taken if fault.action != "delay"), None)
        if struck is None or struck.is_after:
            asked.now = self.desk.clock.now()
            given = self._carry_out(asked, handler)
            await self._sleep(asked.wait_seconds)
            if struck is None:
                return self._respond(asked, given)
        return self._strike(asked, struck)

    async def _sleep(self, seconds: float) -> None:
        if seconds > 0:
            await self.desk.clock.sleep(seconds)

    def _carry_out(self, asked: Asked, handler: Handler) -> Answer:
        try:
            self.authenticate(asked)
            self.admit(asked)
            asked.body = None if asked.is_read else parse(asked.request, asked.raw)
            answer = _with_etag(asked, handler(asked))
        except RefusedError as exc:
            answer = Answer(exc.status, self.error(exc.status, exc.message), exc.headers)
        more = self.settle(asked, answer)
        return Answer(answer.status, answer.body, {**more, **answer.headers})

    def authenticate(self, asked: Asked) -> None:
        """Let a caller in who shows what is wanted, or raise RefusedError."""
        wanted = self.desk.tokens.get(self.system)
        if wanted and asked.token != _digest(wanted):
            raise RefusedError(401, "Bad credentials")

    def _respond(self, asked: Asked, answer: Answer) -> web.Response:
        self.recorder.counts[self.system, asked.call, answer.status] += 1
        headers = {"Date": format_datetime(asked.now, usegmt=True), **answer.headers}
        match answer.body:
            case None:
                return web.Response(status=answer.status, headers=headers)
            case str():
                return web.Response(status=answer.status, text=answer.body, headers=headers)
            case _:
                return web.json_response(answer.body, status=answer.status, headers=headers)

    def _strike(self, asked: Asked, fault: ForgeFault) -> web.Response:
        match fault.action:
            case "drop":
                self.recorder.counts[self.system, asked.call, 0] += 1
                if asked.request.transport is not None:
                    asked.request.transport.abort()
                return web.Response(status=500)
            case "error":
                return self._respond(asked, Answer(200, {"ok": False, "error": fault.error}))
            case _:
                headers = fault_headers(fault, now=asked.now)
                body = self.error(fault.status, "The service is unwell")
                return self._respond(asked, Answer(fault.status, body, headers))


def token_digest(request: web.Request) -> str:
    """Return a digest of the token that a request shows, whichever way it does."""
    shown = request.headers.get("PRIVATE-TOKEN", "")
    scheme, _, value = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            shown = base64.b64decode(value).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            shown = value
    elif value:
        shown = value
    return _digest(shown) if shown else ""


def parse(request: web.Request, raw: bytes) -> Any:
    """Return the body: JSON, or a form.

    Raises:
        RefusedError: 400.
    """
    if not raw:
        return {}
    if request.content_type == "application/x-www-form-urlencoded":
        return dict(parse_qsl(raw.decode("utf-8", "replace"), keep_blank_values=True))
    try:
        return json.loads(raw)
    except ValueError as exc:
        raise RefusedError(400, "Problems parsing JSON") from exc


def fields(asked: Asked) -> Json:
    """Return the body as an object.

    Raises:
        RefusedError: 400.
    """
    if not isinstance(asked.body, dict):
        raise RefusedError(400, "Body should be a JSON object")
    return asked.body


def is_web_address(text: str) -> bool:
    return text.startswith(("http://", "https://"))


def _with_etag(asked: Asked, answer: Answer) -> Answer:
    """A read of what did not change is answered by 304."""
    if not asked.is_read or answer.status != 200 or answer.body is None:
        return answer
    etag = f'W/"{_digest(json.dumps(answer.body))}"'
    headers = {**answer.headers, "ETag": etag}
    if asked.request.headers.get("If-None-Match") == etag:
        return Answer(304, None, headers)
    return Answer(200, answer.body, headers)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]

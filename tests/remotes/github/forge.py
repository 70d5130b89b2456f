"""A GitHub that answers what a test tells it to, and remembers what it was asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec
from aiohttp import web

SHA = "0123456789abcdef0123456789abcdef01234567"
NOW = 1_768_212_000.0


class Times:
    """A clock that moves only when somebody sleeps or a test says so."""

    def __init__(self) -> None:
        self.now = NOW
        self.slept: list[float] = []

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@dataclass
class Asked:
    path: str
    headers: dict[str, str]
    method: str = "GET"
    body: bytes = b""


@dataclass
class Says:
    status: int = 200
    json: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    content_type: str = "application/json; charset=utf-8"

    def response(self) -> web.Response:
        body = self.body if self.body is not None else msgspec.json.encode(self.json)
        headers = {"Content-Type": self.content_type, **self.headers}
        return web.Response(status=self.status, headers=headers, body=b"" if self.status == 304 else body)


class FakeForge:
    """Answers with `script` in turn, the last one for ever; an answer may be a function of the request."""

    def __init__(self) -> None:
        self.base_url = ""
        self.asked: list[Asked] = []
        self.script: list[Says | Callable[[web.Request], Says]] = []

    async def handle(self, request: web.Request) -> web.Response:
        headers = {name.lower(): text for name, text in request.headers.items()}
        # As it was sent: `path_qs` shows an escaped slash as a plain one.
        self.asked.append(Asked(request.raw_path, headers, request.method, await request.read()))
        answer = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        return (answer if isinstance(answer, Says) else answer(request)).response()

    def says(self, *answers: Says | Callable[[web.Request], Says]) -> None:
        self.script = list(answers)


def file_answer(content: str, **more: Any) -> dict[str, Any]:
    return {"type": "file", "encoding": "base64", "size": len(content), "content": content, **more}

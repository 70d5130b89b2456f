"""A client of the live feed for tests: reads server-sent events as they come."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

DEADLINE_SECONDS = 10.0


@dataclass(frozen=True)
class Heard:
    """One block of the stream."""

    id: int | None
    event: str | None
    data: Any
    comment: str | None

    @property
    def is_line(self) -> bool:
        return self.event is not None


class Client:
    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response
        self._text = b""

    async def block(self) -> Heard:
        """Return the next block. Raises EOFError at the end of the stream."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            while b"\n\n" not in self._text:
                chunk = await self.response.content.readany()
                if not chunk:
                    raise EOFError
                self._text += chunk
        block, _, self._text = self._text.partition(b"\n\n")
        return _parse(block.decode())

    async def lines(self, count: int) -> list[Heard]:
        """Return the next `count` events, past heartbeats and beginnings."""
        found: list[Heard] = []
        while len(found) < count:
            block = await self.block()
            if block.is_line:
                found.append(block)
        return found


@asynccontextmanager
async def listen(url: str, *, last_id: int | str | None = None, query: str = "") -> AsyncIterator[Client]:
    headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": str(last_id)} if last_id is not None else {})
    async with (
        aiohttp.ClientSession(read_bufsize=4096) as session,
        session.get(f"{url}/api/v1/feed{query}", headers=headers) as response,
    ):
        yield Client(response)


def _parse(block: str) -> Heard:
    fields: dict[str, str] = {}
    for line in block.split("\n"):
        name, _, value = line.partition(":")
        fields[name or "comment"] = value.removeprefix(" ")
    data = json.loads(fields["data"]) if "data" in fields else None
    return Heard(int(fields["id"]) if "id" in fields else None, fields.get("event"), data, fields.get("comment"))

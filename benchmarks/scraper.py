"""Scrapes in a process of its own, over one connection that stays, as Prometheus does; what it costs is not counted.

The parent sends one JSON command a line (`{"do": …}`), the child answers each with one JSON line. Moments are those of
`time.perf_counter`, which all processes of a machine share.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
import sys
import time
from types import TracebackType
from typing import Any, NamedTuple, Self

from benchmarks.measuring import log_warnings_only

from fluxtrail.simulator.family import die_with_parent

READ_BYTES = 2**20
HEAD_BYTES = 2**16
TIMEOUT_SECONDS = 60.0
_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)\r\n")


class Scraped(NamedTuple):
    seconds: float
    size: int


class Scraper:
    """The parent's side. Enter it while this process is small: to start another one copies its tables of pages."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "benchmarks.scraper", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        if self._process.returncode is None:
            self._process.terminate()
        await self._process.wait()

    async def connect(self, host: str, port: int) -> None:
        await self._ask("connect", host=host, port=port)

    async def scrape(self, path: str, *, is_gzipped: bool) -> Scraped:
        answer = await self._ask("scrape", path=path, is_gzipped=is_gzipped)
        return Scraped(answer["seconds"], answer["size"])

    async def until(self, path: str, text: str) -> float:
        """Scrape again and again until the text is in an answer; return the moment when that was read."""
        answer = await self._ask("until", path=path, text=text)
        moment: float = answer["at"]
        return moment

    async def _ask(self, do: str, **arguments: Any) -> Any:
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"do": do, **arguments}).encode() + b"\n")
        line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the scraper ended at {do!r}")
        return json.loads(line)


class _Client:
    """The child's side: what the commands do."""

    def __init__(self) -> None:
        self._socket = socket.socket()
        self._buffer = bytearray(READ_BYTES)

    def connect(self, host: str, port: int) -> dict[str, Any]:
        self._socket = socket.create_connection((host, port), timeout=TIMEOUT_SECONDS)
        return {}

    def scrape(self, path: str, is_gzipped: bool) -> dict[str, Any]:
        began = time.perf_counter()
        size, left, _ = self._begin(path, is_gzipped=is_gzipped)
        while left:
            left -= self._read()
        return {"seconds": time.perf_counter() - began, "size": size}

    def until(self, path: str, text: str) -> dict[str, Any]:
        wanted = text.encode()
        deadline = time.perf_counter() + TIMEOUT_SECONDS
        while time.perf_counter() < deadline:
            found = None
            _, left, seen = self._begin(path, is_gzipped=False)
            while True:
                if found is None and wanted in seen:
                    found = time.perf_counter()
                if not left:
                    break
                count = self._read()
                left -= count
                seen = seen[-len(wanted) :] + bytes(memoryview(self._buffer)[:count])
            if found is not None:
                return {"at": found}
        raise TimeoutError(f"{path} has never had {text!r}")

    def _begin(self, path: str, *, is_gzipped: bool) -> tuple[int, int, bytes]:
        """Return the body's size, how much of it is not read, and what is."""
        encoding = "gzip" if is_gzipped else "identity"
        request = f"GET {path} HTTP/1.1\r\nhost: localhost\r\naccept-encoding: {encoding}\r\n\r\n"
        self._socket.sendall(request.encode())
        head = b""
        while b"\r\n\r\n" not in head:
            head += self._socket.recv(HEAD_BYTES)
        head, _, body = head.partition(b"\r\n\r\n")
        length = _LENGTH.search(head + b"\r\n")
        if not head.startswith(b"HTTP/1.1 200") or length is None:
            raise RuntimeError(f"unexpected answer: {head!r}")
        size = int(length[1])
        return size, size - len(body), body

    def _read(self) -> int:
        count = self._socket.recv_into(self._buffer)
        if not count:
            raise ConnectionError("the answer was cut off")
        return count


def _serve() -> None:
    client = _Client()
    while line := sys.stdin.readline():
        command = json.loads(line)
        print(json.dumps(getattr(client, command.pop("do"))(**command)), flush=True)


if __name__ == "__main__":
    die_with_parent()
    log_warnings_only()
    _serve()

"""What goes on for long ends with what let it in."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.web.worlds import NOW

from fluxtrail.web.access.asgi import Message, Receive, Scope, Send
from fluxtrail.web.access.doorkeeper import Doorkeeper
from fluxtrail.web.access.guard import Guard
from fluxtrail.web.access.sessions import SESSION_SECONDS
from fluxtrail.web.access.tokens import Token

SECRET = "s" * 32


class World:
    """A stream of three lines; between the second and the third something happens."""

    def __init__(self, file: Path) -> None:
        self.file = file
        file.write_text(SECRET, encoding="utf-8")
        self.wall = 1_800_000_000.0
        self.monotonic = 0.0
        self.happens = ""
        token = Token(name="ops", file=file)
        self.doorkeeper = Doorkeeper([token], wall=lambda: self.wall, monotonic=lambda: self.monotonic)
        self.cookie = self.doorkeeper.sessions.start(token, SECRET)
        self.sent: list[Message] = []

    async def stream(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"one", "more_body": True})
        await send({"type": "http.response.body", "body": b"two", "more_body": True})
        if self.happens == "rotated":
            self.file.write_text("other-" + "o" * 32, encoding="utf-8")
            self.monotonic += 1
        elif self.happens == "late":
            self.wall += SESSION_SECONDS
        elif self.happens == "signed out":
            session = self.doorkeeper.sessions.read(self.cookie)
            assert session is not None
            self.doorkeeper.sessions.end(session)
        await send({"type": "http.response.body", "body": b"three", "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def ask(self, header: tuple[bytes, bytes]) -> list[bytes]:
        async def send(message: Message) -> None:
            self.sent.append(message)

        async def receive() -> Message:
            return {"type": "http.disconnect"}

        scope = {
            "type": "http",
            "method": "GET",
            "path": "/api/v1/feed",
            "query_string": b"",
            "server": ("127.0.0.1", 8080),
            "client": ("127.0.0.1", 1),
            "headers": [(b"host", b"localhost"), header],
        }
        await Guard(self.stream, now=lambda: NOW, doorkeeper=self.doorkeeper)(scope, receive, send)
        assert self.sent[0]["status"] == 200
        assert [message["more_body"] for message in self.sent[1:]][-2:] == [True, False]
        return [message["body"] for message in self.sent[1:]]


@pytest.mark.parametrize(
    ("means", "happens", "told"),
    [
        ("token", "", [b"one", b"two", b"three", b""]),
        ("token", "late", [b"one", b"two", b"three", b""]),
        ("token", "rotated", [b"one", b"two", b""]),
        ("session", "", [b"one", b"two", b"three", b""]),
        ("session", "late", [b"one", b"two", b""]),
        ("session", "rotated", [b"one", b"two", b""]),
        ("session", "signed out", [b"one", b"two", b""]),
    ],
)
async def test_stream_ends_with_what_let_it_in(tmp_path: Path, means: str, happens: str, told: list[bytes]) -> None:
    world = World(tmp_path / "token")
    world.happens = happens
    cookie = (b"cookie", f"fluxtrail-session={world.cookie}".encode())
    header = (b"authorization", f"Bearer {SECRET}".encode()) if means == "token" else cookie
    assert await world.ask(header) == told

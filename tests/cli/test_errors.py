from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import Invoke
from tests.web.worlds import NOW, World

from fluxtrail.web.app import create_app
from fluxtrail.web.server import Listener, WebServer

TOKEN = "5d1c7b5e0b0f4c9a8d7e6f5a4b3c2d1e"


@pytest.fixture
async def guarded(world: World) -> AsyncIterator[str]:
    app = create_app(answers=world, report=world, now=lambda: NOW, token=TOKEN)
    async with WebServer([Listener(name="api", app=app, host="127.0.0.1", port=0)]) as running:
        yield running.addresses["api"].url


async def test_nobody_listening_says_what_to_start(invoke: Invoke) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        result = await invoke("get", "clusters", FLUXTRAIL_SERVER=f"http://127.0.0.1:{port}")
    assert result.exit_code == 1
    assert "Start `fluxtrail run`" in result.stderr
    assert "--server" in result.stderr


async def test_a_missing_token_says_how_to_give_one(invoke: Invoke, guarded: str) -> None:
    result = await invoke("get", "clusters", FLUXTRAIL_SERVER=guarded)
    assert result.exit_code == 1
    assert "the server wants a token: give it by --token-file or FLUXTRAIL_TOKEN" in result.stderr


async def test_a_wrong_token_is_told_apart_and_not_printed(invoke: Invoke, guarded: str) -> None:
    result = await invoke("get", "clusters", FLUXTRAIL_SERVER=guarded, FLUXTRAIL_TOKEN="wrong-wrong-wrong")
    assert "the token given is not the server's" in result.stderr
    assert "wrong-wrong" not in result.stderr


async def test_tokens_from_file_and_environment(invoke: Invoke, guarded: str, tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text(f"{TOKEN}\n")
    assert (await invoke("get", "clusters", FLUXTRAIL_SERVER=guarded, FLUXTRAIL_TOKEN=TOKEN)).exit_code == 0
    from_file = await invoke("--token-file", str(path), "get", "clusters", FLUXTRAIL_SERVER=guarded)
    assert from_file.exit_code == 0


@pytest.mark.parametrize("token", ["with\nnewline", "ümlaut"])
async def test_a_token_no_header_may_carry_is_refused(invoke: Invoke, token: str) -> None:
    result = await invoke("get", "clusters", FLUXTRAIL_TOKEN=token)
    assert result.exit_code == 2
    assert token not in result.stderr


@pytest.mark.parametrize(
    "body", [b"<html>hello</html>", b'{"message": "other"}', b"{}", b'{"items": "\xff"}', b'{"a":' * 9999]
)
@pytest.mark.parametrize("status", [200, 302, 404, 500])
async def test_another_server_is_recognised(invoke: Invoke, body: bytes, status: int) -> None:
    async def other(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": body})

    async with WebServer([Listener(name="api", app=other, host="127.0.0.1", port=0)]) as running:
        result = await invoke("get", "clusters", FLUXTRAIL_SERVER=running.addresses["api"].url)
    assert result.exit_code == 1
    assert "Traceback" not in result.output
    assert ("is no Fluxtrail" if status != 200 else "in a shape this version does not know") in result.stderr


async def test_a_ledger_in_trouble_is_reported(invoke: Invoke, world: World) -> None:
    world.fails = True
    result = await invoke("get", "commits")
    assert result.exit_code == 1
    assert "locked by another process" in result.stderr

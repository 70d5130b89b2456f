"""Repositories served over HTTP by git itself: API servers refuse a GitRepository with any other URL."""

from __future__ import annotations

import asyncio
import gzip
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

SERVICE = "git-upload-pack"


@asynccontextmanager
async def git_server(folder: Path) -> AsyncIterator[str]:
    """Yield the address under which every `*.git` of a folder can be fetched from."""
    app = web.Application(client_max_size=64 * 2**20)

    async def advertise(request: web.Request) -> web.Response:
        if request.query.get("service") != SERVICE:
            raise web.HTTPForbidden
        listed = await _upload_pack(folder, request, "--advertise-refs")
        head = f"# service={SERVICE}\n"
        body = f"{len(head) + 4:04x}{head}0000".encode() + listed
        return web.Response(body=body, content_type=f"application/x-{SERVICE}-advertisement")

    async def serve(request: web.Request) -> web.Response:
        asked = await request.read()
        if request.headers.get("Content-Encoding") == "gzip" and asked[:2] == b"\x1f\x8b":
            asked = gzip.decompress(asked)
        return web.Response(
            body=await _upload_pack(folder, request, asked=asked), content_type=f"application/x-{SERVICE}-result"
        )

    app.router.add_get("/{name:[a-z0-9-]+}.git/info/refs", advertise)
    app.router.add_post("/{name:[a-z0-9-]+}.git/" + SERVICE, serve)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def _upload_pack(folder: Path, request: web.Request, *options: str, asked: bytes = b"") -> bytes:
    process = await asyncio.create_subprocess_exec(
        *("git", "upload-pack", "--stateless-rpc", *options, str(folder / f"{request.match_info['name']}.git")),
        env=os.environ | {"GIT_PROTOCOL": request.headers.get("Git-Protocol", "")},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    answer, _ = await process.communicate(asked)
    return answer

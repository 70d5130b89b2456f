"""A child of `fluxtrail run` is forked while gRPC has a channel open, and gRPC keeps out of it."""

from __future__ import annotations

import asyncio
import os
import sys

import pytest

PROGRAM = """
import asyncio
import uvloop
from fluxtrail.cli.run import prepare_process

async def fork_beside_a_call():
    import grpc.aio
    async with grpc.aio.insecure_channel("127.0.0.1:1") as channel:
        call = channel.unary_unary("/some.Service/Export")(b"", timeout=20, wait_for_ready=True)
        for _ in range(10):
            child = await asyncio.create_subprocess_exec("true")
            assert await child.wait() == 0
        call.cancel()

prepare_process()
asyncio.Runner(loop_factory=uvloop.new_event_loop).run(fork_beside_a_call())
"""


@pytest.mark.process
async def test_grpc_keeps_out_of_forks() -> None:
    """Where it does not, it says so, and sooner or later one of the two crashes or hangs."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("GRPC_", "GLOG_"))}
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        PROGRAM,
        env=environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(15):
            said, _ = await child.communicate()
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    assert child.returncode == 0, said.decode()
    assert b"fork_posix" not in said

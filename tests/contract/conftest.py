from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import aiohttp
import pytest
from tests.contract.world import World, requires_kubernetes

from fluxtrail.clusters.connection import Connection, open_connection
from fluxtrail.clusters.endpoint import Endpoint
from fluxtrail.simulator.apiserver.server import ApiServer

KUBECONFIG_VARIABLE = "FLUXTRAIL_TEST_KUBECONFIG"


async def _simulated(stack: AsyncExitStack) -> World:
    server = await stack.enter_async_context(ApiServer(name="contract"))
    connection = await stack.enter_async_context(Connection(Endpoint(name="contract", server=server.url)))
    session = await stack.enter_async_context(aiohttp.ClientSession())
    return World(connection, session, make_old=server.faults.compact)


async def _real(stack: AsyncExitStack) -> World:
    path = os.environ.get(KUBECONFIG_VARIABLE)
    if not path:
        reason = f"{KUBECONFIG_VARIABLE} names no kubeconfig of a Kubernetes cluster with Flux's CRDs"
        if requires_kubernetes():
            pytest.fail(reason)
        pytest.skip(reason)
    connection = await stack.enter_async_context(open_connection(None, {"KUBECONFIG": path}))
    session = await stack.enter_async_context(aiohttp.ClientSession())
    return World(connection, session, make_old=lambda: None)


@pytest.fixture(params=["simulator", "real"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    """A namespace of its own on the simulator's API server, and on a real one where there is one."""
    async with AsyncExitStack() as stack:
        world = await (_simulated(stack) if request.param == "simulator" else _real(stack))
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": world.namespace}}
        await world.call("POST", "/api/v1/namespaces", namespace)
        yield world
        for item in (await world.call("GET", world.artifacts))["items"]:
            await world.delete(item["metadata"]["name"])
        await world.call("DELETE", f"/api/v1/namespaces/{world.namespace}")

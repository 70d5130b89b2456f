"""Raw requests on a simulated API server, for its tests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import aiohttp
import msgspec

from fluxtrail.simulator.apiserver.server import ApiServer

KUSTOMIZATIONS = "/apis/kustomize.toolkit.fluxcd.io/v1/kustomizations"
APPS = "/apis/kustomize.toolkit.fluxcd.io/v1/namespaces/apps/kustomizations"
MERGE = {"Content-Type": "application/merge-patch+json"}


def kustomization(name: str, *, namespace: str = "apps", **metadata: Any) -> dict[str, Any]:
    return {
        "apiVersion": "kustomize.toolkit.fluxcd.io/v1",
        "kind": "Kustomization",
        "metadata": {"name": name, "namespace": namespace, **metadata},
        "spec": {"path": f"./{name}", "interval": "10m"},
    }


class Api:
    """Raw requests on one server, without any client of ours in between."""

    def __init__(self, server: ApiServer, session: aiohttp.ClientSession) -> None:
        self.server = server
        self.session = session

    async def call(
        self, method: str, path: str, *, body: Any = None, headers: dict[str, str] | None = None, **query: Any
    ) -> tuple[int, Any]:
        data = None if body is None else msgspec.json.encode(body)
        headers = {"Content-Type": "application/json"} | (headers or {})
        params = {key: str(value) for key, value in query.items()}
        url = self.server.url + path
        async with self.session.request(method, url, data=data, headers=headers, params=params) as response:
            return response.status, await response.json(content_type=None)

    async def get(self, path: str, **query: Any) -> Any:
        status, body = await self.call("GET", path, **query)
        assert status == 200, body
        return body

    async def refused(self, method: str, path: str, *, body: Any = None, **query: Any) -> tuple[int, str, str]:
        status, answer = await self.call(method, path, body=body, **query)
        assert answer["kind"] == "Status"
        assert answer["code"] == status
        return status, answer.get("reason", ""), answer["message"]

    async def control(self, fault: str, **fields: Any) -> dict[str, int]:
        status, answer = await self.call("POST", "/_simulator/faults", body={"fault": fault, **fields})
        assert status == 200, answer
        found: dict[str, int] = answer
        return found

    def watch(self, path: str, **query: Any) -> Watch:
        return Watch(self, path, {"watch": "true"} | {key: str(value) for key, value in query.items()})


class Watch:
    """An open watch: `next` reads an event, `rest` everything until the stream ends."""

    def __init__(self, api: Api, path: str, query: dict[str, str]) -> None:
        self._api = api
        self._path = path
        self._query = query
        self.response: aiohttp.ClientResponse

    async def __aenter__(self) -> Watch:
        self.response = await self._api.session.get(self._api.server.url + self._path, params=self._query)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.response.close()

    async def next(self) -> dict[str, Any]:
        async with asyncio.timeout(5):
            line = await self.response.content.readline()
        assert line, "the stream ended"
        event: dict[str, Any] = msgspec.json.decode(line)
        return event

    async def rest(self) -> list[dict[str, Any]]:
        async with asyncio.timeout(10):
            return [msgspec.json.decode(line) async for line in self.response.content]

    async def brief(self) -> tuple[str, str]:
        event = await self.next()
        return event["type"], event["object"]["metadata"]["name"]


async def until(is_true: Callable[[], bool]) -> None:
    """Wait for a condition of the server, which shares our loop."""
    async with asyncio.timeout(5):
        while not is_true():  # noqa: ASYNC110 - any condition, polled with a deadline
            await asyncio.sleep(0.005)

"""Objects made and replaced through a connection, on the simulator's API server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from fluxtrail.clusters.connection import Connection
from fluxtrail.clusters.endpoint import BearerTokenFile, Endpoint
from fluxtrail.model.errors import ConflictError, NotFoundError, UpstreamError
from fluxtrail.simulator.apiserver.server import ApiServer

MAPS = "/api/v1/namespaces/default/configmaps"


class Meta(msgspec.Struct, rename="camel"):
    name: str
    resource_version: str


class ConfigMap(msgspec.Struct):
    metadata: Meta
    data: dict[str, str]


def config_map(value: str, **metadata: Any) -> dict[str, Any]:
    return {"metadata": {"name": "notes", **metadata}, "data": {"a": value}}


async def test_objects_are_made_and_replaced_at_the_version_that_was_seen() -> None:
    async with ApiServer() as server, Connection(Endpoint(name="c", server=server.url)) as connection:
        made = await connection.create(MAPS, config_map("1"), ConfigMap)
        with pytest.raises(ConflictError):
            await connection.create(MAPS, config_map("2"), ConfigMap)
        seen = config_map("3", resourceVersion=made.metadata.resource_version)
        replaced = await connection.replace(f"{MAPS}/notes", seen, ConfigMap)
        assert replaced.metadata.resource_version != made.metadata.resource_version
        with pytest.raises(ConflictError):
            await connection.replace(f"{MAPS}/notes", {**seen, "data": {"a": "4"}}, ConfigMap)
        with pytest.raises(NotFoundError):
            await connection.replace(f"{MAPS}/other", {"metadata": {"name": "other"}}, ConfigMap)
        assert server.store.get("configmaps", "notes", "default")["data"] == replaced.data == {"a": "3"}


async def test_write_with_an_old_token_is_sent_again_with_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("first")
    async with ApiServer(tokens={"first": "us"}) as server:
        endpoint = Endpoint(name="c", server=server.url, login=BearerTokenFile(path=path, subject="tokenFile"))
        async with Connection(endpoint) as connection:
            await connection.create(MAPS, config_map("1"), ConfigMap)
            path.write_text("second")
            server.access.rotate({"second": "us"})
            await connection.replace(f"{MAPS}/notes", config_map("2"), ConfigMap)
            assert server.store.get("configmaps", "notes", "default")["data"] == {"a": "2"}


async def test_write_whose_answer_is_lost_is_not_repeated() -> None:
    async with ApiServer() as server, Connection(Endpoint(name="c", server=server.url)) as connection:
        server.faults.drop_requests("configmaps", count=1)
        with pytest.raises(UpstreamError):
            await connection.create(MAPS, config_map("1"), ConfigMap)
        assert server.faults.struck == {"drop": 1}
        assert server.store.find("configmaps", "notes", "default") is None

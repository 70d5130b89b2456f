from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from tests.clusters.scripted import GROUP, WAIT_SECONDS, Answer, ScriptedApi, Widget, refuse, serving, widgets

from fluxtrail.clusters.connection import Connection
from fluxtrail.clusters.endpoint import Endpoint
from fluxtrail.clusters.reading import MAX_READS, ObjectReader
from fluxtrail.clusters.subjects import Subject
from fluxtrail.model.errors import AuthError, FluxtrailError, UpstreamError, WireError
from fluxtrail.model.observation import ObjectKey


class ReadableApi(ScriptedApi):
    """Answers for single widgets too, at the versions that are served; while `is_held`, not before `release`."""

    def __init__(self) -> None:
        super().__init__()
        self.is_held = False
        self.under_way = 0
        self.release = asyncio.Event()
        self.is_full = asyncio.Event()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        parts = request.path.strip("/").split("/")
        if len(parts) != 7 or self.next_answers or parts[2] not in (self.served or ()):
            return await super().handle(request)
        self.under_way += 1
        if self.under_way == MAX_READS:
            self.is_full.set()
        if self.is_held:
            await self.release.wait()
        self.under_way -= 1
        body = self.objects.get((parts[4], parts[6]))
        return self._json(body) if body is not None else self._plain(refuse(404))


@pytest.fixture
async def api() -> AsyncIterator[ReadableApi]:
    api = ReadableApi()
    async with serving(api):
        yield api


@pytest.fixture
async def reader(api: ReadableApi) -> AsyncIterator[ObjectReader]:
    async with Connection(Endpoint(name="x", server=api.url)) as connection:
        yield ObjectReader(connection)


async def _read(reader: ObjectReader, subject: Subject[Widget]) -> Widget | None:
    return await reader.read(subject, "one", "a")


async def test_where_a_kind_is_served_is_asked_once(api: ReadableApi, reader: ObjectReader) -> None:
    for name, colour in [("a", "red"), ("b", "blue")]:
        await api.put(name, colour)
    for name, colour in [("a", "red"), ("b", "blue")]:
        assert await reader.read(widgets(), "one", name) == Widget(name, colour)
    assert [each.path for each in api.asked] == [f"/apis/{GROUP}", f"/apis/{GROUP}/v1"]


async def test_a_kind_is_found_again_at_the_version_that_is_served_now(api: ReadableApi, reader: ObjectReader) -> None:
    await api.put("a")
    subject = widgets(versions=("v1", "v2"))
    assert await reader.read(subject, "one", "a") == Widget("a", "red")
    api.served = ["v2"]
    assert await reader.read(subject, "one", "a") == Widget("a", "red")
    api.served = None
    assert await reader.read(subject, "one", "a") is None


async def test_an_object_of_no_interest_is_none(api: ReadableApi, reader: ObjectReader) -> None:
    await api.put("a", "invisible")
    subject = widgets()
    assert await reader.read(subject, "one", "a") is None


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (refuse(403), AuthError),
        (refuse(503), UpstreamError),
        (refuse(500), UpstreamError),
        (Answer(body=b'{"metadata":{"name":7}}'), WireError),
        (Answer(body=b"<html>"), WireError),
    ],
    ids=["forbidden", "unavailable", "broken", "another-shape", "no-json"],
)
async def test_what_cannot_be_read_is_an_error_and_not_an_absence(
    api: ReadableApi, reader: ObjectReader, answer: Answer, error: type[FluxtrailError]
) -> None:
    await api.put("a")
    await reader.read(widgets(), "one", "a")
    api.next_answers.append(answer)
    with pytest.raises(error):
        await reader.read(widgets(), "one", "a")
    subject = widgets()
    assert await reader.read(subject, "one", "a") is not None


async def test_only_so_many_read_at_once(api: ReadableApi, reader: ObjectReader) -> None:
    await api.put("a")
    await reader.read(widgets(), "one", "a")
    api.is_held = True
    async with asyncio.timeout(WAIT_SECONDS), asyncio.TaskGroup() as group:
        subject = widgets()
        tasks = [group.create_task(_read(reader, subject)) for _ in range(3 * MAX_READS)]
        await api.is_full.wait()
        for _ in range(50):
            await asyncio.sleep(0)
        assert api.under_way == MAX_READS
        api.release.set()
    assert {task.result() for task in tasks} == {Widget("a", "red")}


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({"observedGeneration": 3}, 3),
        ({"observedGeneration": "12"}, 12),
        ({"observedGeneration": "a7f"}, 0),
        ({"observedGeneration": None, "conditions": [None, {}]}, 0),
        (None, 0),
    ],
    ids=str,
)
async def test_what_a_controller_has_seen_is_read_of_any_kind(
    api: ReadableApi, reader: ObjectReader, status: object, expected: int
) -> None:
    made = await api.put("a")
    made["metadata"]["generation"] = 12
    made["status"] = status
    item = await reader.read_any(ObjectKey(GROUP, "Widget", "one", "a"))
    assert item is not None
    assert item.progress is not None
    assert (item.generation, item.progress.observed_generation, item.progress.conditions) == (12, expected, ())

from __future__ import annotations

import pytest
from tests.clusters.scripted import GROUP, Answer, ScriptedApi, refuse

from fluxtrail.clusters.connection import Connection
from fluxtrail.clusters.discovery import find_resource, served_versions
from fluxtrail.clusters.endpoint import Endpoint
from fluxtrail.model.errors import UpstreamError


@pytest.mark.parametrize(
    ("served", "wanted", "version"),
    [
        (["v1"], ("v2", "v1"), "v1"),
        (["v2", "v1"], ("v1", "v2"), "v1"),
        (["v2", "v1"], (), "v2"),
        (["v3"], ("v2", "v1"), None),
        (None, ("v1",), None),
    ],
    ids=["older", "callers-order", "servers-order", "unknown", "not-installed"],
)
async def test_version_is_the_best_that_is_served(
    api: ScriptedApi, served: list[str] | None, wanted: tuple[str, ...], version: str | None
) -> None:
    api.served = served
    async with Connection(Endpoint(name="x", server=api.url)) as connection:
        found = await find_resource(connection, GROUP, "Widget", wanted)
    assert (found.version if found else None) == version


async def test_name_comes_from_the_server_and_never_from_a_subresource(api: ScriptedApi) -> None:
    async with Connection(Endpoint(name="x", server=api.url)) as connection:
        found = await find_resource(connection, GROUP, "Widget", ("v1",))
        assert await find_resource(connection, GROUP, "Gadget", ("v1",)) is None
    assert found is not None
    assert found.path() == f"/apis/{GROUP}/v1/widgets"
    assert found.path("one") == f"/apis/{GROUP}/v1/namespaces/one/widgets"


async def test_server_that_cannot_say_is_an_error_not_an_absence(api: ScriptedApi) -> None:
    api.next_answers.append(refuse(503))
    async with Connection(Endpoint(name="x", server=api.url)) as connection:
        with pytest.raises(UpstreamError):
            await find_resource(connection, GROUP, "Widget", ("v1",))


async def test_nulls_and_a_group_that_goes_between_two_questions_are_absences(api: ScriptedApi) -> None:
    async with Connection(Endpoint(name="x", server=api.url)) as connection:
        api.next_answers.append(Answer(body=b'{"versions":null,"preferredVersion":null}'))
        assert await served_versions(connection, GROUP) == []
        api.next_answers.extend([Answer(body=b'{"versions":[{"version":"v1"}]}'), refuse(404)])
        assert await find_resource(connection, GROUP, "Widget", ("v1",)) is None
        api.next_answers.extend([Answer(body=b'{"versions":["v1"]}'), Answer(body=b'{"resources":null}')])
        assert await find_resource(connection, "", "Pod", ("v1",)) is None

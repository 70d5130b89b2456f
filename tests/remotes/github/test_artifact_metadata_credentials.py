"""Which token is shown, where an App's is made, what happens when one is refused; and that none is ever told."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from structlog.testing import capture_logs
from tests.credentials.github import APP_ID, AppServer, make_pem
from tests.remotes.github.artifacts import SINGLE, ArtifactClientMaker, VirtualClock, counts, record
from tests.remotes.github.forge import FakeForge, Says

from fluxtrail.credentials.binding import CredentialSource
from fluxtrail.credentials.github_app import AppIdentity
from fluxtrail.credentials.github_key import AppKey
from fluxtrail.model.errors import AuthError, ConfigError, FluxtrailError, UpstreamError
from fluxtrail.remotes.github.artifact_errors import CredentialsRefusedError
from fluxtrail.remotes.github.artifact_metadata import ArtifactMetadataClient

PEM, PUBLIC = make_pem()
OK = Says(json={})
UNAUTHORIZED = Says(status=401, json={"message": "Bad credentials"})


class Enterprise:
    """An Enterprise Server: everything under /api/v3, records only for tokens that it made and that still hold."""

    def __init__(self) -> None:
        self.app = AppServer(public_key=PUBLIC, orgs={"test-org": 11})
        self.url = ""
        self.asked: list[str] = []
        self.shown: list[str] = []
        self.revoked: set[str] = set()
        self.answer: Callable[[str], web.Response] = lambda _token: web.json_response({})

    async def handle(self, request: web.Request) -> web.Response:
        self.asked.append(request.path)
        path = request.path.removeprefix("/api/v3")
        if path == request.path:
            return web.Response(status=404)
        if not path.startswith("/orgs/test-org/artifacts"):
            return await self.app.handle(request.clone(rel_url=path))
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        self.shown.append(token)
        if token not in self.app.made or token in self.revoked:
            return web.json_response({"message": "Bad credentials"}, status=401)
        return self.answer(token)


@pytest.fixture
async def enterprise() -> AsyncIterator[Enterprise]:
    server = Enterprise()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}/api/v3"
    yield server
    await runner.cleanup()


@pytest.fixture
def app() -> AppIdentity:
    return AppIdentity(app_id=APP_ID, key=AppKey(pem=PEM), installation_id=11)


async def test_an_apps_token_is_made_by_the_enterprise_server_itself(
    enterprise: Enterprise, make_artifacts: ArtifactClientMaker, app: AppIdentity
) -> None:
    client = make_artifacts(base_url=enterprise.url + "/", app=app)
    await client.post_record(record())
    await client.post_record(record())
    assert enterprise.asked == [
        "/api/v3/app/installations/11", "/api/v3/app/installations/11/access_tokens",
        f"/api/v3{SINGLE}", f"/api/v3{SINGLE}",
    ]  # fmt: skip
    assert enterprise.shown == enterprise.app.made * 2
    assert counts(client.counters) == (2, 0, 0, 0, 0, 0)


async def test_an_app_beats_a_token(
    enterprise: Enterprise, make_artifacts: ArtifactClientMaker, app: AppIdentity
) -> None:
    await make_artifacts(base_url=enterprise.url, app=app, token="plain-token").post_record(record())
    assert enterprise.shown == enterprise.app.made


async def test_a_refused_token_of_an_app_is_renewed_once(
    enterprise: Enterprise, make_artifacts: ArtifactClientMaker, app: AppIdentity
) -> None:
    client = make_artifacts(base_url=enterprise.url, app=app)
    await client.post_record(record())
    enterprise.revoked = set(enterprise.app.made)
    await client.post_record(record())
    assert enterprise.shown == [enterprise.app.made[0], enterprise.app.made[0], enterprise.app.made[1]]
    assert counts(client.counters) == (2, 0, 0, 0, 0, 0)


async def test_an_app_that_is_not_installed_is_no_unknown_artifact(
    enterprise: Enterprise, make_artifacts: ArtifactClientMaker, app: AppIdentity
) -> None:
    enterprise.app.orgs = {"other": 11}
    client = make_artifacts(base_url=enterprise.url, app=app)
    with pytest.raises(AuthError, match="not installed at test-org"):
        await client.post_record(record())
    assert enterprise.shown == []
    assert counts(client.counters) == (0, 0, 0, 0, 1, 0)


async def test_an_app_whose_token_cannot_be_made(
    enterprise: Enterprise, make_artifacts: ArtifactClientMaker, app: AppIdentity
) -> None:
    enterprise.app.failures = [web.json_response({"message": "down"}, status=502)]
    client = make_artifacts(base_url=enterprise.url, app=app)
    with pytest.raises(UpstreamError, match="502: down") as caught:
        await client.post_record(record())
    assert caught.value.retryable
    assert counts(client.counters) == (0, 0, 0, 0, 1, 0)
    await client.post_record(record())


# -- tokens ---------------------------------------------------------------------------------------------------


async def test_a_refused_token_without_another_is_an_error(
    forge: FakeForge, make_artifacts: ArtifactClientMaker
) -> None:
    forge.says(UNAUTHORIZED)
    client = make_artifacts(token="plain-token")
    with pytest.raises(CredentialsRefusedError, match="check the token.*401: Bad credentials"):
        await client.post_record(record())
    assert len(forge.asked) == 1
    assert counts(client.counters) == (0, 0, 0, 0, 0, 1)


async def test_a_rotated_file_is_read_again(
    forge: FakeForge, make_artifacts: ArtifactClientMaker, turning: VirtualClock, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    file.write_text("first-token\n")

    def rotates(_request: web.Request) -> Says:
        file.write_text("second-one\n")
        return UNAUTHORIZED

    forge.says(rotates, OK)
    client = make_artifacts(token_file=file, burst=1)
    await client.post_record(record())
    assert turning.elapsed == pytest.approx(1 / 3), "the second request has its turn as any other"
    assert [asked.headers["authorization"] for asked in forge.asked] == ["Bearer first-token", "Bearer second-one"]
    file.unlink()
    with pytest.raises(ConfigError, match="cannot be read"):
        await client.post_record(record())


async def test_what_is_bound_to_the_host_and_the_organisation_is_shown(
    forge: FakeForge, make_artifacts: ArtifactClientMaker
) -> None:
    host = forge.base_url.removeprefix("http://")
    credentials = CredentialSource.from_settings([
        {"host": host, "owner": "test-org", "token": "bound-token"}, {"host": host, "owner": "other", "token": "x"},
        {"host": "github.com", "token": "githubs-token"},
    ])  # fmt: skip
    forge.says(OK)
    await make_artifacts(credentials=credentials).post_record(record())
    await make_artifacts(credentials=credentials, token="stated-token").post_record(record())
    await make_artifacts("third", credentials=credentials).post_record(record())
    shown = [asked.headers.get("authorization") for asked in forge.asked]
    assert shown == ["Bearer bound-token", "Bearer stated-token", None]


@pytest.mark.parametrize(
    "url", ["https://api.github.com", "github.com/api/v3", "https://api.acme.ghe.com", "http://[::1]:8080"]
)
async def test_every_address_has_a_host_to_bind_to(make_artifacts: ArtifactClientMaker, url: str) -> None:
    make_artifacts(base_url=url, credentials=CredentialSource())


async def test_a_refused_token_of_a_binding_is_renewed_where_its_file_changed(
    forge: FakeForge, make_artifacts: ArtifactClientMaker, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    file.write_text("first-token\n")

    def rotates(_request: web.Request) -> Says:
        file.write_text("second-one\n")
        return Says(status=401, json={"message": "first-token is bad"})

    forge.says(rotates, Says(status=401, json={"message": "second-one is bad, and so was first-token"}))
    host = forge.base_url.removeprefix("http://")
    credentials = CredentialSource.from_settings([{"host": host, "token_file": str(file)}])
    client = make_artifacts(credentials=credentials)
    with pytest.raises(CredentialsRefusedError, match=r"\[redacted\] is bad, and so was \[redacted\]"):
        await client.post_record(record())
    assert [asked.headers["authorization"] for asked in forge.asked] == ["Bearer first-token", "Bearer second-one"]
    with pytest.raises(CredentialsRefusedError):
        await client.post_record(record())
    assert len(forge.asked) == 3, "there is no other token: asked once"


# -- secrets --------------------------------------------------------------------------------------------------

SECRET = "opaque-secret-value-1"


@pytest.mark.parametrize("says", [
    Says(status=422, json={"message": f"{SECRET} is odd", "errors": [SECRET]}),
    Says(status=404, json={"message": SECRET}),
    Says(status=500, body=SECRET.encode()),
    Says(status=401, json={"message": SECRET}),
    Says(status=409, json={"message": SECRET}),
    Says(status=429, json={"message": SECRET}),
    Says(status=302, headers={"Location": f"https://u:{SECRET}@evil.example/?t={SECRET}"}),
    Says(status=200, json={"errors": SECRET, "deployment_records": SECRET, "status": [SECRET], "job_id": SECRET}),
], ids=["422", "404", "500", "401", "409", "429", "302", "200"])  # fmt: skip
@pytest.mark.parametrize("call", ["record", "cluster", "job", "wait"])
async def test_no_secret_is_in_an_error_a_log_or_an_address(
    forge: FakeForge, make_artifacts: ArtifactClientMaker, says: Says, call: str
) -> None:
    forge.says(says)
    client = make_artifacts(token=SECRET, retries=1)
    with capture_logs() as logs:
        text = await failure_of(client, call)
    assert SECRET not in text + repr(logs) + repr(vars(client))
    assert all(SECRET not in asked.path for asked in forge.asked)
    assert forge.asked[0].headers["authorization"] == f"Bearer {SECRET}"


async def failure_of(client: ArtifactMetadataClient, call: str) -> str:
    """Return all that is said when `call` fails: the error, and what caused it."""
    calls: dict[str, Any] = {
        "record": lambda: client.post_record(record()),
        "cluster": lambda: client.post_cluster("c", "l", "", [record()]),
        "job": lambda: client.submit_job("c", "l", "", [record()]),
        "wait": lambda: client.wait_for_job("c", 42),
    }
    try:
        await calls[call]()
    except FluxtrailError as exc:
        return all_of(exc)
    return ""


def all_of(exc: BaseException | None) -> str:
    return "" if exc is None else f"{exc!r} {exc} {vars(exc)}\n" + all_of(exc.__cause__ or exc.__context__)


async def test_an_apps_token_is_cleared_from_what_github_says(
    enterprise: Enterprise, make_artifacts: ArtifactClientMaker, app: AppIdentity
) -> None:
    def spiteful(token: str) -> web.Response:
        return web.json_response({"message": f"{token} may not"}, status=422)

    enterprise.answer = spiteful
    client = make_artifacts(base_url=enterprise.url, app=app)
    with capture_logs() as logs, pytest.raises(FluxtrailError, match="422: .redacted. may not") as caught:
        await client.post_record(record())
    (token,) = enterprise.app.made
    assert token not in all_of(caught.value) + repr(logs)


async def test_a_token_that_no_header_takes_is_not_shown(turning: VirtualClock) -> None:
    async with aiohttp.ClientSession() as session:
        client = ArtifactMetadataClient(
            session, "test-org", base_url="http://127.0.0.1:9", clock=turning, token=f"{SECRET}\r\nX-Evil: 1", retries=0
        )
        with pytest.raises(FluxtrailError) as caught:
            await client.post_record(record())
    assert SECRET not in all_of(caught.value)


async def test_that_there_is_no_token_is_said_once(forge: FakeForge, make_artifacts: ArtifactClientMaker) -> None:
    """To some calls without one GitHub answers 404, which would look like an artifact that it does not know."""
    forge.says(OK, OK)
    client = make_artifacts(token="")
    with capture_logs() as logs:
        await client.post_record(record())
        await client.post_record(record())
    assert [line["event"] for line in logs] == ["artifact metadata asked without a token"]

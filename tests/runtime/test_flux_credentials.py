"""A GitRepository's own credential, of a cluster whose role lets its Secret be read and nothing else."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

from fluxtrail.credentials.providers.place import SecretPlace
from fluxtrail.model.errors import AuthError, ConfigError, NotFoundError, WireError
from fluxtrail.model.flux import SOURCE_GROUP
from fluxtrail.model.observation import ClusterUid, ObjectKey, ObjectUid
from fluxtrail.model.sources import project_git_repository
from fluxtrail.model.wire import WireGitRepository, WireGitRepositorySpec, WireMeta, WireSecretRef
from fluxtrail.runtime.flux_secrets import ClusterSecrets
from fluxtrail.runtime.remotes import Remotes, open_remotes
from fluxtrail.runtime.settings.settings import Settings, load_settings

ROLE = Path(__file__).parents[2] / "deploy" / "components" / "flux-secrets" / "reader.yaml"
PLANTED = "planted-password"


class Api:
    """An API server that holds Fluxtrail to the Role of the component."""

    def __init__(self) -> None:
        documents = list(yaml.safe_load_all(ROLE.read_text()))
        (self.role,) = [item for item in documents if item["kind"] == "Role"]
        self.asked: list[tuple[str, str]] = []
        self.data: dict[str, Any] = {"username": _b64("flux"), "password": _b64(PLANTED)}
        self.is_there = True

    async def handle(self, request: web.Request) -> web.Response:
        self.asked.append((request.method, request.path))
        if request.path == "/api/v1/namespaces/kube-system":
            return web.json_response({"metadata": {"uid": "uid-1"}})
        rule, namespace = self.role["rules"][0], self.role["metadata"]["namespace"]
        allowed = [f"/api/v1/namespaces/{namespace}/secrets/{name}" for name in rule["resourceNames"]]
        if request.method.lower() not in rule["verbs"] or request.path not in allowed:
            return web.json_response({"kind": "Status", "message": "forbidden", "code": 403}, status=403)
        if not self.is_there:
            return web.json_response({"kind": "Status", "message": "not found", "code": 404}, status=404)
        return web.json_response({"kind": "Secret", "data": self.data})


def _b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.fixture
async def environ(api: Api, tmp_path: Path) -> AsyncIterator[dict[str, str]]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", api.handle)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    document = {
        "clusters": [{"name": "c", "cluster": {"server": url}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "prod", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "prod",
    }
    file = tmp_path / "kubeconfig"
    file.write_text(yaml.safe_dump(document))
    yield {"KUBECONFIG": str(file)}
    await runner.cleanup()


async def test_the_role_is_enough_for_the_named_secret_and_for_nothing_else(api: Api, environ: dict[str, str]) -> None:
    assert api.role["rules"] == [
        {"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["github-app"], "verbs": ["get"]}
    ]
    async with AsyncExitStack() as stack:
        secrets = ClusterSecrets(("prod",), environ, stack)
        place = SecretPlace(namespace="flux-system", name="github-app")
        assert await secrets.read(place) == {"username": b"flux", "password": PLANTED.encode()}
        for namespace, name in (("flux-system", "another"), ("tenant", "github-app")):
            with pytest.raises(AuthError, match="deploy/components/flux-secrets"):
                await secrets.read(SecretPlace(namespace=namespace, name=name))
    assert {method for method, _ in api.asked} == {"GET"}


async def test_what_is_wrong_with_a_secret_is_said_without_it(api: Api, environ: dict[str, str]) -> None:
    place = SecretPlace(namespace="flux-system", name="github-app", context="prod")
    async with AsyncExitStack() as stack:
        secrets = ClusterSecrets((), environ, stack)
        for data in ({"password": "%%"}, {"password": 7}, ["planted-password"]):
            api.data = data  # type: ignore[assignment]
            with pytest.raises(WireError) as caught:
                await secrets.read(place)
            assert PLANTED not in f"{caught.value!r} {caught.value} {caught.value.__cause__!r}"
        api.is_there = False
        with pytest.raises(NotFoundError, match="no such Secret"):
            await secrets.read(place)
        with pytest.raises(ConfigError, match="not watched by this process"):
            await secrets.read(SecretPlace(namespace="flux-system", name="github-app", cluster="uid-2"))


def git_repository(url: str, *, provider: str | None = None, secret: str | None = None) -> Any:
    spec = WireGitRepositorySpec(url=url, provider=provider, secret_ref=WireSecretRef(secret) if secret else None)
    return project_git_repository(
        WireGitRepository(metadata=WireMeta(name="shop", namespace="flux-system", uid=ObjectUid("u")), spec=spec)
    )


KEY = ObjectKey(SOURCE_GROUP, "GitRepository", "flux-system", "shop")


async def opened(environ: dict[str, str], folder: Path, stack: AsyncExitStack, **allowed: Any) -> Remotes:
    settings = Settings(
        kube_contexts=("prod",),
        credentials_from_flux=allowed,  # type: ignore[arg-type]
        ledger={"path": folder / "ledger.sqlite"},  # type: ignore[arg-type]
    )
    return await open_remotes(settings, environ, stack)


async def test_a_git_repository_is_fetched_as_flux_fetches_it(
    api: Api, environ: dict[str, str], tmp_path: Path
) -> None:
    async with AsyncExitStack() as stack:
        remotes = await opened(environ, tmp_path, stack, providers=("generic",), secrets=("flux-system/github-app",))
        found = git_repository("https://git.example.com/acme/shop", secret="github-app")
        remotes.identities.note_source(ClusterUid("uid-1"), KEY, found)
        shown = await remotes.credentials.obtain("git.example.com", "acme", path="acme/shop.git")
        assert shown is not None
        assert (shown.username, shown.secret) == ("flux", PLANTED)
        assert await remotes.credentials.obtain("git.example.com", "acme", path="acme/other") is None
        assert PLANTED in remotes.credentials.secrets, "redaction knows it"
        remotes.identities.note_source(ClusterUid("uid-1"), KEY, None)
        assert await remotes.credentials.obtain("git.example.com", "acme", path="acme/shop") is None


async def test_nothing_is_read_unless_settings_say_so(api: Api, environ: dict[str, str], tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        remotes = await opened(environ, tmp_path, stack)
        found = git_repository("https://git.example.com/acme/shop", secret="github-app")
        remotes.identities.note_source(ClusterUid("uid-1"), KEY, found)
        assert await remotes.credentials.obtain("git.example.com", "acme", path="acme/shop") is None
    assert api.asked == []


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("{providers: [gcp]}", "'gcp' is none of generic, github, azure, aws"),
        ("{providers: [github]}", "state which in `secrets`"),
        ("{secrets: [flux-system/git]}", "state one in `providers`"),
        ("{providers: [github], secrets: [git]}", "is not namespace/name"),
    ],
)
def test_settings_that_cannot_be_are_refused(tmp_path: Path, value: str, said: str) -> None:
    file = tmp_path / "fluxtrail.yaml"
    file.write_text(f"credentials_from_flux: {value}\n")
    with pytest.raises(ConfigError, match=said):
        load_settings(path=file, flags={}, environ={})

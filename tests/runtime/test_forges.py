"""From settings and environment to forges and git: which host is asked, with whose token."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from tests.credentials.github import APP_ID, AppServer, make_pem
from tests.remotes.forges import SHA, FakeForge, Says, serve
from tests.remotes.worlds import GitServer, Origin

from fluxtrail.model.errors import AuthError, ConfigError, UpstreamError
from fluxtrail.runtime.remotes import Remotes, open_remotes
from fluxtrail.runtime.settings.settings import Settings, load_settings

PEM, PUBLIC = make_pem()
LOOPBACK = ["http://127.0.0.1/*"]


class Enterprise:
    """A GitHub Enterprise Server: git and its API behind one address."""

    def __init__(self, folder: Path) -> None:
        self.app = AppServer(public_key=PUBLIC)
        self.git = GitServer(folder, user="x-access-token")
        self.asked: list[tuple[str, str | None]] = []
        """(path, authorization) of what is asked with a token."""
        self.url = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if ".git/" in request.path:
            self.git.password = self.app.made[-1] if self.app.made else "no token yet"
            return await self.git.handle(request)
        inner = request.path.removeprefix("/api/v3")
        if not inner.startswith("/repos/"):
            return await self.app.handle(request.clone(rel_url=inner))
        self.asked.append((inner, request.headers.get("Authorization")))
        if self.asked[-1][1] not in (None, f"token {self.app.made[-1] if self.app.made else ''}"):
            return web.json_response({"message": "Bad credentials"}, status=401)
        return web.json_response([])

    def shown_to_git(self, owner: str) -> set[str]:
        """The passwords that git showed for an owner's repositories."""
        pairs = [shown for _, path, shown in self.git.requests if path.startswith(f"/{owner}/") and shown]
        return {base64.b64decode(shown.removeprefix("Basic ")).decode().partition(":")[2] for shown in pairs}


@pytest.fixture
async def enterprise(tmp_path: Path) -> AsyncIterator[Enterprise]:
    made = Enterprise(tmp_path / "served")
    app = web.Application(client_max_size=64 * 1024**2)
    app.router.add_route("*", "/{path:.*}", made.handle)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as opened:
        yield opened


def settings_of(folder: Path, **values: Any) -> Settings:
    return Settings(**{"ledger": {"path": folder / "ledger.sqlite"}, "allow": LOOPBACK, **values})


def app_environ(**more: str) -> dict[str, str]:
    return {"GITHUB_APP_ID": APP_ID, "GITHUB_APP_PRIVATE_KEY": PEM, **more}


def publish(folder: Path, owner: str) -> str:
    """Make `owner`/shop on the server; return its newest commit."""
    work = folder / f"made-{owner}"
    work.mkdir()
    origin = Origin(work)
    sha = origin.commit("first", files={"a": "1"})
    place = folder / "served" / owner
    place.mkdir(parents=True)
    origin.path.rename(place / "shop.git")
    return sha


async def open_app(enterprise: Enterprise, folder: Path, stack: AsyncExitStack, **more: str) -> Remotes:
    settings = settings_of(folder, github={"base_url": f"{enterprise.url}/api/v3"})
    return await open_remotes(settings, app_environ(**more), stack)


# -- a GitHub App ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("installation", ["", "11"])
async def test_an_apps_token_fetches_and_asks_for_its_owner_only(
    installation: str, enterprise: Enterprise, tmp_path: Path, stack: AsyncExitStack
) -> None:
    sha = publish(tmp_path, "acme")
    publish(tmp_path, "evil")
    remotes = await open_app(enterprise, tmp_path, stack, GITHUB_APP_INSTALLATION_ID=installation)
    heads = await remotes.repositories.open(f"{enterprise.url}/acme/shop.git").refresh()
    assert heads.branches == {"main": sha}
    token = enterprise.app.made[0]
    assert enterprise.shown_to_git("acme") == {token}

    forge = remotes.forges.find("127.0.0.1/acme/shop")
    assert forge is not None
    assert await forge.find_pull_requests(sha) == []
    assert enterprise.asked == [(f"/repos/acme/shop/commits/{sha}/pulls", f"token {token}")]

    with pytest.raises(AuthError):
        await remotes.repositories.open(f"{enterprise.url}/evil/shop.git").refresh()
    assert enterprise.shown_to_git("evil") == set()
    assert remotes.forges.find("127.0.0.1/evil/shop") is None, "a stranger to that owner asks nothing"
    assert enterprise.app.tokens_asked == 1, "git and the API share one token"


async def test_a_revoked_token_is_replaced_once(enterprise: Enterprise, tmp_path: Path, stack: AsyncExitStack) -> None:
    sha = publish(tmp_path, "acme")
    remotes = await open_app(enterprise, tmp_path, stack)
    repository = remotes.repositories.open(f"{enterprise.url}/acme/shop.git")
    await repository.refresh()
    enterprise.app.made.append("ghs_another_one_was_made_and_ours_is_void")
    await repository.refresh()
    assert enterprise.app.tokens_asked == 2
    enterprise.app.made.append("ghs_another_one_was_made_and_ours_is_void")
    forge = remotes.forges.find("127.0.0.1/acme/shop")
    assert forge is not None
    assert await forge.find_pull_requests(sha) == []
    assert enterprise.app.tokens_asked == 3
    assert len(enterprise.asked) == 2


async def test_a_token_that_stays_refused_is_an_error_without_it(
    enterprise: Enterprise, tmp_path: Path, stack: AsyncExitStack
) -> None:
    publish(tmp_path, "acme")
    remotes = await open_app(enterprise, tmp_path, stack)
    enterprise.git.user = "somebody-else"
    with pytest.raises(AuthError) as caught:
        await remotes.repositories.open(f"{enterprise.url}/acme/shop.git").refresh()
    assert enterprise.app.tokens_asked == 2
    assert not [token for token in enterprise.app.made if token in f"{caught.value!r}"]


async def test_a_token_beside_an_app_and_a_broken_key_are_refused_at_start(
    enterprise: Enterprise, tmp_path: Path, stack: AsyncExitStack
) -> None:
    with pytest.raises(ConfigError, match="exclude each other"):
        await open_app(enterprise, tmp_path, stack, GITHUB_TOKEN="t")
    with pytest.raises(ConfigError, match="GITHUB_APP_PRIVATE_KEY") as caught:
        await open_app(enterprise, tmp_path, stack, GITHUB_APP_PRIVATE_KEY=PEM[:800])
    assert PEM[100:130] not in str(caught.value)


# -- forges by host -------------------------------------------------------------------------------------------


@pytest.fixture
async def forge() -> AsyncIterator[FakeForge]:
    async with serve(FakeForge()) as fake:
        fake.says(lambda request: Says(json=[] if request.method == "GET" else {"results": []}))
        yield fake


async def ask(remotes: Remotes, canonical: str) -> bool:
    """Ask the forge of a repository; False where there is none."""
    found = remotes.forges.find(canonical)
    if found is not None:
        await found.find_pull_requests(SHA)
    return found is not None


def own_forges(forge: FakeForge, folder: Path) -> list[dict[str, Any]]:
    def own(host: str, kind: str, path: str) -> dict[str, Any]:
        file = folder / kind
        file.write_text(f"{kind}-token-0123456789")
        return {"host": host, "kind": kind, "api_url": f"{forge.base_url}{path}", "token_file": file}

    return [
        own("Git.Example.com", "gitlab", "/api/v4"),
        own("ado.example.com:8443", "azure_devops", "/tfs"),
        own("ghe.example.com", "github", "/api/v3"),
    ]


async def test_hosts_are_asked_as_what_they_are_with_their_own_token(
    forge: FakeForge, tmp_path: Path, stack: AsyncExitStack
) -> None:
    settings = settings_of(tmp_path, forges=own_forges(forge, tmp_path), allow=["*.example.com/*"])
    remotes = await open_remotes(settings, {}, stack)
    assert await ask(remotes, "git.example.com/group/sub/shop")
    assert await ask(remotes, "ado.example.com/tfs/Coll/Web/_git/shop")
    assert await ask(remotes, "ghe.example.com/acme/shop")
    basic = base64.b64encode(b":azure_devops-token-0123456789").decode()
    assert [(asked.path.split("?")[0], asked.headers["authorization"]) for asked in forge.asked] == [
        (
            f"/api/v4/projects/group%2Fsub%2Fshop/repository/commits/{SHA}/merge_requests",
            "Bearer gitlab-token-0123456789",
        ),
        ("/tfs/Coll/Web/_apis/git/repositories/shop/pullrequestquery", f"Basic {basic}"),
        (f"/api/v3/repos/acme/shop/commits/{SHA}/pulls", "token github-token-0123456789"),
    ]


@pytest.mark.parametrize(
    "canonical",
    [
        "elsewhere.test/group/shop",
        "git.example.com/shop",
        "git.example.com/refused/shop",
        "ado.example.com/group/shop",
        "ghe.example.com/group/sub/shop",
        "github.com/acme/shop",
        "gitlab.com/acme/shop",
        "dev.azure.com/acme/web/shop",
        "file:/srv/shop",
    ],
)
async def test_what_no_forge_or_credential_is_for_is_not_asked_about(
    canonical: str, forge: FakeForge, tmp_path: Path, stack: AsyncExitStack
) -> None:
    allow = ["git.example.com/group/*", "git.example.com/shop", "ado.example.com/*", "ghe.example.com/*"]
    public = ["github.com/*", "gitlab.com/*", "dev.azure.com/*"]
    settings = settings_of(tmp_path, forges=own_forges(forge, tmp_path), allow=[*allow, *public])
    remotes = await open_remotes(settings, {}, stack)
    assert not await ask(remotes, canonical)
    assert forge.asked == []


async def test_tokens_of_the_environment_go_to_the_first_stated_host(
    forge: FakeForge, tmp_path: Path, stack: AsyncExitStack
) -> None:
    forges = [
        {"host": "one.example.com", "kind": "gitlab", "api_url": f"{forge.base_url}/one"},
        {"host": "two.example.com", "kind": "gitlab", "api_url": f"{forge.base_url}/two"},
        {"host": "ado.example.com", "kind": "azure_devops", "api_url": forge.base_url},
    ]
    settings = settings_of(tmp_path, forges=forges, allow=["*.example.com/*", "gitlab.com/*", "dev.azure.com/*"])
    environ = {"GITLAB_TOKEN": "gl-0123456789", "AZURE_DEVOPS_TOKEN": "az-0123456789"}
    remotes = await open_remotes(settings, environ, stack)
    names = ("one.example.com/a/b", "two.example.com/a/b", "ado.example.com/c/p/_git/r", "gitlab.com/a/b")
    assert [await ask(remotes, name) for name in names] == [True, False, True, False]
    assert forge.asked[0].headers["authorization"] == "Bearer gl-0123456789"
    public = await open_remotes(settings_of(tmp_path / "b", allow=["gitlab.com/*", "dev.azure.com/*"]), environ, stack)
    found = [public.forges.find(name) for name in ("gitlab.com/a/b", "dev.azure.com/a/b/c", "github.com/a/b")]
    assert [type(item).__name__ for item in found] == ["GitLabForge", "AzureDevOpsForge", "NoneType"]


async def test_a_stated_forge_is_asked_without_a_token_too(
    forge: FakeForge, tmp_path: Path, stack: AsyncExitStack
) -> None:
    forges = [{"host": "git.example.com", "kind": "gitlab", "api_url": forge.base_url}]
    stated = {"kind": "gitlab", "owner": "group/sub", "repo": "shop"}
    repositories = [{"url": "https://mirror.example.com/shop.git", "forge": stated}]
    remotes = await open_remotes(settings_of(tmp_path, forges=forges, repositories=repositories), {}, stack)
    assert await ask(remotes, "mirror.example.com/shop")
    assert forge.asked[0].path.startswith("/projects/group%2Fsub%2Fshop/")
    assert "authorization" not in forge.asked[0].headers


async def test_no_login_of_netrc_is_shown(
    forge: FakeForge, tmp_path: Path, stack: AsyncExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password of-another-program\n")
    monkeypatch.setenv("NETRC", str(netrc))
    forges = [
        {"host": "git.example.com", "kind": "gitlab", "api_url": forge.base_url},
        {"host": "ghe.example.com", "kind": "github", "api_url": forge.base_url},
    ]
    stated = [
        {"url": f"https://mirror.example.com/{kind}", "forge": {"kind": kind, "host": host, "owner": "a", "repo": "b"}}
        for kind, host in (("gitlab", "git.example.com"), ("github", "ghe.example.com"))
    ]
    remotes = await open_remotes(settings_of(tmp_path, forges=forges, repositories=stated), {}, stack)
    assert await ask(remotes, "mirror.example.com/gitlab")
    assert await ask(remotes, "mirror.example.com/github")
    assert ["authorization" in asked.headers for asked in forge.asked] == [False, False]


async def test_the_proxy_of_the_environment_is_used(forge: FakeForge, tmp_path: Path, stack: AsyncExitStack) -> None:
    forges = [{"host": host, "kind": "gitlab", "api_url": f"http://{host}/api/v4"} for host in ("a.test", "b.test")]
    stated = [
        {"url": f"https://mirror.test/{host}", "forge": {"kind": "gitlab", "host": host, "owner": "a", "repo": "b"}}
        for host in ("a.test", "b.test")
    ]
    environ = {"HTTP_PROXY": forge.base_url, "NO_PROXY": "b.test"}
    remotes = await open_remotes(settings_of(tmp_path, forges=forges, repositories=stated), environ, stack)
    assert await ask(remotes, "mirror.test/a.test")
    assert [asked.headers["host"] for asked in forge.asked] == ["a.test"]
    with pytest.raises(UpstreamError, match="does not answer"):
        await ask(remotes, "mirror.test/b.test")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"forges": [{"host": "a.b", "kind": "gitlab"}] * 2}, r"forges\.1\.host: a\.b is there twice"),
        ({"forges": [{"host": "a.b", "kind": "gitlab", "api_url": "a.b/api"}]}, "not an API address of a GitLab"),
        (
            {"repositories": [{"url": "https://a.b/c/d", "forge": {"host": "a.b", "owner": "c", "repo": "d"}}]},
            r"repositories\.0\.forge\.host: a\.b is no github that is known; add it to `forges`",
        ),
        (
            {"repositories": [{"url": "https://a.b/c/d", "forge": {"owner": "c/x", "repo": "d"}}]},
            r"repositories\.0\.forge: c/x/d is no repository of a github",
        ),
    ],
)
async def test_forges_that_cannot_be_are_refused_at_start(
    values: dict[str, Any], message: str, tmp_path: Path, stack: AsyncExitStack
) -> None:
    with pytest.raises(ConfigError, match=message):
        await open_remotes(settings_of(tmp_path, **values), {}, stack)


@pytest.mark.parametrize("host", ["https://a.b", "a.b/c", "u@a.b", "", "a b", "a.b:x"])
def test_a_forges_host_is_a_bare_name(host: str, tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text(f"forges: [{{host: {host!r}, kind: gitlab}}]\n")
    with pytest.raises(ConfigError, match="must be a bare host name"):
        load_settings(path=file, flags={}, environ={})


def test_forges_can_be_stated_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLUXTRAIL_FORGES", '[{"host": "a.b", "kind": "azure_devops"}]')
    (found,) = load_settings(path=None, flags={}, environ={}).forges
    assert (found.host, found.kind, found.api_url) == ("a.b", "azure_devops", None)

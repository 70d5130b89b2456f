"""Private repositories over HTTPS, cloned with each identity; and what is planted as a secret shows nowhere."""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from structlog.testing import capture_logs
from tests.remotes.worlds import GitServer, Origin
from tests.runtime.worlds import Cluster, ago, make_environ, make_repository, make_settings, push, running, until

from fluxtrail.model.errors import AuthError, FluxtrailError
from fluxtrail.runtime.remotes import Remotes, open_remotes
from fluxtrail.runtime.settings.settings import Settings
from fluxtrail.simulator.issuers import aws, azure
from fluxtrail.simulator.issuers.desk import Fault, key_pair, service_account_token
from fluxtrail.simulator.issuers.server import Issuers

NOW = datetime.now(UTC).timestamp
PATH = "v1/repos/shop"


@dataclass
class PrivateGit(GitServer):
    """Serves over TLS, and only to whom `admits` lets in."""

    admits: Callable[[str], bool] = lambda shown: False
    shown: list[str] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        authorization = request.headers.get("Authorization", "")
        self.shown.append(authorization)
        self.entered.set()
        if authorization and self.gate is not None:
            await self.gate.wait()
        if not self.admits(authorization):
            return web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="git"'})
        return await self._backend(request)


def make_certificate(folder: Path) -> tuple[ssl.SSLContext, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "loopback")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    both, public = folder / "tls.pem", folder / "ca.pem"
    both.write_bytes(private + certificate.public_bytes(pem))
    public.write_bytes(certificate.public_bytes(pem))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(both)
    return context, public


@pytest.fixture
async def issuers() -> AsyncIterator[Issuers]:
    async with Issuers(NOW) as opened:
        yield opened


@pytest.fixture
def origin(tmp_path: Path) -> Origin:
    made = Origin(tmp_path)
    made.commit("private", files={"a": "1"})
    for path in (PATH, "acme/shop"):
        place = tmp_path / "served" / path
        place.parent.mkdir(parents=True)
        place.symlink_to(made.path)
    return made


@pytest.fixture
async def git(tmp_path: Path, origin: Origin, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[PrivateGit]:
    async with serving(tmp_path, monkeypatch) as server:
        yield server


@asynccontextmanager
async def serving(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[PrivateGit]:
    context, ca = make_certificate(tmp_path)
    monkeypatch.setenv("GIT_SSL_CAINFO", str(ca))
    server = PrivateGit(tmp_path / "served")
    app = web.Application(client_max_size=64 * 1024**2)
    app.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    server.base_url = f"https://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield server
    finally:
        await runner.cleanup()


@dataclass
class World:
    issuers: Issuers
    git: PrivateGit
    folder: Path

    @property
    def host(self) -> str:
        return self.git.base_url.removeprefix("https://")

    def file(self, name: str, text: str) -> str:
        (self.folder / name).write_text(text)
        return str(self.folder / name)

    def token(self, audience: str) -> str:
        subject = "system:serviceaccount:fluxtrail:fluxtrail"
        return self.file("projected", service_account_token(subject, audience=audience, now=NOW()))

    def finds(self, token: str, system: str, audience: str) -> bool:
        return self.issuers.desk.find(token, system, audience=audience) is not None


@pytest.fixture
def world(issuers: Issuers, git: PrivateGit, tmp_path: Path) -> World:
    return World(issuers, git, tmp_path)


@dataclass
class Case:
    name: str
    entry: Callable[[World], dict[str, Any]]
    admits: Callable[[World, str, str, str], bool]
    """By the scheme, and the user and the secret that were shown."""
    environ: Callable[[World], dict[str, str]] = lambda world: {}
    path: str = PATH


def _app(world: World) -> dict[str, Any]:
    key = world.file("app.pem", key_pair("github app").private)
    return {"app_id": "123456", "private_key_file": key, "base_url": f"{world.issuers.url}/github"}


def _gitlab(world: World) -> dict[str, Any]:
    return {
        "provider": "gitlab",
        "client_id": world.issuers.gitlab.client,
        "client_secret_file": world.file("application", world.issuers.gitlab.secret),
        "refresh_token_file": world.file("refresh", world.issuers.gitlab.sign_in()),
        "base_url": f"{world.issuers.url}/gitlab",
    }


def _google(world: World) -> dict[str, Any]:
    file = world.file("google.json", json.dumps(world.issuers.google.credentials_file()))
    return {"provider": "gcp", "service_account_file": file}


def _aws_accepts(world: World, scheme: str, user: str, secret: str) -> bool:
    why = world.issuers.aws.check_git(user, secret, host=world.host, path=f"/{PATH}", region="eu-west-1")
    return scheme == "Basic" and not why


CASES = [
    Case(
        "github", _app,
        lambda world, scheme, user, secret: user == "x-access-token" and world.finds(secret, "github", "github.com"),
        path="acme/shop",
    ),
    Case(
        "generic", lambda world: {"token_file": world.file("generic", "planted-generic-token")},
        lambda world, scheme, user, secret: (scheme, user, secret) == (
            "Basic", "x-access-token", "planted-generic-token"
        ),
    ),
    Case(
        "azure", lambda world: {"provider": "azure", "identity_token_file": world.token(azure.AUDIENCE)},
        lambda world, scheme, user, secret: scheme == "Bearer" and world.finds(secret, "azure", azure.DEVOPS),
        lambda world: {
            "AZURE_TENANT_ID": world.issuers.azure.application.tenant,
            "AZURE_CLIENT_ID": world.issuers.azure.application.client,
        },
    ),
    Case(
        "azure machine", lambda world: {"provider": "azure"},
        lambda world, scheme, user, secret: scheme == "Bearer" and world.finds(secret, "azure", azure.DEVOPS),
    ),
    Case(
        "gcp", _google,
        lambda world, scheme, user, secret: user == world.issuers.google.account.email and world.finds(
            secret, "google", "google"
        ),
    ),
    Case(
        "aws",
        lambda world: {
            "provider": "aws", "role_arn": world.issuers.aws.role.arn, "region": "eu-west-1",
            "identity_token_file": world.token(aws.AUDIENCE),
        },
        _aws_accepts,
    ),
    Case(
        "gitlab", _gitlab,
        lambda world, scheme, user, secret: user == "oauth2" and world.finds(secret, "gitlab", "gitlab"),
    ),
]  # fmt: skip


def read_login(authorization: str) -> tuple[str, str, str]:
    scheme, _, rest = authorization.partition(" ")
    if scheme != "Basic":
        return scheme, "", rest
    user, _, secret = base64.b64decode(rest).decode().partition(":")
    return scheme, user, secret


async def opened(world: World, case: Case, stack: AsyncExitStack) -> Remotes:
    world.git.admits = lambda shown: case.admits(world, *read_login(shown))
    settings = Settings(
        credentials=({"host": world.host, **case.entry(world)},),
        allow=("127.0.0.1",),
        ledger={"path": world.folder / "ledger.sqlite"},  # type: ignore[arg-type]
        watch=False,
    )
    return await open_remotes(settings, {**world.issuers.environ(), **case.environ(world)}, stack)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_a_private_repository_is_cloned(case: Case, world: World, origin: Origin) -> None:
    async with AsyncExitStack() as stack:
        remotes = await opened(world, case, stack)
        repository = remotes.repositories.open(f"{world.git.base_url}/{case.path}")
        found = await repository.refresh()
        assert found.branches == {"main": origin.git("rev-parse", "HEAD")}
        assert await repository.read_file(found.branches["main"], "a", limit_bytes=9) == b"1"
    assert any(case.admits(world, *read_login(shown)) for shown in world.git.shown if shown)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_no_secret_shows_in_processes_files_logs_numbers_or_errors(
    case: Case, world: World, origin: Origin, capfd: pytest.CaptureFixture[str]
) -> None:
    seen: list[Any] = []
    with capture_logs() as logs:
        async with AsyncExitStack() as stack:
            remotes = await opened(world, case, stack)
            repository = remotes.repositories.open(f"{world.git.base_url}/{case.path}")
            world.git.gate = asyncio.Event()
            async with asyncio.TaskGroup() as group:
                group.create_task(repository.refresh())
                while not any(world.git.shown):
                    world.git.entered.clear()
                    await world.git.entered.wait()
                seen += await asyncio.to_thread(of_processes)
                world.git.gate.set()
            seen += [remotes.credentials, remotes.identities.cache, vars(remotes.identities)]
            seen.append(list(remotes.identities.measures()))
            seen += await refusals(remotes, world, case)
            secrets = {*remotes.credentials.secrets, *world.issuers.desk.tokens}
    seen += [
        logs,
        capfd.readouterr(),
        [file.read_bytes() for file in (world.folder / "git").rglob("*") if file.is_file()],
    ]
    secrets |= {read_login(shown)[2] for shown in world.git.shown if shown}
    assert len(secrets) >= 1
    text = repr(seen)
    assert not [secret for secret in secrets if secret in text or base64.b64encode(secret.encode()).decode() in text]


def of_processes() -> list[Any]:
    """Return what anybody may see of the git processes: there are some."""
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            found.append((process.cmdline(), process.environ()))
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    assert any("git" in line[0] for line, _ in found if line)
    return found


async def refusals(remotes: Remotes, world: World, case: Case) -> list[Any]:
    """Return the errors of a git server that refuses everything, and of issuers that do."""
    found: list[Any] = []
    repository = remotes.repositories.open(f"{world.git.base_url}/{case.path}")
    owner, port = case.path.rpartition("/")[0], int(world.host.partition(":")[2])
    world.git.admits = lambda shown: False
    for _ in range(2):
        with pytest.raises(FluxtrailError) as refused:
            await repository.refresh()
        assert isinstance(refused.value, AuthError)
        found += [str(refused.value), repr(refused.value), refused.value.__cause__]
        for system in ("github", "azure", "azure machine", "google", "aws", "gitlab"):
            world.issuers.fail(system, Fault(status=401))
        try:
            await remotes.credentials.obtain("127.0.0.1", owner, port=port, path=case.path)
        except FluxtrailError as exc:
            found += [str(exc), repr(exc), exc.__cause__, exc.__context__]
    return found


async def test_a_service_with_an_identity_writes_no_secret_down(
    issuers: Issuers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    repository = await make_repository(tmp_path)
    served = tmp_path / "served" / "acme"
    served.mkdir(parents=True)
    (served / "fleet").symlink_to(tmp_path / "fleet.git")
    cluster = Cluster()
    async with serving(tmp_path, monkeypatch) as git, cluster.server:
        world, case = World(issuers, git, tmp_path), next(case for case in CASES if case.name == "azure")
        git.admits = lambda shown: case.admits(world, *read_login(shown))
        first = await push(repository, {"apps/web.yaml": "replicas: 1\n"}, "First", at=ago(600))
        cluster.fetch(first, url=f"{git.base_url}/acme/fleet")
        cluster.apply(first)
        settings = make_settings(
            tmp_path, cluster, credentials=({"host": world.host, **case.entry(world)},), allow=("127.0.0.1",)
        )
        environ = make_environ(tmp_path, **issuers.environ(), **case.environ(world))
        async with running(settings, environ) as service:
            await service.until_applied(first)
            change = await push(repository, {"apps/web.yaml": "replicas: 2\n"}, "Change")
            git.admits = lambda shown: False
            issuers.fail("azure", Fault(status=401))
            refused, asked = len(git.shown), issuers.desk.asked["azure"]
            cluster.fetch(change, url=f"{git.base_url}/acme/fleet")
            cluster.apply(change)
            await until(lambda: len(git.shown) > refused, "git refuses what was good")
            await until(lambda: issuers.desk.asked["azure"] > asked, "its issuer is asked for another, and refuses too")
            numbers = (await service.get("metrics", "/metrics"))[1]
    assert "fluxtrail_token_cache_requests_total" in numbers
    secrets = {*issuers.desk.tokens, (tmp_path / "projected").read_text()}
    told = capfd.readouterr()
    text = repr([numbers, told.out, told.err])
    files = [file for folder in ("ledger", "fleet.git") for file in (tmp_path / folder).rglob("*") if file.is_file()]
    assert [file for file in files if file.suffix.startswith(".sqlite")]
    for secret in secrets:
        assert secret not in text
        assert not [file for file in files if secret.encode() in file.read_bytes()]

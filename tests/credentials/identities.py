"""A world with issuers: each identity as a test wants it, with two clocks, ours and theirs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import aiohttp

from fluxtrail.credentials.binding import Credential
from fluxtrail.credentials.github_app import AppIdentity, InstallationTokens
from fluxtrail.credentials.github_key import AppKey
from fluxtrail.credentials.providers.aws import AwsProvider
from fluxtrail.credentials.providers.azure import AzureProvider
from fluxtrail.credentials.providers.endpoints import Endpoints
from fluxtrail.credentials.providers.exchange import Exchange
from fluxtrail.credentials.providers.gcp import GoogleProvider
from fluxtrail.credentials.providers.gitlab import GitLabProvider
from fluxtrail.credentials.providers.place import Identity, Place, Provider
from fluxtrail.credentials.tokens.cache import TokenCache
from fluxtrail.simulator.issuers import aws, azure, google
from fluxtrail.simulator.issuers.desk import key_pair, service_account_token
from fluxtrail.simulator.issuers.server import Issuers

BEGIN = 1_768_212_000.0
"""2026-01-12 10:00 UTC."""


@dataclass
class World:
    issuers: Issuers
    session: aiohttp.ClientSession
    folder: Path
    now: float = BEGIN
    cache: TokenCache = field(init=False)
    exchange: Exchange = field(init=False)

    def __post_init__(self) -> None:
        self.cache = TokenCache(monotonic=self.clock, wall=self.clock)
        self.exchange = Exchange(lambda url: self.session, clock=self.clock)

    def clock(self) -> float:
        return self.now

    @property
    def endpoints(self) -> Endpoints:
        found = Endpoints.from_environ(self.issuers.environ())
        return replace(found, azure_registry=f"{self.issuers.url}/acr")

    def shared(self) -> dict[str, Any]:
        return {"exchange": self.exchange, "cache": self.cache, "endpoints": self.endpoints, "clock": self.clock}

    def file(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text)
        return path

    def project(self, subject: str, *, audience: str, **options: Any) -> Path:
        """Write what Kubernetes projects into a pod, good for a day, by the issuers' clock."""
        now, options = self.issuers.desk.clock(), {"life_seconds": 86_400.0, **options}
        return self.file("token", service_account_token(subject, audience=audience, now=now, **options))


@dataclass
class Case:
    """One identity: how it is made, where it is shown, and who accepts it there."""

    name: str
    make: Callable[[World], Provider]
    place: Place
    is_good: Callable[[World, Credential], bool]
    life_seconds: float
    """Of what is shown."""
    systems: dict[str, int]
    """How many questions the first credential takes, by issuer."""
    asked: str = ""
    """Who is asked for the next; empty: nobody, it is signed here."""
    username: str = "x-access-token"
    rotate: Callable[[World], None] | None = None
    """Give the identity another secret of its own, which is as good."""
    spoil: Callable[[World], None] | None = None
    """Let the proof be for somebody else."""
    says: str = ""
    """What the refusal of it says."""

    def __str__(self) -> str:
        return self.name


class AppProvider:
    """A GitHub App as a provider, as bindings use it."""

    def __init__(self, world: World, *, app_id: str = "123456") -> None:
        key = AppKey(file=world.file("app.pem", key_pair("github app").private))
        self._tokens = InstallationTokens(
            AppIdentity(app_id=app_id, key=key),
            world.session,
            api_url=f"{world.issuers.url}/github",
            clock=world.clock,
            cache=world.cache,
        )

    async def obtain(self, place: Place) -> Credential | None:
        token = await self._tokens.find_token(place.owner)
        return Credential(kind="token", secret=token) if token else None

    def reject(self, secret: str) -> None:
        self._tokens.reject(secret)

    @property
    def secrets(self) -> tuple[str, ...]:
        return self._tokens.secrets


def identity(provider: Any, **fields: Any) -> Identity:
    return Identity(provider=provider, setting="credentials[0]", **fields)


def accepts(system: str, audience: str) -> Callable[[World, Credential], bool]:
    return lambda world, shown: world.issuers.desk.find(shown.secret, system, audience=audience) is not None


def _azure_workload(world: World) -> Provider:
    application = world.issuers.azure.application
    environ = {
        "AZURE_TENANT_ID": application.tenant,
        "AZURE_CLIENT_ID": application.client,
        "AZURE_FEDERATED_TOKEN_FILE": str(world.project(application.subject, audience=azure.AUDIENCE)),
    }
    return AzureProvider(identity("azure"), environ=environ, **world.shared())


def _azure_secret(world: World) -> Provider:
    application = world.issuers.azure.application
    application.secrets = ["first-client-secret", "second-client-secret"]
    stated = identity(
        "azure",
        tenant_id=application.tenant,
        client_id=application.client,
        client_secret_file=world.file("secret", "first-client-secret"),
    )
    return AzureProvider(stated, environ={}, **world.shared())


def _azure_machine(world: World) -> Provider:
    return AzureProvider(identity("azure"), environ={}, **world.shared())


def _google_key(world: World) -> Provider:
    file = world.file("google.json", json.dumps(world.issuers.google.credentials_file()))
    return GoogleProvider(identity("gcp", service_account_file=file), environ={}, **world.shared())


def _google_federated(world: World, *, impersonates: bool) -> Provider:
    token = world.project(world.issuers.google.account.subject, audience=google.POOL)
    stated = world.issuers.google.federation_file(str(token), impersonates=impersonates)
    file = world.file("google.json", json.dumps(stated))
    return GoogleProvider(identity("gcp"), environ={"GOOGLE_APPLICATION_CREDENTIALS": str(file)}, **world.shared())


def _google_machine(world: World) -> Provider:
    return GoogleProvider(identity("gcp"), environ={}, **world.shared())


def _aws(world: World) -> Provider:
    role = world.issuers.aws.role
    environ = {
        "AWS_ROLE_ARN": role.arn,
        "AWS_WEB_IDENTITY_TOKEN_FILE": str(world.project(role.subject, audience=aws.AUDIENCE)),
    }
    return AwsProvider(identity("aws"), environ=environ, **world.shared())


def _gitlab(world: World) -> Provider:
    stated = identity(
        "gitlab",
        client_id=world.issuers.gitlab.client,
        client_secret_file=world.file("secret", world.issuers.gitlab.secret),
        refresh_token_file=world.file("refresh", world.issuers.gitlab.sign_in()),
        base_url=f"{world.issuers.url}/gitlab",
    )
    return GitLabProvider(stated, host="gitlab.example.com", exchange=world.exchange, cache=world.cache)


def _another_proof(audience: str) -> Callable[[World], None]:
    def spoil(world: World) -> None:
        world.project("system:serviceaccount:fluxtrail:fluxtrail", audience=audience)

    return spoil


def _rotate_client_secret(world: World) -> None:
    world.file("secret", "second-client-secret")


def _rotate_google_key(world: World) -> None:
    world.issuers.google.account.signer = "another google account"
    world.file("google.json", json.dumps(world.issuers.google.credentials_file()))


def _rotate_app_key(world: World) -> None:
    world.issuers.github.app.signer = "another github app"
    world.file("app.pem", key_pair("another github app").private)


def _rotate_subject(world: World) -> None:
    """The service account is another: the same file, another identity."""
    subject = "system:serviceaccount:fluxtrail:another"
    for account in (world.issuers.azure.application, world.issuers.google.account, world.issuers.aws.role):
        account.subject = subject


def _rotate_proof(audience: str) -> Callable[[World], None]:
    def rotate(world: World) -> None:
        _rotate_subject(world)
        world.project("system:serviceaccount:fluxtrail:another", audience=audience)

    return rotate


CODECOMMIT = Place(host="git-codecommit.eu-west-1.amazonaws.com", owner="v1/repos", path="v1/repos/shop")
DEVOPS = Place(host="dev.azure.com", owner="acme/shop", path="acme/shop/_git/shop")
GOOGLE_GIT = Place(host="source.developers.google.com", owner="p/acme/r", path="p/acme/r/shop")


def _signed(world: World, shown: Credential) -> bool:
    why = world.issuers.aws.check_git(
        shown.username, shown.secret, host=CODECOMMIT.host, path="/v1/repos/shop", region="eu-west-1"
    )
    return not why


ACCOUNT = "fluxtrail@acme.iam.gserviceaccount.com"
CASES = [
    Case(
        "github", AppProvider, Place(host="github.com", owner="acme"), accepts("github", "github.com"), 3600,
        {"github": 2}, "github", rotate=_rotate_app_key,
    ),
    Case(
        "azure workload", _azure_workload, DEVOPS, accepts("azure", azure.DEVOPS), 3599, {"azure": 1}, "azure",
        rotate=_rotate_proof(azure.AUDIENCE), spoil=_another_proof("somebody"), says="AADSTS700212: the audience",
    ),
    Case(
        "azure secret", _azure_secret, DEVOPS, accepts("azure", azure.DEVOPS), 3599, {"azure": 1}, "azure",
        rotate=_rotate_client_secret, spoil=lambda world: world.issuers.azure.resources.clear(),
        says="AADSTS500011: the resource principal",
    ),
    Case(
        "azure machine", _azure_machine, DEVOPS, accepts("azure", azure.DEVOPS), 3600 / 0.8, {"azure machine": 1},
        "azure machine", spoil=lambda world: world.issuers.azure.resources.clear(),
        says="AADSTS500011: the resource principal",
    ),
    Case(
        "acr", _azure_workload, Place(host="acme.azurecr.io", owner="shop", is_registry=True),
        accepts("acr", "acme.azurecr.io"), 3600, {"azure": 1, "acr": 1}, "acr",
        username="00000000-0000-0000-0000-000000000000",
    ),
    Case(
        "google key", _google_key, GOOGLE_GIT, accepts("google", "google"), 3599, {"google": 1}, "google",
        username=ACCOUNT, rotate=_rotate_google_key,
    ),
    Case(
        "google federated", lambda world: _google_federated(world, impersonates=False), GOOGLE_GIT,
        accepts("google", "google"), 3599, {"google": 1}, "google", username="oauth2accesstoken",
        rotate=_rotate_proof(google.POOL), spoil=_another_proof("somebody"), says="the audience",
    ),
    Case(
        "google impersonated", lambda world: _google_federated(world, impersonates=True), GOOGLE_GIT,
        accepts("google", "google"), 3599, {"google": 2}, "google", username=ACCOUNT,
    ),
    Case(
        "google machine", _google_machine, GOOGLE_GIT, accepts("google", "google"), 3599, {"google machine": 2},
        "google machine", username=ACCOUNT,
    ),
    Case(
        "gar", _google_machine, Place(host="europe-docker.pkg.dev", owner="acme/shop", is_registry=True),
        accepts("google", "google"), 3599, {"google machine": 2}, "google machine", username="oauth2accesstoken",
    ),
    Case(
        "aws", _aws, CODECOMMIT, _signed, 900, {"aws": 1}, "", username="ASIA0000000000000000%",
        rotate=_rotate_proof(aws.AUDIENCE), spoil=_another_proof("somebody"), says="the audience",
    ),
    Case(
        "ecr", _aws, Place(host="123456789012.dkr.ecr.eu-west-1.amazonaws.com", owner="shop", is_registry=True),
        accepts("ecr", "ecr"), 3600 / 0.8, {"aws": 1, "ecr": 1}, "ecr", username="AWS",
    ),
    Case(
        "gitlab", _gitlab, Place(host="gitlab.example.com", owner="acme", path="acme/shop"),
        accepts("gitlab", "gitlab"), 7200 * 0.625, {"gitlab": 1}, "gitlab", username="oauth2",
    ),
]  # fmt: skip


async def obtain(provider: Provider, case: Case) -> Credential:
    found = await provider.obtain(case.place)
    assert found is not None
    return found


async def until(condition: Callable[[], bool]) -> None:
    """Let others go on until something is so."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - what is waited for sets no event
            await asyncio.sleep(0)

"""Secrets of clusters as credentials, and what GitRepositories say: bound to what they are for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from tests.credentials.identities import World

from fluxtrail.credentials.binding import Credential, CredentialSource
from fluxtrail.credentials.flux_secrets import FluxSecretProvider, Makers
from fluxtrail.credentials.followed import FluxSource, FollowedSources
from fluxtrail.credentials.github_app import AppIdentity, InstallationTokens
from fluxtrail.credentials.providers.gcp import GoogleProvider
from fluxtrail.credentials.providers.place import Identity, Place, Provider, SecretPlace
from fluxtrail.model.errors import AuthError, ConfigError
from fluxtrail.simulator.issuers.desk import key_pair

GIT = Place(host="github.com", owner="acme", path="acme/shop")


@dataclass
class Secrets:
    """A cluster's, in memory: what is read is told."""

    data: dict[str, dict[str, str]] = field(default_factory=dict)
    read_places: list[str] = field(default_factory=list)
    is_forbidden: bool = False

    async def read(self, place: SecretPlace) -> Mapping[str, bytes]:
        self.read_places.append(str(place))
        if self.is_forbidden:
            raise AuthError("the Secret may not be read", status=403)
        return {name: text.encode() for name, text in self.data[str(place)].items()}


def app_data(**changes: str) -> dict[str, str]:
    return {"githubAppID": "123456", "githubAppPrivateKey": key_pair("github app").private, **changes}


def provider_of(world: World, secrets: Secrets, *, cluster: str = "", **fields: Any) -> Provider:
    place = SecretPlace(namespace="flux-system", name="git", cluster=cluster)
    identity = Identity(provider=fields.pop("provider", "generic"), secret=place, **fields)

    def app(host: str, stated: AppIdentity) -> InstallationTokens:
        url = f"{world.issuers.url}/github"
        return InstallationTokens(stated, world.session, api_url=url, clock=world.clock, cache=world.cache)

    def google(text: str) -> GoogleProvider:
        return GoogleProvider(Identity(provider="gcp"), environ={}, text=text, **world.shared())

    makers = Makers(app=app, google=google)
    return FluxSecretProvider(identity, host="github.com", reader=secrets, cache=world.cache, makers=makers)


@pytest.mark.parametrize(
    ("data", "place", "expected"),
    [
        (
            {"username": "flux", "password": "planted"}, GIT,
            Credential(kind="basic", username="flux", secret="planted"),
        ),
        ({"bearerToken": "planted\n"}, GIT, Credential(kind="token", secret="planted", is_bearer=True)),
        (
            {".dockerconfigjson": json.dumps({"auths": {"ghcr.io": {"username": "u", "password": "planted"}}})},
            Place(host="ghcr.io", owner="acme/shop", is_registry=True),
            Credential(kind="basic", username="u", secret="planted"),
        ),
        (
            {".dockerconfigjson": json.dumps({"auths": {"quay.io": {"username": "u", "password": "planted"}}})},
            Place(host="ghcr.io", owner="acme/shop", is_registry=True),
            None,
        ),
    ],
    ids=["login", "bearer", "registry", "another registry"],
)  # fmt: skip
async def test_keys_say_what_it_is(
    world: World, data: dict[str, str], place: Place, expected: Credential | None
) -> None:
    assert await provider_of(world, Secrets({"flux-system/git": data})).obtain(place) == expected


@pytest.mark.parametrize(
    "more",
    [{}, {"githubAppInstallationID": "11"}, {"githubAppInstallationOwner": "Acme"}],
    ids=["found", "installation", "owner"],
)
async def test_an_app_of_a_secret(world: World, more: dict[str, str]) -> None:
    provider = provider_of(world, Secrets({"flux-system/git": app_data(**more)}), provider="github")
    found = await provider.obtain(GIT)
    assert found is not None
    assert world.issuers.desk.find(found.secret, "github") is not None
    assert await provider.obtain(Place(host="github.com", owner="another")) is None, "an owner has its own App"


async def test_the_names_of_the_first_draft_are_taken(world: World) -> None:
    data = {"githubAppID": "123456", "githubPrivateKey": key_pair("github app").private, "githubInstallationID": "11"}
    assert await provider_of(world, Secrets({"flux-system/git": data})).obtain(GIT) is not None


async def test_it_is_read_again_every_minute_and_when_refused(world: World) -> None:
    secrets = Secrets({"flux-system/git": {"username": "flux", "password": "first"}})
    provider = provider_of(world, secrets)
    for _ in range(3):
        await provider.obtain(GIT)
    assert len(secrets.read_places) == 1
    secrets.data["flux-system/git"]["password"] = "second"
    world.now += 61
    found = await provider.obtain(GIT)
    assert found is not None
    assert found.secret == "second"
    secrets.data["flux-system/git"]["password"] = "third"
    provider.reject("second")
    found = await provider.obtain(GIT)
    assert found is not None
    assert found.secret == "third"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"identity": "planted-key"}, "SSH key"),
        ({"password": "planted"}, "has none of username and password"),
        (app_data(githubAppInstallationID="1", githubAppInstallationOwner="acme"), "one of them is enough"),
        ({"githubAppID": "123456", "githubAppPrivateKey": "planted"}, "is not a private RSA key"),
        ({"githubAppID": "123456", "githubAppPrivateKey": "/etc/passwd"}, "is not a private RSA key"),
        (app_data(githubAppBaseURL="https://169.254.169.254/api"), "inner address"),
        (
            {"gcpServiceAccount": '{"type": "service_account", "token_uri": "https://evil.example.com"}'},
            "no service of",
        ),
        (
            {"gcpServiceAccount": '{"type": "external_account", "credential_source": {"file": "/etc/passwd"}}'},
            "not taken",
        ),
    ],
)
async def test_what_cannot_be_is_said(world: World, data: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        await provider_of(world, Secrets({"flux-system/git": data})).obtain(GIT)
    assert "planted" not in str(caught.value)


async def test_a_secret_of_another_provider_is_refused(world: World) -> None:
    secrets = Secrets({"flux-system/git": {"username": "flux", "password": "planted"}})
    with pytest.raises(ConfigError, match="does not hold what the provider github needs"):
        await provider_of(world, secrets, provider="github").obtain(GIT)


# -- what GitRepositories say ------------------------------------------------------------------------------------


def source(**changes: str) -> FluxSource:
    stated = {
        "cluster": "uid-1", "namespace": "flux-system", "name": "shop", "url": "https://github.com/acme/shop",
        "provider": "", "secret": "git",
    }  # fmt: skip
    return FluxSource(**{**stated, **changes})


def followed(
    world: World, secrets: Secrets, *, providers: tuple[str, ...] = ("generic", "github", "azure", "aws")
) -> FollowedSources:
    def make(host: str, identity: Identity) -> Provider:
        if identity.secret is None:
            return _Named(identity.provider)
        return provider_of(world, secrets, cluster="uid-1", provider=identity.provider)

    return FollowedSources(providers=providers, secrets=("flux-system/git",), make_provider=make)


@dataclass
class _Named:
    name: str
    secrets: tuple[str, ...] = ()

    async def obtain(self, place: Place) -> Credential | None:
        return Credential(kind="token", secret=self.name)

    def reject(self, secret: str) -> None:
        del secret


@pytest.mark.parametrize(
    ("changes", "host", "path", "is_found"),
    [
        ({}, "github.com", "acme/shop", True),
        ({}, "github.com", "acme/shop.git", True),
        ({}, "github.com", "acme/another", False),
        ({}, "evil.example.com", "acme/shop", False),
        ({"secret": "another"}, "github.com", "acme/shop", False),
        ({"namespace": "tenant"}, "github.com", "acme/shop", False),
        ({"url": "http://github.com/acme/shop"}, "github.com", "acme/shop", False),
        ({"url": "ssh://git@github.com/acme/shop"}, "github.com", "acme/shop", False),
        ({"url": "https://dev.azure.com/a/b/_git/c", "provider": "azure"}, "dev.azure.com", "a/b/_git/c", True),
        ({"url": "https://evildev.azure.com/a/b", "provider": "azure"}, "evildev.azure.com", "a/b", False),
        ({"url": "https://evil.example.com/a/b", "provider": "azure"}, "evil.example.com", "a/b", False),
        (
            {"url": "https://git-codecommit.eu-west-1.amazonaws.com/v1/repos/a", "provider": "aws"},
            "git-codecommit.eu-west-1.amazonaws.com", "v1/repos/a", True,
        ),
        (
            {"url": "https://git-codecommit.eu-west-1.amazonaws.com.evil.example.com/v1/repos/a", "provider": "aws"},
            "git-codecommit.eu-west-1.amazonaws.com.evil.example.com", "v1/repos/a", False,
        ),
        ({"provider": "unheard-of"}, "github.com", "acme/shop", False),
    ],
)  # fmt: skip
async def test_a_source_is_for_its_own_repository(
    world: World, changes: dict[str, str], host: str, path: str, is_found: bool
) -> None:
    secrets = Secrets({"flux-system/git": {"username": "flux", "password": "planted"}})
    sources = followed(world, secrets)
    sources.note(source(**changes))
    assert (sources.find(Place(host=host, path=path)) is not None) is is_found
    assert sources.find(Place(host=host)) is None, "a forge's API is asked with our own credentials"
    assert sources.find(Place(host=host, path=path, is_registry=True)) is None


async def test_what_is_not_allowed_is_not_followed(world: World) -> None:
    sources = followed(world, Secrets(), providers=("azure",))
    sources.note(source())
    assert sources.find(GIT) is None


async def test_a_changed_or_deleted_source_is_followed_no_more(world: World) -> None:
    sources = followed(world, Secrets())
    sources.note(source())
    assert sources.find(GIT) is not None
    sources.note(source(url="https://github.com/acme/another"))
    assert sources.find(GIT) is None
    assert sources.find(Place(host="github.com", path="acme/another")) is not None
    sources.lose("uid-1", "flux-system", "shop")
    assert sources.find(Place(host="github.com", path="acme/another")) is None


async def test_an_apps_token_is_shown_to_its_own_github_alone(world: World) -> None:
    secrets = Secrets({"flux-system/git": app_data()})
    sources = followed(world, secrets)
    sources.note(source(provider="github"))
    sources.note(source(provider="github", name="evil", url="https://evil.example.com/acme/shop"))
    mine, evil = sources.find(GIT), sources.find(Place(host="evil.example.com", path="acme/shop"))
    assert mine is not None
    assert evil is not None
    assert await mine.obtain(GIT) is not None
    assert await evil.obtain(Place(host="evil.example.com", owner="acme", path="acme/shop")) is None


async def test_settings_win_over_sources(world: World) -> None:
    secrets = Secrets({"flux-system/git": {"username": "flux", "password": "planted"}})
    sources = followed(world, secrets)
    sources.note(source())
    credentials = CredentialSource.from_settings([{"host": "github.com", "owner": "mine", "token": "own"}])
    credentials.find_elsewhere = sources.find
    found = await credentials.obtain("github.com", "acme", path="acme/shop")
    assert found is not None
    assert found.secret == "planted"
    other = CredentialSource.from_settings([{"host": "github.com", "token": "own"}])
    other.find_elsewhere = sources.find
    found = await other.obtain("github.com", "acme", path="acme/shop")
    assert found is not None
    assert found.secret == "own"
    assert len(secrets.read_places) == 1

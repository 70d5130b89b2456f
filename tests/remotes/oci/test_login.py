"""How a login is found and shown, and to whom it is never shown."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.remotes.oci.conftest import RegistriesMaker
from tests.remotes.oci.registry import image_manifest
from tests.remotes.oci.worlds import REPOSITORY, FakeRegistry, Times, says, token_answer

from fluxtrail.model.errors import AuthError, RateLimitedError, UpstreamError, WireError
from fluxtrail.model.redaction import redact
from fluxtrail.remotes.oci.challenges import CHALLENGE_LIMIT, check_realm, parse_challenges
from fluxtrail.remotes.oci.endpoint import Endpoint
from fluxtrail.remotes.oci.manifests import Manifest
from fluxtrail.remotes.oci.references import parse_reference
from fluxtrail.remotes.oci.registries import Registries
from fluxtrail.remotes.oci.registry import ATTEMPTS

MANIFEST = image_manifest([])
SECRET = "hunter2hunter2"
LOGIN = [{"host": "127.0.0.1", "username": "flux", "password": SECRET}]
Starter = Callable[[], Awaitable[FakeRegistry]]


async def ask(registries: Registries, fake: FakeRegistry, repository: str = REPOSITORY) -> Manifest:
    reference = parse_reference(fake.url(repository) + ":latest")
    return await registries.open(reference, insecure=True).get_manifest(reference)


def wants_token(fake: FakeRegistry, token: str = "t0", *, realm: str | None = None) -> None:
    fake.add(MANIFEST)
    realm = f"{fake.base_url}/token" if realm is None else realm
    fake.challenge = f'Bearer realm="{realm}",service="tests",scope="repository:{REPOSITORY}:pull,push,delete"'
    fake.accepts = lambda shown: shown == f"Bearer {token}"


# -- tokens --------------------------------------------------------------------------------------------------


async def test_a_stranger_gets_a_token(registries: Registries, fake: FakeRegistry) -> None:
    wants_token(fake)
    fake.once("/token", token_answer("t0"))
    for _ in range(2):
        await ask(registries, fake)
    (asked,) = [asked for asked in fake.asked if asked.path.startswith("/token")]
    assert asked.path == "/token?service=tests&scope=repository%3Agrafana%2Fkube-manifests%3Apull"
    assert "authorization" not in asked.headers
    assert len(fake.paths()) == 3


async def test_a_source_that_asks_for_plain_http_is_given_no_login(
    make_registries: RegistriesMaker, fake: FakeRegistry
) -> None:
    """Whoever may write a source on a cluster could else have our login sent in clear text."""
    wants_token(fake)
    fake.once("/token", token_answer("t0"))
    registries = make_registries(allow=("127.0.0.1/*",), credentials=LOGIN)
    registries.admit(fake.url(REPOSITORY), insecure=True)
    await ask(registries, fake)
    assert all("authorization" not in asked.headers for asked in fake.asked if asked.path.startswith("/token"))


async def test_a_login_goes_to_the_token_service_and_no_further(
    make_registries: RegistriesMaker, fake: FakeRegistry
) -> None:
    wants_token(fake)
    fake.once("/token", token_answer("t0"))
    await ask(make_registries(credentials=LOGIN), fake)
    assert [asked.basic for asked in fake.asked if asked.path.startswith("/token")] == [f"flux:{SECRET}"]
    assert [asked.headers.get("authorization") for asked in fake.asked if asked.path.startswith("/v2/")] == [
        None,
        "Bearer t0",
    ]


async def test_a_token_is_kept_until_it_expires(registries: Registries, fake: FakeRegistry, times: Times) -> None:
    wants_token(fake)
    fake.always["/token"] = token_answer("t0", expires_in=300)
    for seconds in (0, 280, 20):
        times.now += seconds
        await ask(registries, fake)
    assert (len(fake.paths("/token")), len(fake.paths())) == (2, 5)


@pytest.mark.parametrize("expires_in", [None, 0, -5, "60", 60.5])
async def test_a_token_without_a_good_life_has_a_minute(
    registries: Registries, fake: FakeRegistry, times: Times, expires_in: Any
) -> None:
    wants_token(fake)
    fake.always["/token"] = token_answer("t0", expires_in=expires_in)
    for seconds in (0, 45, 10):
        times.now += seconds
        await ask(registries, fake)
    assert len(fake.paths("/token")) == 2


async def test_a_token_that_is_refused_early_is_renewed(registries: Registries, fake: FakeRegistry) -> None:
    wants_token(fake, "t0")
    fake.once("/token", token_answer("t0"))
    await ask(registries, fake)
    wants_token(fake, "t1")
    fake.once("/token", token_answer("t1"))
    await ask(registries, fake)
    assert len(fake.paths("/token")) == 2


async def test_many_at_once_cost_one_token(registries: Registries, fake: FakeRegistry) -> None:
    wants_token(fake)
    fake.always["/token"] = token_answer("t0")
    async with asyncio.TaskGroup() as group:
        for _ in range(6):
            group.create_task(ask(registries, fake))
    assert len(fake.paths("/token")) == 1


async def test_each_repository_has_a_token_of_its_own(registries: Registries, fake: FakeRegistry) -> None:
    wants_token(fake)
    fake.always["/token"] = token_answer("t0")
    await ask(registries, fake)
    await ask(registries, fake, "acme/other")
    assert [path.rpartition("scope=")[2] for path in fake.paths("/token")] == [
        "repository%3Agrafana%2Fkube-manifests%3Apull",
        "repository%3Aacme%2Fother%3Apull",
    ]


async def test_a_registry_that_is_never_content(registries: Registries, fake: FakeRegistry) -> None:
    wants_token(fake, "never")
    fake.always["/token"] = token_answer("t0")
    with pytest.raises(AuthError, match="config.json") as caught:
        await ask(registries, fake)
    assert (caught.value.status, caught.value.retryable, len(fake.asked)) == (401, False, 3)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (says(401), AuthError),
        (says(403, body=b'{"errors": [{"code": "DENIED", "message": "no"}]}'), AuthError),
        (says(404), AuthError),
        (says(429, Retry_After="90"), RateLimitedError),
        (says(body=b"<html>"), WireError),
        (says(body=b"{}"), WireError),
        (says(body=b'{"token": null, "access_token": ""}'), WireError),
        (says(body=b'{"token": "a\\r\\nX-Evil: 1"}'), WireError),
        (says(body=b'{"token": {"a": 1}}'), WireError),
        (says(body=b" " * 300_000), WireError),
    ],
)
async def test_a_token_service_that_gives_none(
    make_registries: RegistriesMaker, fake: FakeRegistry, answer: Any, kind: type[Exception]
) -> None:
    wants_token(fake)
    fake.always["/token"] = answer
    with pytest.raises(kind) as caught:
        await ask(make_registries(credentials=LOGIN), fake)
    assert SECRET not in str(caught.value)
    assert len(fake.paths("/token")) == 1


async def test_a_token_service_that_fails_is_asked_again(registries: Registries, fake: FakeRegistry) -> None:
    wants_token(fake)
    for _ in range(ATTEMPTS - 1):
        fake.once("/token", says(500))
    fake.once("/token", token_answer("t0"))
    await ask(registries, fake)


async def test_what_a_registry_echoes_is_masked(make_registries: RegistriesMaker, fake: FakeRegistry) -> None:
    wants_token(fake)
    fake.once("/token", token_answer("zzsecrettokenzz"))
    fake.always["/v2/"] = says(401, body=b"zzsecrettokenzz is not good enough", WWW_Authenticate=fake.challenge)
    with pytest.raises(AuthError) as caught:
        await ask(make_registries(), fake)
    assert "is not good enough" in str(caught.value)
    assert "zzsecrettokenzz" not in str(caught.value)


async def test_an_identity_token_is_exchanged(
    make_registries: RegistriesMaker, fake: FakeRegistry, tmp_path: Path
) -> None:
    wants_token(fake)
    fake.once("/token", says(body=b'{"access_token": "t0"}'))
    await ask(make_registries(environ=docker(tmp_path, {fake.host: {"identitytoken": SECRET}})), fake)
    (asked,) = [asked for asked in fake.asked if asked.path.startswith("/token")]
    assert (asked.method, asked.path) == ("POST", "/token")
    assert asked.form["grant_type"] == "refresh_token"
    assert asked.form["refresh_token"] == SECRET
    assert asked.form["scope"] == f"repository:{REPOSITORY}:pull"


async def test_a_registry_token_is_shown_as_it_is(
    make_registries: RegistriesMaker, fake: FakeRegistry, tmp_path: Path
) -> None:
    wants_token(fake, SECRET)
    await ask(make_registries(environ=docker(tmp_path, {fake.host: {"registrytoken": SECRET}})), fake)
    assert not fake.paths("/token")


# -- the realm -----------------------------------------------------------------------------------------------


async def test_a_realm_elsewhere_gets_nothing(
    make_registries: RegistriesMaker, fake: FakeRegistry, start_registry: Starter
) -> None:
    thief = await start_registry()
    thief.always["/"] = token_answer("t0")
    wants_token(fake, realm=f"{thief.base_url}/token")
    with pytest.raises(AuthError, match="another host") as caught:
        await ask(make_registries(credentials=LOGIN), fake)
    assert not caught.value.retryable
    assert not thief.asked
    assert redact(str(caught.value)) == str(caught.value), "it reads the same where it is kept"


async def test_a_realm_that_is_stated_is_asked(
    make_registries: RegistriesMaker, fake: FakeRegistry, start_registry: Starter
) -> None:
    service = await start_registry()
    service.once("/token", token_answer("t0"))
    wants_token(fake, realm=f"{service.base_url}/token")
    await ask(make_registries(credentials=LOGIN, realms={fake.host: service.host}), fake)
    assert service.asked[0].basic == f"flux:{SECRET}"


async def test_a_token_service_that_redirects_does_not_pass_the_login_on(
    make_registries: RegistriesMaker, fake: FakeRegistry, start_registry: Starter, tmp_path: Path
) -> None:
    thief = await start_registry()
    thief.always["/"] = says(403)
    wants_token(fake)
    fake.always["/token"] = says(307, Location=f"{thief.base_url}/token")
    with pytest.raises(AuthError):
        await ask(make_registries(credentials=LOGIN), fake)
    assert [asked.headers.get("authorization") for asked in thief.asked] == [None]
    with pytest.raises(UpstreamError):
        await ask(make_registries(environ=docker(tmp_path, {fake.host: {"identitytoken": SECRET}})), fake)
    assert len(thief.asked) == 1


SECURE = Endpoint("registry.example.com", "registry.example.com")
PLAIN = Endpoint("registry.example.com:5000", "registry.example.com:5000", is_insecure=True)
HUB = Endpoint("docker.io", "registry-1.docker.io")
GITLAB = Endpoint("registry.gitlab.com", "registry.gitlab.com")


@pytest.mark.parametrize(
    ("registry", "realm"),
    [
        (SECURE, "https://registry.example.com/token?a=b"),
        (SECURE, "https://registry.example.com:5001/auth"),
        (SECURE, "https://auth.example.com/token"),
        (PLAIN, "http://registry.example.com:5000/token"),
        (PLAIN, "https://registry.example.com/token"),
        (HUB, "https://auth.docker.io/token"),
        (GITLAB, "https://gitlab.com/jwt/auth"),
    ],
)
def test_realms_that_are_the_registrys_own(registry: Endpoint, realm: str) -> None:
    assert check_realm(realm, registry, realms={"registry.example.com": "auth.example.com"}) == realm


@pytest.mark.parametrize(
    ("registry", "realm"),
    [
        (SECURE, "http://registry.example.com/token"),
        (SECURE, "https://auth.docker.io/token"),
        (SECURE, "https://registry.example.com.evil.com/token"),
        (SECURE, "https://registry.example.com@evil.com/token"),
        (SECURE, "https://x:y@registry.example.com/token"),
        (SECURE, "https://evil.com/registry.example.com"),
        (SECURE, "https://auth.example.com:444/token"),
        (SECURE, "//registry.example.com/token"),
        (SECURE, "file:///token"),
        (SECURE, "https://registry.example.com:x/token"),
        (SECURE, "https://[/token"),
        (SECURE, "/token"),
        (SECURE, ""),
        (PLAIN, "http://registry.example.com/token"),
        (HUB, "http://auth.docker.io/token"),
        (GITLAB, "https://gitlab.example.com/jwt/auth"),
    ],
)
def test_realms_that_are_not(registry: Endpoint, realm: str) -> None:
    with pytest.raises(AuthError):
        check_realm(realm, registry, realms={"registry.example.com": "auth.example.com:443"})


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (['Bearer realm="https://a/b",service="c d"'], [("bearer", {"realm": "https://a/b", "service": "c d"})]),
        (['BASIC Realm="x, y=\\"z\\""'], [("basic", {"realm": 'x, y="z"'})]),
        (["Negotiate, Basic realm=x"], [("negotiate", {}), ("basic", {"realm": "x"})]),
        (["Bearer realm=a , Basic realm=b"], [("bearer", {"realm": "a"}), ("basic", {"realm": "b"})]),
        (["Basic realm=a", "Bearer realm=b,realm=c"], [("basic", {"realm": "a"}), ("bearer", {"realm": "b"})]),
        ([""], []),
        (['="'], []),
    ],
)
def test_challenges(headers: list[str], expected: list[tuple[str, dict[str, str]]]) -> None:
    assert [(found.scheme, found.parameters) for found in parse_challenges(headers)] == expected


@pytest.mark.parametrize("headers", [["a," * 2000], ["a, b"] * 500, ["a " * 500] * 500])
def test_only_the_first_challenges_are_read(headers: list[str]) -> None:
    assert len(parse_challenges(headers)) == CHALLENGE_LIMIT


@given(st.lists(st.text(alphabet='Bearer Basic=",\\\t-\x00é', max_size=60), max_size=3))
def test_any_challenge_is_read_or_left(headers: list[str]) -> None:
    assert all(found.scheme for found in parse_challenges(headers))


# -- Basic ---------------------------------------------------------------------------------------------------


def wants_basic(fake: FakeRegistry, secret: str = SECRET) -> None:
    fake.add(MANIFEST)
    fake.challenge = 'Basic realm="tests"'
    expected = "Basic " + b64encode(f"flux:{secret}".encode()).decode()
    fake.accepts = lambda shown: shown == expected


async def test_basic(make_registries: RegistriesMaker, fake: FakeRegistry) -> None:
    wants_basic(fake)
    registries = make_registries(credentials=LOGIN)
    await ask(registries, fake)
    await ask(registries, fake)
    assert len(fake.asked) == 3


async def test_a_login_is_for_its_owner_only(make_registries: RegistriesMaker, fake: FakeRegistry) -> None:
    wants_basic(fake)
    registries = make_registries(credentials=[LOGIN[0] | {"owner": "grafana"}])
    await ask(registries, fake)
    with pytest.raises(AuthError, match="none is known for it"):
        await ask(registries, fake, "acme/other")
    assert "authorization" not in fake.asked[-1].headers


@pytest.mark.parametrize("challenge", ['Basic realm="tests"', "Negotiate", "", "Bearer"])
async def test_without_a_login_a_registry_that_wants_one_says_so(
    registries: Registries, fake: FakeRegistry, challenge: str
) -> None:
    wants_basic(fake)
    fake.challenge = challenge
    with pytest.raises(AuthError) as caught:
        await ask(registries, fake)
    assert (caught.value.retryable, len(fake.asked)) == (False, 1)


# -- docker's configuration ----------------------------------------------------------------------------------


def docker(folder: Path, auths: dict[str, Any] | None = None, **more: Any) -> dict[str, str]:
    (folder / "config.json").write_bytes(msgspec.json.encode({"auths": auths or {}, **more}))
    return {"DOCKER_CONFIG": str(folder), "PATH": f"{folder}:/usr/bin:/bin"}


def auth(secret: str) -> dict[str, str]:
    return {"auth": b64encode(f"flux:{secret}".encode()).decode()}


async def test_a_login_from_dockers_file_that_is_replaced(
    make_registries: RegistriesMaker, fake: FakeRegistry, tmp_path: Path
) -> None:
    wants_basic(fake, "old-password")
    registries = make_registries(environ=docker(tmp_path, {fake.host: auth("old-password")}))
    await ask(registries, fake)
    wants_basic(fake, "another-password")
    docker(tmp_path, {fake.host: auth("another-password")})
    await ask(registries, fake)


async def test_settings_win_over_dockers_file(
    make_registries: RegistriesMaker, fake: FakeRegistry, tmp_path: Path
) -> None:
    wants_basic(fake)
    await ask(make_registries(credentials=LOGIN, environ=docker(tmp_path, {fake.host: auth("other")})), fake)


@pytest.mark.process
async def test_a_helpers_login_is_asked_for_again_when_refused(
    make_registries: RegistriesMaker, fake: FakeRegistry, tmp_path: Path
) -> None:
    answer = tmp_path / "answer"
    helper = tmp_path / "docker-credential-tests"
    helper.write_text(f"#!/bin/sh\ncat >> {tmp_path}/asked\necho >> {tmp_path}/asked\ncat {answer}\n")
    helper.chmod(0o755)
    registries = make_registries(environ=docker(tmp_path, credHelpers={fake.host: "tests"}))
    for secret in ("first-secret", "second-secret"):
        answer.write_text(f'{{"ServerURL": "{fake.host}", "Username": "flux", "Secret": "{secret}"}}')
        wants_basic(fake, secret)
        await ask(registries, fake)
        await ask(registries, fake, REPOSITORY)
    assert (tmp_path / "asked").read_text().split() == [fake.host] * 2

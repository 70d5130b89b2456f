"""What the clouds' own libraries are asked for: what they alone know, without blocking; and when one is missing."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from tests.credentials.identities import CODECOMMIT, DEVOPS, GOOGLE_GIT, World, identity

from fluxtrail.credentials.providers.aws import AwsProvider
from fluxtrail.credentials.providers.azure import AzureProvider
from fluxtrail.credentials.providers.gcp import GoogleProvider
from fluxtrail.credentials.providers.place import Provider
from fluxtrail.model.errors import AuthError, ConfigError

TOKEN = "planted-token-of-a-library"


class Answers:
    """A server in the loop of the test: whoever blocked it would wait for himself."""

    def __init__(self) -> None:
        self.asked: list[web.Request] = []
        self.status, self.body = 200, dict[str, Any]()
        self.url = ""

    async def handle(self, request: web.Request) -> web.Response:
        self.asked.append(request)
        return web.json_response(self.body, status=self.status)


@pytest.fixture
async def answers() -> AsyncIterator[Answers]:
    server, app = Answers(), web.Application()
    app.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield server
    await runner.cleanup()


def app_service(world: World, answers: Answers, monkeypatch: pytest.MonkeyPatch) -> Provider:
    environ = {"IDENTITY_ENDPOINT": f"{answers.url}/msi/token", "IDENTITY_HEADER": "planted-header"}
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    answers.body = {"access_token": TOKEN, "expires_on": str(int(world.now + 3600)), "resource": "x"}
    return AzureProvider(identity("azure"), environ=environ, **world.shared())


async def test_azure_identity_knows_other_places_with_a_managed_identity(
    world: World, answers: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = await app_service(world, answers, monkeypatch).obtain(DEVOPS)
    assert found is not None
    assert (found.secret, found.is_bearer) == (TOKEN, True)
    assert answers.asked[0].query["resource"] == "499b84ac-1321-427f-aa17-267ca6975798"


async def test_azure_identity_s_refusal_is_an_auth_error(
    world: World, answers: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = app_service(world, answers, monkeypatch)
    answers.status, answers.body = 400, {"error": "invalid_request", "message": f"no, {TOKEN}=x"}
    with pytest.raises(AuthError) as caught:
        await provider.obtain(DEVOPS)
    assert "planted-header" not in str(caught.value)


def aws_federation(world: World, answers: Answers, monkeypatch: pytest.MonkeyPatch) -> Provider:
    for name, value in {"ACCESS_KEY_ID": "AKIAPLANTED", "SECRET_ACCESS_KEY": "planted", "REGION": "eu-west-1"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    stated = {
        "type": "external_account",
        "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/aws",
        "subject_token_type": "urn:ietf:params:aws:token-type:aws4_request",
        "token_url": f"{answers.url}/v1/token",
        "credential_source": {
            "environment_id": "aws1",
            "regional_cred_verification_url": "https://sts.{region}.amazonaws.com?Action=GetCallerIdentity",
        },
    }
    file = world.file("federation.json", json.dumps(stated))
    answers.body = {"access_token": TOKEN, "expires_in": 3600, "token_type": "Bearer", "issued_token_type": "x"}
    return GoogleProvider(identity("gcp", service_account_file=file), environ={}, **world.shared())


async def test_google_auth_knows_files_of_other_types(
    world: World, answers: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.now = time.time()  # google-auth has no other
    found = await aws_federation(world, answers, monkeypatch).obtain(GOOGLE_GIT)
    assert found is not None
    assert (found.username, found.secret) == ("oauth2accesstoken", TOKEN)
    assert [request.path for request in answers.asked] == ["/v1/token"]


async def test_google_auth_s_refusal_is_an_auth_error(
    world: World, answers: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = aws_federation(world, answers, monkeypatch)
    answers.status, answers.body = 400, {"error": "invalid_grant", "error_description": "no"}
    with pytest.raises(AuthError, match="invalid_grant"):
        await provider.obtain(GOOGLE_GIT)


async def test_what_google_auth_finds_wanting_is_a_config_error(world: World) -> None:
    stated = {"type": "authorized_user", "client_secret": "planted-secret"}
    file = world.file("user.json", json.dumps(stated))
    provider = GoogleProvider(identity("gcp", service_account_file=file), environ={}, **world.shared())
    with pytest.raises(ConfigError, match="does not take these credentials") as caught:
        await provider.obtain(GOOGLE_GIT)
    assert "planted-secret" not in str(caught.value)


async def test_what_google_auth_does_not_know_is_a_config_error(world: World) -> None:
    file = world.file("odd.json", json.dumps({"type": "odd", "private_key": "planted-key"}))
    provider = GoogleProvider(identity("gcp", service_account_file=file), environ={}, **world.shared())
    with pytest.raises(ConfigError, match="is no type of credentials that google-auth takes") as caught:
        await provider.obtain(GOOGLE_GIT)
    assert "planted-key" not in str(caught.value)


async def test_botocore_finds_keys_of_the_environment(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAPLANTED")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "planted-secret")
    world.issuers.aws.add_keys("AKIAPLANTED", "planted-secret")
    provider = AwsProvider(identity("aws"), environ={}, **world.shared())
    found = await provider.obtain(CODECOMMIT)
    assert found is not None
    assert found.username == "AKIAPLANTED"
    assert not world.issuers.aws.check_git(
        found.username, found.secret, host=CODECOMMIT.host, path="/v1/repos/shop", region="eu-west-1"
    )


async def test_no_keys_anywhere_is_said(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": "/nowhere", "AWS_SHARED_CREDENTIALS_FILE": "/nowhere",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ConfigError, match="no keys of AWS were found"):
        await AwsProvider(identity("aws"), environ={}, **world.shared()).obtain(CODECOMMIT)


@pytest.mark.parametrize(("extra", "library"), [("azure", "azure"), ("gcp", "google"), ("aws", "botocore")])
async def test_a_missing_extra_is_named(
    world: World, answers: Answers, monkeypatch: pytest.MonkeyPatch, extra: str, library: str
) -> None:
    provider: Provider
    match extra:
        case "azure":
            provider, place = app_service(world, answers, monkeypatch), DEVOPS
        case "gcp":
            provider, place = aws_federation(world, answers, monkeypatch), GOOGLE_GIT
        case _:
            provider, place = AwsProvider(identity("aws"), environ={}, **world.shared()), CODECOMMIT
    names = [name for name in sys.modules if name.partition(".")[0] == library and not name.startswith("google.rpc")]
    for name in ["azure.identity", "google.auth", "botocore", *names]:
        if name.startswith((library, f"{library}.")):
            monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ConfigError, match=r"is not installed: pip install 'fluxtrail\[" + extra) as caught:
        await provider.obtain(place)
    assert caught.value.subject == f"credentials: provider {extra}"


def test_who_uses_none_imports_none() -> None:
    code = (
        "import sys, fluxtrail.credentials.followed, fluxtrail.credentials.registries\n"
        "from fluxtrail.credentials.providers import aws, azure, gcp, gitlab\n"
        "print([n for n in ('botocore', 'azure.identity', 'google.auth', 'msal', 'jwt') if n in sys.modules])"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[]"

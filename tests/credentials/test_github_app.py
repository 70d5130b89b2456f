"""A GitHub App's tokens: made once for many, renewed in time, for their owner only."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from structlog.testing import capture_logs
from tests.credentials.github import APP_ID, AppServer

from fluxtrail.credentials.binding import CredentialSource
from fluxtrail.credentials.github_app import AppIdentity, InstallationTokens, github_api_url
from fluxtrail.credentials.github_key import AppKey
from fluxtrail.model.errors import AuthError, ConfigError, FluxtrailError, RateLimitedError, UpstreamError, WireError


@pytest.fixture
def tokens(github: AppServer, session: aiohttp.ClientSession, pem: str) -> InstallationTokens:
    return make(github, session, pem)


def make(github: AppServer, session: aiohttp.ClientSession, pem: str, **options: Any) -> InstallationTokens:
    identity = AppIdentity(app_id=options.pop("app_id", APP_ID), key=AppKey(pem=pem), **options)
    return InstallationTokens(identity, session, api_url=github.url, clock=github.clock)


async def test_the_jwt_is_backdated_and_ends_within_ten_minutes(github: AppServer, tokens: InstallationTokens) -> None:
    assert await tokens.find_token("acme") == github.made[0]
    now = int(github.now.timestamp())
    assert github.claims[0] == {"iat": now - 60, "exp": now + 540, "iss": APP_ID}
    assert github.asked == [("GET", "/orgs/acme/installation"), ("POST", "/app/installations/11/access_tokens")]


async def test_a_user_is_found_too(github: AppServer, tokens: InstallationTokens) -> None:
    assert await tokens.find_token("Ada") == github.made[0]
    assert ("GET", "/users/ada/installation") in github.asked


async def test_a_token_is_kept_for_most_of_its_life(github: AppServer, tokens: InstallationTokens) -> None:
    first = await tokens.find_token("acme")
    github.now += timedelta(minutes=47, seconds=59)
    assert await tokens.find_token("acme") == first
    github.now += timedelta(seconds=1)
    second = await tokens.find_token("acme")
    assert second not in (None, first)
    assert github.tokens_asked == 2
    assert {first, second} <= set(tokens.secrets), "the old one is still cleared from messages"


async def test_many_callers_cause_one_request(github: AppServer, tokens: InstallationTokens) -> None:
    github.gate.clear()
    async with asyncio.TaskGroup() as group:
        calls = [group.create_task(tokens.find_token("acme")) for _ in range(20)]
        await github.entered.wait()
        github.gate.set()
    assert {call.result() for call in calls} == {github.made[0]}
    assert github.tokens_asked == 1


async def test_many_callers_share_one_failure(github: AppServer, tokens: InstallationTokens) -> None:
    github.failures = [web.json_response({"message": "down"}, status=502)]
    github.gate.clear()
    async with asyncio.TaskGroup() as group:
        calls = [group.create_task(caught(tokens, "acme")) for _ in range(5)]
        await github.entered.wait()
        github.gate.set()
    assert {type(call.result()) for call in calls} == {UpstreamError}
    assert github.tokens_asked == 1
    assert await tokens.find_token("acme") == github.made[0]


async def caught(tokens: InstallationTokens, owner: str) -> FluxtrailError | None:
    try:
        await tokens.find_token(owner)
    except FluxtrailError as exc:
        return exc
    return None


async def test_a_cancelled_caller_leaves_the_others_theirs(github: AppServer, tokens: InstallationTokens) -> None:
    github.gate.clear()
    first = asyncio.create_task(tokens.find_token("acme"))
    await github.entered.wait()
    second = asyncio.create_task(tokens.find_token("acme"))
    first.cancel()
    github.gate.set()
    assert await second == github.made[-1]
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_a_token_that_still_holds_is_given_while_github_is_down(
    github: AppServer, tokens: InstallationTokens
) -> None:
    first = await tokens.find_token("acme")
    github.now += timedelta(minutes=57)
    github.failures = [web.json_response({"message": "down"}, status=503) for _ in range(2)]
    with capture_logs() as logs:
        assert await tokens.find_token("acme") == first
    assert [entry["event"] for entry in logs] == ["token not renewed"]
    github.now += timedelta(minutes=4)
    with pytest.raises(UpstreamError, match="GitHub answered 503: down"):
        await tokens.find_token("acme")


async def test_a_rejected_token_is_made_anew(github: AppServer, tokens: InstallationTokens) -> None:
    first = await tokens.find_token("acme")
    assert first is not None
    tokens.reject("another")
    assert await tokens.find_token("acme") == first
    tokens.reject(first)
    assert await tokens.find_token("acme") == github.made[1] != first


@pytest.mark.parametrize("minutes", [-45, -2, 2, 45])
async def test_a_clock_that_differs_is_corrected_by_githubs(
    minutes: int, github: AppServer, tokens: InstallationTokens
) -> None:
    github.skew = timedelta(minutes=minutes)
    first = await tokens.find_token("acme")
    assert first == github.made[0]
    github.now += timedelta(minutes=47)
    assert await tokens.find_token("acme") == first
    github.now += timedelta(minutes=2)
    assert await tokens.find_token("acme") == github.made[1]


async def test_a_refusal_with_the_right_clock_is_not_tried_again(
    github: AppServer, session: aiohttp.ClientSession, pem: str
) -> None:
    tokens = make(github, session, pem, app_id="999")
    with pytest.raises(AuthError, match="check GITHUB_APP_ID and GITHUB_APP_PRIVATE_KEY.*Integration not found"):
        await tokens.find_token("acme")
    assert len(github.asked) == 1


async def test_where_the_app_is_not_installed_there_is_no_token(github: AppServer, tokens: InstallationTokens) -> None:
    assert tokens.may_serve("stranger")
    with capture_logs() as logs:
        assert await tokens.find_token("stranger") is None
        assert await tokens.find_token("Stranger") is None
    assert [entry["event"] for entry in logs] == ["github app not installed"]
    assert len(github.asked) == 2, "asked once as an organisation, once as a user, then believed"
    assert not tokens.may_serve("Stranger")
    github.orgs["stranger"] = 33
    github.now += timedelta(minutes=11)
    assert tokens.may_serve("stranger")
    assert await tokens.find_token("stranger") == github.made[0]


@pytest.mark.parametrize("owner", ["", "..", "a/b", "-x", "acme?x", "acme%2f", "x" * 200])
async def test_what_is_no_owner_is_not_asked_about(owner: str, github: AppServer, tokens: InstallationTokens) -> None:
    assert await tokens.find_token(owner) is None
    assert github.asked == []


async def test_a_stated_installation_serves_its_own_owner_only(
    github: AppServer, session: aiohttp.ClientSession, pem: str
) -> None:
    tokens = make(github, session, pem, installation_id=11)
    assert await tokens.find_token("ACME") == github.made[0]
    assert await tokens.find_token("ada") is None
    assert github.tokens_asked == 1
    assert not [path for _, path in github.asked if path.startswith(("/orgs", "/users"))]


async def test_an_unknown_stated_installation_names_the_setting(
    github: AppServer, session: aiohttp.ClientSession, pem: str
) -> None:
    with pytest.raises(ConfigError, match="GITHUB_APP_INSTALLATION_ID.*no installation 404"):
        await make(github, session, pem, installation_id=404).find_token("acme")


async def test_a_suspended_installation_is_refused(github: AppServer, tokens: InstallationTokens) -> None:
    github.suspended.add(11)
    with pytest.raises(AuthError, match="suspended"):
        await tokens.find_token("acme")


async def test_an_app_that_was_installed_anew_is_found_again(github: AppServer, tokens: InstallationTokens) -> None:
    await tokens.find_token("acme")
    github.orgs["acme"] = 12
    github.now += timedelta(minutes=56)
    with pytest.raises(AuthError, match="installation 11 is gone"):
        await tokens.find_token("acme")
    assert await tokens.find_token("acme") == github.made[-1]
    assert github.made[-1].startswith("ghs_12x")


async def test_a_limit_says_when(github: AppServer, tokens: InstallationTokens) -> None:
    github.failures = [web.json_response({"message": "slow down"}, status=403, headers={"Retry-After": "17"})]
    with pytest.raises(RateLimitedError) as caught_error:
        await tokens.find_token("acme")
    assert caught_error.value.retry_after_seconds == 17


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"token": "ghs_secretsecretsecretsecret", "expires_at": "soon"}'])
async def test_odd_answers_are_wire_errors_without_the_token(
    body: bytes, github: AppServer, tokens: InstallationTokens
) -> None:
    github.failures = [web.Response(body=body)]
    with pytest.raises(WireError) as caught_error:
        await tokens.find_token("acme")
    assert "ghs_" not in f"{caught_error.value!r} {caught_error.value.__cause__!r}"


async def test_an_error_that_repeats_the_jwt_is_cleared_of_it(github: AppServer, tokens: InstallationTokens) -> None:
    token = AppKey(pem=tokens.secrets[0]).sign({"iss": "1"})
    github.failures = [web.json_response({"message": f"bad {token} and ghs_0123456789abcdef0123"}, status=500)]
    with pytest.raises(UpstreamError) as caught_error:
        await tokens.find_token("acme")
    assert token[:30] not in str(caught_error.value)
    assert "ghs_" not in str(caught_error.value)


async def test_a_github_that_cannot_be_reached_is_retryable(session: aiohttp.ClientSession, pem: str) -> None:
    identity = AppIdentity(app_id=APP_ID, key=AppKey(pem=pem))
    tokens = InstallationTokens(identity, session, api_url="http://127.0.0.1:9")
    with pytest.raises(UpstreamError) as caught_error:
        await tokens.find_token("acme")
    assert caught_error.value.retryable


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("github.com", "https://api.github.com"),
        ("acme.ghe.com", "https://api.acme.ghe.com"),
        ("github.example.com", "https://github.example.com/api/v3"),
        ("github.example.com:8443", "https://github.example.com:8443/api/v3"),
    ],
)
def test_api_addresses(host: str, url: str) -> None:
    assert github_api_url(host) == url


# -- among other credentials ------------------------------------------------------------------------------------


def source(github: AppServer, session: aiohttp.ClientSession, pem: str, *values: dict[str, Any]) -> CredentialSource:
    return CredentialSource.from_settings(
        values,
        environ={"GITHUB_APP_ID": APP_ID, "GITHUB_APP_PRIVATE_KEY": pem},
        make_issuer=lambda _host, app: InstallationTokens(app, session, api_url=github.url, clock=github.clock),
    )


async def test_the_app_is_bound_to_its_host_and_its_owners(
    github: AppServer, session: aiohttp.ClientSession, pem: str
) -> None:
    credentials = source(github, session, pem)
    found = await credentials.obtain("github.com", "Acme")
    assert found is not None
    assert (found.secret, found.username, found.kind) == (github.made[0], "x-access-token", "token")
    asked = len(github.asked)
    assert await credentials.obtain("github.com.evil.com", "acme") is None
    assert await credentials.obtain("gitlab.com", "acme") is None
    assert await credentials.obtain("github.com", "acme", kinds=("ssh",)) is None
    assert len(github.asked) == asked
    assert await credentials.obtain("github.com", "evil") is None
    assert credentials.find("github.com", "acme") is None, "who cannot wait gets no token of an App"
    assert found.secret in credentials.secrets
    assert (credentials.covers("github.com", "acme"), credentials.covers("github.com", "evil")) == (True, False)


async def test_a_token_for_the_owner_wins_and_one_for_the_host_steps_in(
    github: AppServer, session: aiohttp.ClientSession, pem: str
) -> None:
    own = {"host": "github.com", "owner": "acme", "token": "acme-token"}
    credentials = source(github, session, pem, own)
    found = await credentials.obtain("github.com", "acme")
    assert found is not None
    assert found.secret == "acme-token"
    assert github.asked == []
    app = {"host": "github.com", "owner": "evil", "app_id": 123456, "private_key_file": pem}
    both = CredentialSource.from_settings(
        [app, {"host": "github.com", "token": "host-token"}],
        make_issuer=lambda _host, app: InstallationTokens(app, session, api_url=github.url, clock=github.clock),
    )
    stepped_in = await both.obtain("github.com", "evil")
    assert stepped_in is not None
    assert stepped_in.secret == "host-token"


async def test_renewing_gives_another_token_once(github: AppServer, session: aiohttp.ClientSession, pem: str) -> None:
    credentials = source(github, session, pem)
    first = await credentials.obtain("github.com", "acme")
    assert first is not None
    second = await credentials.renew(first, "github.com", "acme")
    assert second is not None
    assert second.secret == github.made[1]
    fixed = CredentialSource.from_settings([{"host": "github.com", "token": "fixed"}])
    held = await fixed.obtain("github.com", "acme")
    assert held is not None
    assert await fixed.renew(held, "github.com", "acme") is None


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"app_id": "1"}, "exactly one of"),
        ({"private_key_file": "/x"}, "needs an app_id"),
        ({"app_id": "1", "token": "t"}, "app_id needs a private_key_file"),
        ({"app_id": "1", "private_key_file": "/nowhere.pem"}, r"credentials\[0\]\.private_key_file"),
        ({"app_id": True, "private_key_file": "/x"}, "app_id must be text"),
    ],
)
def test_app_entries_are_checked(entry: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        CredentialSource.from_settings([{"host": "github.com", **entry}])


def test_tokens_of_the_environment_have_one_host_each() -> None:
    environ = {"GITHUB_TOKEN": "gh", "GITLAB_TOKEN": "gl", "AZURE_DEVOPS_TOKEN": "az"}
    credentials = CredentialSource.from_settings([], environ=environ)
    hosts = ("github.com", "gitlab.com", "dev.azure.com", "acme.visualstudio.com", "gitlab.example.com")
    found = [credentials.find(host, "acme") for host in hosts]
    assert [item.secret if item else None for item in found] == ["gh", "gl", "az", "az", None]
    own = CredentialSource.from_settings([], environ=environ, forge_hosts={"gitlab": "gitlab.example.com"})
    moved = own.find("gitlab.example.com", "acme")
    assert moved is not None
    assert moved.secret == "gl"
    assert own.find("gitlab.com", "acme") is None


def test_an_organisations_old_host_is_azures() -> None:
    entries = [{"host": "dev.azure.com", "owner": "acme", "token": "new"}, {"host": "b.visualstudio.com", "token": "b"}]
    credentials = CredentialSource.from_settings([*entries, {"host": "dev.azure.com", "token": "all"}])
    hosts = (("a.visualstudio.com", "acme/p"), ("b.visualstudio.com", "acme/p"), ("evil.visualstudio.com", "evil/p"))
    found = [credentials.find(host, owner) for host, owner in hosts]
    assert [item.secret if item else None for item in found] == ["new", "b", "all"]
    assert credentials.find("visualstudio.com.evil.com", "acme") is None

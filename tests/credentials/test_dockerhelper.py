from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from fluxtrail.credentials.binding import CredentialSource
from fluxtrail.credentials.dockerhelper import ask_helper
from fluxtrail.credentials.registries import FAILURE_KEPT_SECONDS, KEPT_SECONDS, RegistryCredentials
from fluxtrail.model.errors import AuthError, ConfigError

pytestmark = pytest.mark.process

SECRET = "hunter2hunter2"
LOGIN = f'echo \'{{"ServerURL": "x", "Username": "flux", "Secret": "{SECRET}"}}\''
Script = Callable[..., dict[str, str]]


@pytest.fixture
def script(tmp_path: Path) -> Script:
    def write(body: str, name: str = "tests") -> dict[str, str]:
        file = tmp_path / f"docker-credential-{name}"
        file.write_text(f"#!/bin/sh\n{body}\n")
        file.chmod(0o755)
        return {"PATH": f"{tmp_path}:/usr/bin:/bin", "DOCKER_CONFIG": str(tmp_path)}

    return write


async def test_a_login(script: Script, tmp_path: Path) -> None:
    environ = script(f'echo "$1 $(cat)" > {tmp_path}/asked\n{LOGIN}')
    login = await ask_helper("tests", "https://index.docker.io/v1/", environ=environ)
    assert login is not None
    assert (login.username, login.password) == ("flux", SECRET)
    assert (tmp_path / "asked").read_text() == "get https://index.docker.io/v1/\n"


async def test_an_identity_token(script: Script) -> None:
    environ = script(LOGIN.replace('"flux"', '"<token>"'))
    login = await ask_helper("tests", "a.io", environ=environ)
    assert login is not None
    assert (login.identity_token, login.password) == (SECRET, "")


@pytest.mark.parametrize(
    "body", ["echo 'credentials not found in native keychain'; exit 1", "echo '{}'", "echo '{\"Secret\": null}'"]
)
async def test_a_helper_that_knows_none(script: Script, body: str) -> None:
    assert await ask_helper("tests", "a.io", environ=script(body)) is None


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("echo 'token: hunter2hunter2' >&2; exit 3", "failed with code 3"),
        ("echo hunter2hunter2", "no login in JSON"),
        ("echo '[]'", "no login in JSON"),
        ("yes hunter2hunter2 | head -c 3000000", "no login in JSON"),
        ("exec <&-; exit 1", "failed with code 1"),
    ],
)
async def test_a_helper_that_fails(script: Script, body: str, told: str) -> None:
    with pytest.raises(AuthError, match=told) as caught:
        await ask_helper("tests", "a.io", environ=script(body))
    assert caught.value.retryable
    assert SECRET not in str(caught.value)
    assert "docker-credential-tests" in str(caught.value)


async def test_a_helper_that_hangs_is_ended_with_all_it_started(script: Script, tmp_path: Path) -> None:
    environ = script(f"sleep 600 & echo $! > {tmp_path}/child; wait")
    with pytest.raises(AuthError, match=r"no answer within 0\.5 s"):
        await ask_helper("tests", "a.io", environ=environ, timeout_seconds=0.5)
    child = int((tmp_path / "child").read_text())
    assert await ends(child)


async def ends(pid: int) -> bool:
    for _ in range(500):
        if not is_alive(pid):
            return True
        await asyncio.sleep(0.01)
    return False


def is_alive(pid: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


@pytest.mark.parametrize("name", ["", "../evil", "a b", "a/b", "-x", "a\n", "x" * 65, "$(id)"])
async def test_what_is_no_name_is_not_run(script: Script, name: str) -> None:
    with pytest.raises(ConfigError, match="not the name"):
        await ask_helper(name, "a.io", environ=script(LOGIN))


async def test_a_helper_that_is_not_there(script: Script) -> None:
    with pytest.raises(ConfigError, match="docker-credential-absent"):
        await ask_helper("absent", "a.io", environ=script(LOGIN))


# -- the login of a registry ---------------------------------------------------------------------------------


class Moments:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def times_asked(folder: Path) -> int:
    return len((folder / "asked").read_text().splitlines())


async def test_answers_are_kept_for_a_while(script: Script, tmp_path: Path) -> None:
    environ = script(f"echo x >> {tmp_path}/asked\n{LOGIN}")
    (tmp_path / "config.json").write_text('{"credsStore": "tests"}')
    clock = Moments()
    source = RegistryCredentials(environ=environ, clock=clock)
    for seconds, asked in ((0.0, 1), (KEPT_SECONDS - 1, 1), (1.0, 2)):
        clock.now += seconds
        login = await source.find("a.io", "acme/shop", host="a.io", port=443)
        assert login is not None
        assert (login.password, times_asked(tmp_path)) == (SECRET, asked)
    source.forget("a.io")
    await source.find("a.io", "acme/shop", host="a.io", port=443)
    assert times_asked(tmp_path) == 3
    assert SECRET in source.secrets


async def test_failures_are_remembered_for_a_moment(script: Script, tmp_path: Path) -> None:
    environ = script(f"echo x >> {tmp_path}/asked; exit 1")
    (tmp_path / "config.json").write_text('{"credHelpers": {"a.io": "tests"}}')
    clock = Moments()
    source = RegistryCredentials(environ=environ, clock=clock)
    for seconds, asked in ((0.0, 1), (FAILURE_KEPT_SECONDS - 1, 1), (1.0, 2)):
        clock.now += seconds
        with pytest.raises(AuthError):
            await source.find("a.io", "acme/shop", host="a.io", port=443)
        assert times_asked(tmp_path) == asked
    assert await source.find("b.io", "acme/shop", host="b.io", port=443) is None


async def test_what_the_store_does_not_know_may_be_in_the_file(script: Script, tmp_path: Path) -> None:
    environ = script("echo 'credentials not found in native keychain'; exit 1")
    (tmp_path / "config.json").write_text('{"auths": {"a.io": {"auth": "YTpi"}}, "credsStore": "tests"}')
    login = await RegistryCredentials(environ=environ).find("a.io", "acme/shop", host="a.io", port=443)
    assert login is not None
    assert (login.username, login.password) == ("a", "b")


async def test_the_setting_wins_by_host_or_by_registry(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"auths": {"docker.io": {"auth": "YTpi"}}}')
    for host in ("docker.io", "registry-1.docker.io"):
        bindings = CredentialSource.from_settings([{"host": host, "username": "flux", "password": SECRET}])
        source = RegistryCredentials(bindings, environ={"DOCKER_CONFIG": str(tmp_path)})
        login = await source.find("docker.io", "acme/shop", host="registry-1.docker.io", port=443)
        assert login is not None
        assert login.password == SECRET

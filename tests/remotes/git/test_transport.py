from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.remotes.worlds import GitServer, Origin, StoreMaker

from fluxtrail.credentials.binding import Credential
from fluxtrail.model.errors import AuthError, ConfigError, NotFoundError, RateLimitedError, UpstreamError
from fluxtrail.model.repository import parse_repository
from fluxtrail.remotes.git import mirror as mirror_module
from fluxtrail.remotes.git.environment import GitEnvironment
from fluxtrail.remotes.git.failures import MovedError

LOOPBACK = ("http://127.0.0.1/*",)
SECRET = "s3cr3t-t0ken-value"


def credentials(**changes: Any) -> list[dict[str, Any]]:
    return [{"host": "127.0.0.1", "token": SECRET, **changes}]


async def test_clone_fetch_and_read_over_http(origin: Origin, git_server: GitServer, make_store: StoreMaker) -> None:
    one = origin.commit("one", files={"a": "1"})
    store = make_store(patterns=LOOPBACK)
    repository = store.open(f"{git_server.base_url}/origin.git")
    assert (await repository.refresh()).branches == {"main": one}
    two = origin.commit("two", files={"a": "2"})
    assert (await repository.refresh()).branches == {"main": two}
    assert await repository.reader.find_info(origin.git("rev-parse", f"{two}:a")) is None
    assert await repository.read_file(two, "a", limit_bytes=9) == b"2"
    assert all(authorization is None for _, _, authorization in git_server.requests)


async def test_the_bound_credential_is_shown_and_nowhere_else(
    origin: Origin, git_server: GitServer, make_store: StoreMaker, tmp_path: Path
) -> None:
    sha = origin.commit("one", files={"a": "1"})
    git_server.user, git_server.password = "x-access-token", SECRET
    repository = make_store(patterns=LOOPBACK, credentials=credentials()).open(f"{git_server.base_url}/origin.git")
    await repository.refresh()
    assert await repository.read_file(sha, "a", limit_bytes=9) == b"1"
    assert git_server.requests[0][2] is None
    assert any(authorization for _, _, authorization in git_server.requests)
    for file in (tmp_path / "clones").rglob("*"):
        assert not file.is_file() or SECRET.encode() not in file.read_bytes()


async def test_a_secret_is_never_in_an_argument(
    origin: Origin, git_server: GitServer, make_store: StoreMaker, processes: Callable[[str], list[int]]
) -> None:
    origin.commit("one")
    git_server.user, git_server.password, git_server.gate = "x-access-token", SECRET, asyncio.Event()
    repository = make_store(patterns=LOOPBACK, credentials=credentials()).open(f"{git_server.base_url}/origin.git")
    async with asyncio.TaskGroup() as group:
        group.create_task(repository.refresh())
        await git_server.entered.wait()
        assert processes(f"{git_server.base_url}/origin.git")
        assert not processes(SECRET)
        git_server.gate.set()


@pytest.mark.parametrize(
    "bound",
    [
        [],
        credentials(token="wrong-t0ken-value"),
        credentials(owner="other"),
        credentials(host="127.0.0.1:1"),
    ],
    ids=["none", "wrong", "another owner's", "another port's"],
)
async def test_refused_access_is_an_auth_error(
    origin: Origin, git_server: GitServer, make_store: StoreMaker, bound: list[dict[str, Any]]
) -> None:
    origin.commit("one")
    git_server.user, git_server.password = "x-access-token", SECRET
    repository = make_store(patterns=LOOPBACK, credentials=bound).open(f"{git_server.base_url}/origin.git")
    with pytest.raises(AuthError, match="check `credentials`") as caught:
        await repository.refresh()
    assert not caught.value.retryable
    assert caught.value.subject == f"{git_server.base_url}/origin.git"
    assert "wrong-t0ken-value" not in str(caught.value)
    assert not any(SECRET in str(request) for request in git_server.requests)


@pytest.mark.parametrize(
    ("status", "error", "retryable"),
    [
        (403, AuthError, False),
        (404, NotFoundError, False),
        (410, NotFoundError, False),
        (429, RateLimitedError, True),
        (500, UpstreamError, True),
        (503, UpstreamError, True),
    ],
)
async def test_statuses(
    git_server: GitServer, make_store: StoreMaker, status: int, error: type[UpstreamError], retryable: bool
) -> None:
    git_server.status = status
    repository = make_store(patterns=LOOPBACK).open(f"{git_server.base_url}/origin.git")
    with pytest.raises(UpstreamError) as caught:
        await repository.refresh()
    assert type(caught.value) is error
    assert caught.value.retryable is retryable


async def test_a_refused_wanted_commit_is_an_error_and_not_missing(
    origin: Origin, git_server: GitServer, make_store: StoreMaker
) -> None:
    origin.commit("one")
    repository = make_store(patterns=LOOPBACK).open(f"{git_server.base_url}/origin.git")
    await repository.refresh()
    served = git_server.requests.copy()
    git_server.refuse_after = len(served) + 2  # the fetch of refs passes, the one of the commit does not
    with pytest.raises(AuthError):
        await repository.refresh(want=["12" * 20])
    git_server.refuse_after = None
    assert (await repository.refresh(want=["12" * 20])).missing == {"12" * 20}


async def test_a_host_that_does_not_answer_is_retryable(make_store: StoreMaker) -> None:
    repository = make_store(patterns=LOOPBACK).open("http://127.0.0.1:1/acme/shop")
    with pytest.raises(UpstreamError) as caught:
        await repository.refresh()
    assert caught.value.retryable


async def test_a_redirect_to_another_server_is_not_followed(
    origin: Origin, git_server: GitServer, make_store: StoreMaker
) -> None:
    origin.commit("one")
    git_server.redirect_to = "http://localhost:1"
    git_server.user, git_server.password = "x-access-token", SECRET
    repository = make_store(patterns=LOOPBACK, credentials=credentials()).open(f"{git_server.base_url}/origin.git")
    with pytest.raises(MovedError, match="write the new one"):
        await repository.refresh()
    assert not any(authorization for _, _, authorization in git_server.requests)


async def test_a_renamed_repository_of_the_same_server_is_followed(
    origin: Origin, git_server: GitServer, make_store: StoreMaker
) -> None:
    one = origin.commit("one")
    store = make_store(patterns=LOOPBACK)
    old = f"{git_server.base_url}/old/name"
    git_server.renamed = {"/old/name": "/origin.git"}
    repository = store.open(old)
    assert (await repository.refresh()).branches == {"main": one}
    two = origin.commit("two", files={"a": "1"})
    assert (await repository.refresh()).branches == {"main": two}
    assert await repository.read_file(two, "a", limit_bytes=9) == b"1"
    assert store.open(old) is repository


async def test_a_cancelled_refresh_leaves_no_process(
    origin: Origin, git_server: GitServer, make_store: StoreMaker, processes: Callable[[str], list[int]], tmp_path: Path
) -> None:
    origin.commit("one")
    git_server.gate = asyncio.Event()
    url = f"{git_server.base_url}/origin.git"
    repository = make_store(patterns=LOOPBACK).open(url)
    async with asyncio.TaskGroup() as group:
        refreshing = group.create_task(repository.refresh())
        await git_server.entered.wait()
        assert len(processes(url)) >= 2  # git, and its transport helper
        refreshing.cancel()
    assert not processes(url)
    assert not list((tmp_path / "clones/incoming").iterdir())
    git_server.gate.set()
    assert (await repository.refresh()).branches


async def test_a_deadline_kills_the_whole_group(
    origin: Origin,
    git_server: GitServer,
    make_store: StoreMaker,
    processes: Callable[[str], list[int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    origin.commit("one")
    git_server.gate = asyncio.Event()
    monkeypatch.setattr(mirror_module, "CLONE_TIMEOUT_SECONDS", 0.3)
    url = f"{git_server.base_url}/origin.git"
    with pytest.raises(UpstreamError, match=r"git clone took longer than 0\.3 s") as caught:
        await make_store(patterns=LOOPBACK).open(url).refresh()
    assert caught.value.retryable
    assert not processes(url)


async def test_the_cancelled_leader_hands_the_fetch_on(
    origin: Origin, git_server: GitServer, make_store: StoreMaker
) -> None:
    sha = origin.commit("one")
    git_server.gate = asyncio.Event()
    repository = make_store(patterns=LOOPBACK).open(f"{git_server.base_url}/origin.git")
    async with asyncio.TaskGroup() as group:
        leader = group.create_task(repository.refresh())
        follower = group.create_task(repository.refresh())
        await git_server.entered.wait()
        leader.cancel()
        git_server.gate.set()
    assert leader.cancelled()
    assert follower.result().branches == {"main": sha}


async def test_an_absent_git_command_names_itself(origin: Origin, make_store: StoreMaker) -> None:
    repository = make_store(git_program="/nonexistent/git").open(origin.url)
    with pytest.raises(ConfigError, match="install git") as caught:
        await repository.refresh()
    assert caught.value.subject == "/nonexistent/git"


async def test_the_users_configuration_is_not_read(origin: Origin, make_store: StoreMaker, tmp_path: Path) -> None:
    sha = origin.commit("one")
    store = make_store()
    touched = tmp_path / "touched"
    (tmp_path / "clones/home/.gitconfig").write_text(f'[core]\n\tfsmonitor = "touch {touched}"\n[bad\n')
    assert (await store.open(origin.url).refresh()).branches == {"main": sha}
    assert not touched.exists()


async def test_ssh_is_given_the_key_and_known_hosts_and_no_prompt(
    origin: Origin, make_store: StoreMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin.commit("one")
    # Stands for ssh: writes down how it was called, then serves the repository as the far side's git would.
    fake = tmp_path / "bin/ssh"
    fake.parent.mkdir()
    fake.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >> {tmp_path}/called\nexec git upload-pack {origin.path}\n')
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:/usr/bin:/bin")
    bound = [{"host": "git.example.com", "ssh_key_file": "/keys/id key", "known_hosts_file": "/keys/known"}]
    repository = make_store(patterns=("git.example.com",), credentials=bound).open("git@git.example.com:acme/shop.git")
    assert (await repository.refresh()).branches
    called = (tmp_path / "called").read_text().splitlines()
    for expected in (
        "-oBatchMode=yes",
        "-oStrictHostKeyChecking=yes",
        "/keys/id key",
        "-oUserKnownHostsFile=/keys/known",
    ):
        assert expected in called
    assert "git@git.example.com" in called


def test_askpass_answers_only_for_its_host(tmp_path: Path) -> None:
    environment = GitEnvironment(tmp_path)
    credential = Credential(kind="token", secret=SECRET)
    with environment.network(parse_repository("https://git.example.com:8443/a/b"), credential) as made:

        def ask(question: str) -> str:
            command = [str(environment.askpass), question]
            return subprocess.run(
                command, env=made.variables, pass_fds=made.descriptors, capture_output=True, text=True, check=False
            ).stdout

        for _ in range(2):
            assert ask("Username for 'https://git.example.com:8443': ") == "x-access-token\n"
            assert ask("Password for 'https://x-access-token@git.example.com:8443': ") == f"{SECRET}\n"
        for other in ("https://evil.com", "https://git.example.com", "https://git.example.com:8443.evil.com"):
            assert ask(f"Password for '{other}': ") == ""
        assert SECRET not in environment.askpass.read_text() + str(made.variables)


@pytest.mark.parametrize("secret", ["two\nlines", 'quo"te', "back\\slash", "sp ace", "#comment", "tab\t"])
def test_a_bearer_that_no_header_can_hold_is_refused(tmp_path: Path, secret: str) -> None:
    credential = Credential(kind="token", secret=secret, is_bearer=True)
    url = parse_repository("https://git.example.com/a/b")
    with (
        pytest.raises(ConfigError, match="the .* holds") as caught,
        GitEnvironment(tmp_path).network(url, credential),
    ):
        pass
    assert secret not in str(caught.value)

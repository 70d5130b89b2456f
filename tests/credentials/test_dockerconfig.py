from __future__ import annotations

import os
from base64 import b64encode
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fluxtrail.credentials.dockerconfig import (
    DockerConfig,
    DockerConfigFile,
    find_config_file,
    parse_docker_config,
    server_name,
)
from fluxtrail.model.errors import ConfigError

SECRET = "hunter2:hunter2"


def parse(**document: Any) -> DockerConfig:
    return parse_docker_config(msgspec.json.encode(document), subject="config.json")


def auth(text: str) -> dict[str, str]:
    return {"auth": b64encode(text.encode()).decode()}


@pytest.mark.parametrize(
    "key", ["ghcr.io", "https://ghcr.io", "https://ghcr.io/v2/", "http://GHCR.io/v1/", " ghcr.io/ ", "ghcr.io/acme"]
)
def test_a_login_is_found_however_its_key_is_written(key: str) -> None:
    login = parse(auths={key: auth(f"flux:{SECRET}")}).find_login("ghcr.io", "acme/shop")
    assert login is not None
    assert (login.username, login.password) == ("flux", SECRET)
    assert SECRET not in repr(login)


@pytest.mark.parametrize("key", ["https://index.docker.io/v1/", "docker.io", "index.docker.io", "registry-1.docker.io"])
def test_docker_hub_has_many_names(key: str) -> None:
    config = parse(auths={key: auth("a:b")}, credHelpers={key: "tests"})
    assert config.find_login("docker.io", "library/nginx") is not None
    assert config.find_helper("docker.io", "library/nginx") == "tests"
    assert server_name("docker.io") == "https://index.docker.io/v1/"


def test_the_longest_key_wins_and_is_whole_names() -> None:
    config = parse(auths={"quay.io": auth("a:1"), "quay.io/acme": auth("a:2"), "quay.io/acme/shop": auth("a:3")})
    found = [config.find_login("quay.io", path) for path in ("other", "acme/x", "acme/shop", "acme/shopping")]
    assert [login.password for login in found if login] == ["1", "2", "3", "2"]


@pytest.mark.parametrize("registry", ["ghcr.io.evil.com", "evil.com", "ghcr.io:444", "gcr.io", ""])
def test_a_login_is_for_its_registry_only(registry: str) -> None:
    assert parse(auths={"ghcr.io": auth("a:b")}).find_login(registry, "ghcr.io/acme") is None


def test_helpers() -> None:
    config = parse(credHelpers={"gcr.io": "gcloud", "none.io": None}, credsStore="pass")
    assert [config.find_helper(name, "a") for name in ("gcr.io", "none.io", "ghcr.io")] == ["gcloud", "pass", "pass"]
    assert parse().find_helper("gcr.io", "a") == ""


def test_null_and_unknown_are_no_obstacle() -> None:
    config = parse(auths={"a.io": None, "b.io": {}, "c.io": {"auth": None}}, credsStore=None, HttpHeaders={"a": "b"})
    assert not config.logins
    assert not parse(auths=None, credHelpers=None).logins


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{",
        b"\xff",
        b'{"auths": []}',
        b'{"auths": {"a.io": {"auth": "!"}}}',
        b'{"auths": {"a.io": {"auth": "aHVudGVyMg=="}}}',
        b'{"auths": {"a.io": {"password": ["hunter2"]}}}',
        b'{"auths": {"a.io": {"auth": "/w=="}}}',
    ],
)
def test_what_is_no_configuration_is_refused_without_quoting_it(data: bytes) -> None:
    with pytest.raises(ConfigError, match="config.json") as caught:
        parse_docker_config(data, subject="config.json")
    assert "hunter2" not in str(caught.value)
    assert "aHVudGVyMg" not in str(caught.value)


def test_where_it_is_looked_for(tmp_path: Path) -> None:
    home, stated, podman = tmp_path / "home", tmp_path / "stated", tmp_path / "run"
    environ = {"HOME": str(home), "XDG_RUNTIME_DIR": str(podman)}
    assert find_config_file({}) is None
    assert find_config_file(environ) is None
    for file in (
        podman / "containers" / "auth.json",
        tmp_path / "auth.json",
        home / ".docker" / "config.json",
        stated / "config.json",
    ):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("{}")
        if file.parent == tmp_path:
            environ["REGISTRY_AUTH_FILE"] = str(file)
        if file.parent == stated:
            environ["DOCKER_CONFIG"] = str(stated)
        assert find_config_file(environ) == file
    assert find_config_file({**environ, "DOCKER_CONFIG": str(tmp_path / "empty")}) is None


def test_a_file_that_changes_is_read_again(tmp_path: Path) -> None:
    file, source = tmp_path / "config.json", DockerConfigFile({"DOCKER_CONFIG": str(tmp_path)})
    assert not source.read().logins
    file.write_bytes(msgspec.json.encode({"auths": {"ghcr.io": auth("a:first")}}))
    assert source.read() is source.read()
    rotated = tmp_path / "rotated"
    rotated.write_bytes(msgspec.json.encode({"auths": {"ghcr.io": auth("a:other")}}))
    rotated.rename(file)
    login = source.read().find_login("ghcr.io", "a")
    assert login is not None
    assert login.password == "other"
    file.unlink()
    assert not source.read().logins


def test_a_file_that_cannot_be_read_says_which(tmp_path: Path) -> None:
    file, source = tmp_path / "config.json", DockerConfigFile({"DOCKER_CONFIG": str(tmp_path)})
    with file.open("wb") as sparse:
        os.truncate(sparse.fileno(), 1024 * 1024 + 1)
    with pytest.raises(ConfigError, match="config.json"):
        source.read()

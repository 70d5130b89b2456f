from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fluxtrail.credentials.binding import CredentialSource, repository_host
from fluxtrail.model.errors import ConfigError

SETTINGS: list[dict[str, Any]] = [
    {"host": "GitHub.com", "token": "host-token"},
    {"host": "github.com", "owner": "Acme", "token": "acme-token"},
    {"host": "gitlab.com", "owner": "group/sub", "username": "bot", "password": "sub-password"},
    {"host": "git.local:8443", "token": "port-token"},
    {"host": "git.local", "token": "any-port-token"},
    {"host": "git.local", "ssh_key_file": "/keys/id", "known_hosts_file": "/keys/known_hosts"},
]


@pytest.mark.parametrize(
    ("host", "owner", "port", "secret"),
    [
        ("github.com", "acme", None, "acme-token"),
        ("GITHUB.com", "ACME", None, "acme-token"),
        ("github.com", "acme2", None, "host-token"),
        ("gitlab.com", "group/sub/deep", None, "sub-password"),
        ("gitlab.com", "group", None, None),
        ("gitlab.com", "group/subway", None, None),
        ("git.local", "x", 8443, "port-token"),
        ("git.local", "x", None, "any-port-token"),
        ("evil.com", "acme", None, None),
        ("github.com.evil.com", "acme", None, None),
    ],
)
def test_the_most_exact_binding_wins(host: str, owner: str, port: int | None, secret: str | None) -> None:
    found = CredentialSource.from_settings(SETTINGS).find(host, owner, port=port)
    assert (found.secret if found else None) == secret


def test_ssh_keys_are_only_given_to_who_asks_for_them() -> None:
    found = CredentialSource.from_settings(SETTINGS).find("git.local", "x", kinds=("ssh",))
    assert found is not None
    assert (found.kind, found.ssh_key_file, found.known_hosts_file) == (
        "ssh",
        Path("/keys/id"),
        Path("/keys/known_hosts"),
    )


def test_settings_win_over_the_environment() -> None:
    source = CredentialSource.from_settings(SETTINGS, environ={"GITHUB_TOKEN": "env-token"})
    found = source.find("github.com", "other")
    assert found is not None
    assert found.secret == "host-token"
    alone = CredentialSource.from_settings([], environ={"GITHUB_TOKEN": "env-token\n"}).find("github.com", "any")
    assert alone is not None
    assert (alone.secret, alone.username, alone.kind) == ("env-token", "x-access-token", "token")


def test_the_environment_token_follows_the_github_base_url() -> None:
    source = CredentialSource.from_settings(
        [], environ={"GITHUB_TOKEN": "env-token"}, github_base_url="https://ghe.example.com/api/v3"
    )
    assert source.find("ghe.example.com", "acme") is not None
    assert source.find("github.com", "acme") is None


@pytest.mark.parametrize(
    ("base_url", "host"),
    [
        ("https://api.github.com", "github.com"),
        ("https://ghe.example.com/api/v3", "ghe.example.com"),
        ("https://api.octo.ghe.com", "octo.ghe.com"),
        ("http://127.0.0.1:8001/", "127.0.0.1:8001"),
    ],
)
def test_repository_host(base_url: str, host: str) -> None:
    assert repository_host(base_url) == host


def test_a_rotated_token_file_is_read_again_and_both_are_redacted(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("first-token\n")
    source = CredentialSource.from_settings([{"host": "github.com", "token_file": str(file)}])
    first = source.find("github.com")
    replacement = tmp_path / "next"
    replacement.write_text("other-token\n")
    replacement.replace(file)
    second = source.find("github.com")
    assert (first and first.secret, second and second.secret) == ("first-token", "other-token")
    assert set(source.secrets) == {"first-token", "other-token"}


def test_an_unreadable_token_file_names_itself(tmp_path: Path) -> None:
    missing = tmp_path / "none"
    source = CredentialSource.from_settings([{"host": "github.com", "token_file": str(missing)}])
    with pytest.raises(ConfigError, match="cannot be read: No such file") as caught:
        source.find("github.com")
    assert caught.value.subject == str(missing)
    missing.write_text("  \n")
    with pytest.raises(ConfigError, match="is empty"):
        source.find("github.com")
    missing.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="not text"):
        source.find("github.com")
    missing.write_text("x" * 70_000)
    with pytest.raises(ConfigError, match="no token"):
        source.find("github.com")


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"token": "abcdef"}, "host is missing"),
        ({"host": "https://github.com", "token": "abcdef"}, "bare host name"),
        ({"host": "github.com"}, "found none"),
        ({"host": "github.com", "token": "abcdef", "token_file": "/x"}, "found token, token_file"),
        ({"host": "github.com", "password": "abcdef"}, "needs a username"),
        ({"host": "github.com", "tokn": "abcdef"}, "unknown field 'tokn'"),
        ({"host": "github.com", "token": 123456}, "token must be text"),
    ],
)
def test_a_wrong_entry_names_its_place_and_no_secret(entry: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        CredentialSource.from_settings([{"host": "ok", "token": "ok-token"}, entry])
    assert caught.value.subject == "credentials[1]"
    assert "abcdef" not in str(caught.value)


def test_no_representation_holds_a_secret() -> None:
    source = CredentialSource.from_settings(SETTINGS)
    found = source.find("github.com")
    assert "host-token" not in f"{found!r}{source!r}{source._bindings!r}"


def test_an_allowance_is_that_of_the_credential_and_not_of_the_owner() -> None:
    source = CredentialSource.from_settings(
        [{"host": "github.com", "token": "for-all"}, {"host": "github.com", "owner": "acme", "token": "for-acme"}]
    )
    assert source.allowance_of("github.com", "other") == source.allowance_of("github.com", "third") == "github.com"
    assert source.allowance_of("github.com", "acme") == "github.com/acme"
    assert source.allowance_of("gitlab.com", "Acme/web") == "gitlab.com/acme/web"
    assert source.allowance_of("git.test", "acme", port=8443) == "git.test:8443/acme"

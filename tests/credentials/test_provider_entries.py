"""What an entry of `credentials` may state, and what it is told otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fluxtrail.credentials.entries import parse_binding
from fluxtrail.credentials.providers.endpoints import Endpoints, check_outside
from fluxtrail.credentials.providers.entries import BY_PROVIDER
from fluxtrail.credentials.providers.place import PROVIDERS, SecretPlace
from fluxtrail.model.errors import ConfigError


@pytest.mark.parametrize(
    ("entry", "provider"),
    [
        ({"provider": "azure"}, "azure"),
        ({"provider": "AZURE", "tenant_id": "t", "client_id": "c", "client_secret_file": "/s"}, "azure"),
        ({"provider": "gcp", "service_account_file": "/s"}, "gcp"),
        ({"provider": "aws", "role_arn": "arn:aws:iam::123456789012:role/r", "identity_token_file": "/t"}, "aws"),
        ({"refresh_token_file": "/r", "client_id": "c"}, "gitlab"),
        ({"flux_secret": "flux-system/git"}, "generic"),
        ({"provider": "github", "flux_secret": "flux-system/app", "context": "prod"}, "github"),
    ],
)
def test_an_identity_is_read(entry: dict[str, Any], provider: str) -> None:
    binding = parse_binding({"host": "git.example.com", **entry}, field_name="credentials[0]")
    assert binding.identity is not None
    assert binding.identity.provider == provider
    assert binding.is_made


def test_fields_arrive() -> None:
    entry = {"host": "h", "provider": "github", "flux_secret": "a/b", "context": "prod", "installation_owner": "Acme"}
    binding = parse_binding(entry, field_name="credentials[0]")
    assert binding.identity is not None
    assert binding.identity.secret == SecretPlace(namespace="a", name="b", context="prod")
    assert binding.owner == "acme"
    entry = {"host": "h", "provider": "gitlab", "token": "t", "username": "oauth2"}
    assert parse_binding(entry, field_name="credentials[0]").identity is None


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"provider": "oracle"}, "'oracle' is no provider; known: generic, github, azure, gcp, aws, gitlab"),
        ({"provider": "azure", "token": "planted"}, "token and provider azure exclude each other"),
        ({"provider": "azure", "role_arn": "r"}, "role_arn is no field of the provider azure"),
        ({"provider": "generic", "region": "r", "token": "planted"}, "region is no field of the provider generic"),
        ({"provider": "gitlab", "client_id": "c", "token": "planted"}, "client_id needs a refresh_token_file"),
        ({"refresh_token_file": "/r"}, "needs a client_id"),
        ({"flux_secret": "flux-system"}, "is not namespace/name"),
        ({"flux_secret": "../x/y"}, "is not namespace/name"),
        ({"flux_secret": "a/b", "password": "planted", "username": "u"}, "password and flux_secret exclude each other"),
        ({"token": "planted", "context": "prod"}, "context needs a flux_secret"),
        ({"provider": "github", "installation_owner": "a", "owner": "b", "flux_secret": "a/b"}, "write one"),
        ({"provider": "github", "base_url": "http://ghe.example.com", "flux_secret": "a/b"}, "no address of an issuer"),
        ({"provider": "github"}, "exactly one of"),
    ],
)
def test_what_cannot_be_is_said(entry: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        parse_binding({"host": "h", **entry}, field_name="credentials[3]")
    assert caught.value.subject is not None
    assert caught.value.subject.startswith("credentials[3]")
    assert "planted" not in str(caught.value)


def test_every_provider_has_its_fields_and_its_row() -> None:
    assert set(BY_PROVIDER) == set(PROVIDERS)
    page = (Path(__file__).parents[2] / "docs" / "credentials.md").read_text()
    assert all(f"| `{name}` |" in page for name in PROVIDERS)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AZURE_AUTHORITY_HOST", "http://login.example.com"),
        ("AZURE_AUTHORITY_HOST", "https://user:planted@login.example.com"),
        ("AWS_ENDPOINT_URL_STS", "ftp://x"),
        ("AWS_ENDPOINT_URL_ECR", "https://host:port"),
    ],
)
def test_an_issuer_is_asked_by_https(name: str, value: str) -> None:
    with pytest.raises(ConfigError, match="write https://host") as caught:
        Endpoints.from_environ({name: value})
    assert caught.value.subject == name
    assert "planted" not in str(caught.value)


def test_a_bare_host_of_azure_is_taken() -> None:
    found = Endpoints.from_environ({"AZURE_AUTHORITY_HOST": "login.microsoftonline.us"})
    assert found.azure_authority == "https://login.microsoftonline.us"


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/api/v3",
        "http://127.0.0.1/api/v3",
        "https://169.254.169.254",
        "https://[::1]",
        "https://localhost",
        "https://metadata.google.internal",
        "https://kubernetes.default.svc",
        "https://2130706433",
    ],
)
def test_a_secret_names_no_inner_address(url: str) -> None:
    with pytest.raises(ConfigError):
        check_outside(url, setting="s")
    assert check_outside("https://ghe.example.com/api/v3/", setting="s") == "https://ghe.example.com/api/v3"

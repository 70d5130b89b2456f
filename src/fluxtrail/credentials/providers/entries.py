"""The fields of a `credentials` entry that state an identity instead of a secret.

- host: dev.azure.com
  provider: azure            # workload identity, the machine's, or an application's
- host: git-codecommit.eu-west-1.amazonaws.com
  provider: aws
  role_arn: arn:aws:iam::123456789012:role/fluxtrail
- host: github.com
  flux_secret: flux-system/github-app
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from fluxtrail.credentials.providers.endpoints import check_issuer
from fluxtrail.credentials.providers.place import PROVIDERS, Identity, ProviderName, SecretPlace
from fluxtrail.model.errors import ConfigError

BY_PROVIDER: Mapping[str, tuple[str, ...]] = {
    "azure": ("tenant_id", "client_id", "client_secret_file", "identity_token_file"),
    "gcp": ("service_account_file",),
    "aws": ("role_arn", "identity_token_file", "region"),
    "gitlab": ("client_id", "client_secret_file", "refresh_token_file", "base_url"),
    "github": ("base_url", "installation_owner"),
    "generic": (),
}
"""Which fields each provider takes, beside those that every entry has."""
SECRET_FIELDS = ("flux_secret", "context")
FIELDS = ("provider", *dict.fromkeys(name for names in BY_PROVIDER.values() for name in names), *SECRET_FIELDS)
_NAME = r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?"
_SECRET = re.compile(f"({_NAME})/({_NAME})")


def parse_provider(entry: Mapping[str, str], field_name: str) -> ProviderName:
    """Return the provider that an entry states, and otherwise the one that its fields are of.

    Raises:
        ConfigError: there is no such provider, or one of the fields is another's.
    """
    default = "github" if "private_key_file" in entry else "gitlab" if "refresh_token_file" in entry else "generic"
    name = entry.get("provider", default).lower()
    if name not in PROVIDERS:
        raise ConfigError(
            f"{name[:40]!r} is no provider; known: {', '.join(PROVIDERS)}", subject=f"{field_name}.provider"
        )
    foreign = {field for fields in BY_PROVIDER.values() for field in fields} - set(BY_PROVIDER[name])
    if stray := sorted(foreign & set(entry)):
        raise ConfigError(f"{stray[0]} is no field of the provider {name}", subject=field_name)
    if "context" in entry and "flux_secret" not in entry:
        raise ConfigError("context needs a flux_secret", subject=field_name)
    return name


def parse_identity(entry: Mapping[str, str], provider: ProviderName, field_name: str) -> Identity | None:
    """Return the identity that an entry states, or None where it states a secret.

    Raises:
        ConfigError: a field is not what it should be, or one is missing.
    """
    secret = _parse_secret(entry, field_name)
    has_own = provider in ("azure", "gcp", "aws") or "refresh_token_file" in entry
    if secret is None and not has_own:
        if stray := sorted({"client_id", "client_secret_file"} & set(entry)):
            raise ConfigError(f"{stray[0]} needs a refresh_token_file", subject=field_name)
        return None
    if "refresh_token_file" in entry and "client_id" not in entry:
        raise ConfigError("a refresh_token_file needs a client_id", subject=field_name)
    base_url = entry.get("base_url", "")
    return Identity(
        provider=provider,
        tenant_id=entry.get("tenant_id", ""),
        client_id=entry.get("client_id", ""),
        client_secret_file=_path(entry, "client_secret_file"),
        refresh_token_file=_path(entry, "refresh_token_file"),
        identity_token_file=_path(entry, "identity_token_file"),
        service_account_file=_path(entry, "service_account_file"),
        role_arn=entry.get("role_arn", ""),
        region=entry.get("region", ""),
        base_url=check_issuer(base_url, setting=f"{field_name}.base_url") if base_url else "",
        secret=secret,
        setting=field_name,
    )


def parse_secret_place(text: str, *, field_name: str, context: str = "") -> SecretPlace:
    """Return which Secret `namespace/name` means.

    Raises:
        ConfigError: it is none.
    """
    match = _SECRET.fullmatch(text)
    if match is None:
        raise ConfigError(f"{text[:80]!r} is not namespace/name, such as flux-system/github-app", subject=field_name)
    return SecretPlace(namespace=match[1], name=match[2], context=context)


def _parse_secret(entry: Mapping[str, str], field_name: str) -> SecretPlace | None:
    if "flux_secret" not in entry:
        return None
    return parse_secret_place(
        entry["flux_secret"], field_name=f"{field_name}.flux_secret", context=entry.get("context", "")
    )


def _path(entry: Mapping[str, str], name: str) -> Path | None:
    return Path(entry[name]) if name in entry else None

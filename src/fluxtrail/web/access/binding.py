"""Which addresses we bind to with a token only."""

from __future__ import annotations

import ipaddress

from fluxtrail.model.errors import ConfigError

LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})
TOKEN_MIN_LENGTH = 16


def is_loopback(host: str) -> bool:
    """True for an address or name that only this machine reaches."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def check_binding(host: str, *, token: str | None) -> None:
    """Refuse to serve the API to others without a token.

    Raises:
        ConfigError: `host` is not loopback and there is no token, or the token is too short to be one.
    """
    if token is not None and len(token) < TOKEN_MIN_LENGTH:
        raise too_short(token, subject="token")
    if token is None and not is_loopback(host):
        raise ConfigError(
            f"the API would answer anybody who reaches {host or 'any address of this machine'}; "
            "set a token, or bind it to 127.0.0.1",
            subject="listen address",
        )


def too_short(token: str, *, subject: str) -> ConfigError:
    return ConfigError(
        f"the API token has {len(token)} characters, at least {TOKEN_MIN_LENGTH} are needed; "
        "make one with `openssl rand -hex 32`",
        subject=subject,
    )

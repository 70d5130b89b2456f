"""google-auth for the credentials files that only it understands: it works in a thread, and asks through our own HTTP.

What it asks goes the way of everything else: bounded, without redirects, by the proxy that is meant. It is cancelled
with the one who waits for it, at its next request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from typing import Any

import msgspec

from fluxtrail.credentials.providers.exchange import REQUEST_TIMEOUT_SECONDS, Exchange
from fluxtrail.credentials.providers.extras import bring
from fluxtrail.credentials.tokens.cache import Issued
from fluxtrail.model.errors import AuthError, ConfigError, FluxtrailError, UpstreamError
from fluxtrail.model.redaction import redact

NAME = "Google's token service"
_LOADERS = {
    "authorized_user": ("google.oauth2.credentials", "from_authorized_user_info"),
    "external_account_authorized_user": ("google.auth.external_account_authorized_user", "from_info"),
    "impersonated_service_account": (
        "google.auth.impersonated_credentials",
        "from_impersonated_service_account_info",
    ),
}
_POOLS = {"environment_id": "google.auth.aws", "executable": "google.auth.pluggable"}
"""Of federations, by the field that tells their source."""
_POOL = "google.auth.identity_pool"


@dataclass(frozen=True, slots=True)
class _Response:
    """What google-auth wants of an answer."""

    status: int
    headers: Mapping[str, str]
    data: bytes


async def ask_google_auth(
    text: str, *, scopes: Sequence[str], exchange: Exchange, clock: Callable[[], float], setting: str
) -> Issued[tuple[str, str]]:
    """Return the account's address, where there is one, and an access token.

    Raises:
        ConfigError: the library is missing, or does not take the credentials either. AuthError, UpstreamError.
    """
    stated = msgspec.json.decode(text)
    place, method = _find_loader(stated, setting)
    module, errors = await bring(place, "google.auth.exceptions", extra="gcp", what="credentials of this type")
    loop = asyncio.get_running_loop()

    def request(url: str, method: str = "GET", body: Any = None, headers: Any = None, **_: Any) -> _Response:
        data = body.encode() if isinstance(body, str) else body
        asked = exchange.send(method, url, name=NAME, data=data, headers=dict(headers or {}))
        reply = asyncio.run_coroutine_threadsafe(asked, loop).result(REQUEST_TIMEOUT_SECONDS * 2)
        return _Response(reply.status, reply.headers, reply.body)

    def ask() -> Any:
        credentials = getattr(module.Credentials, method)(stated, scopes=list(scopes))
        credentials.refresh(request)
        return credentials

    try:
        found = await asyncio.to_thread(ask)
    except FluxtrailError:
        raise
    except (errors.RefreshError, errors.OAuthError) as exc:
        if exc.retryable:
            raise UpstreamError(f"{NAME} gives no token: {_said(exc, text)}", subject=setting) from None
        raise AuthError(f"{NAME} refuses the identity: {_said(exc, text)}", subject=setting) from None
    except (errors.GoogleAuthError, ValueError, KeyError, TypeError, OSError, TimeoutError) as exc:
        raise ConfigError(f"google-auth does not take these credentials: {_said(exc, text)}", subject=setting) from None
    ends = found.expiry.replace(
        tzinfo=found.expiry.tzinfo or UTC
    ).timestamp()  # google-auth's have no zone, and are UTC
    email = str(getattr(found, "service_account_email", "") or "")
    return Issued(value=(email, found.token), life_seconds=ends - clock(), secrets=(found.token,))


def _find_loader(stated: dict[str, Any], setting: str) -> tuple[str, str]:
    """Return the module and the method for a type of credentials; google-auth wants to be told which is meant."""
    kind = str(stated.get("type"))
    if kind == "external_account":
        source = stated.get("credential_source")
        fields = source if isinstance(source, dict) else {}
        return next((_POOLS[field] for field in _POOLS if field in fields), _POOL), "from_info"
    if kind not in _LOADERS:
        raise ConfigError(f"{kind[:40]!r} is no type of credentials that google-auth takes", subject=setting)
    return _LOADERS[kind]


def _said(exc: Exception, text: str) -> str:
    """Return an error's words without the values that the credentials hold."""
    try:
        held = tuple(str(value) for value in msgspec.json.decode(text).values() if isinstance(value, str))
    except (msgspec.DecodeError, AttributeError):
        held = ()
    return redact(str(exc), secrets=(text, *held), limit_bytes=300)

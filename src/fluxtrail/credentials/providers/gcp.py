"""Google: access tokens of a service account's key, of workload identity federation, or of the metadata server.

What is asked: the file of `service_account_file`, else of `GOOGLE_APPLICATION_CREDENTIALS`, else the metadata server.
A service account's key, a federated token in a file and its impersonation are a documented request or two, made here:
google-auth blocks, has no clock but the machine's, and Google refuses a JWT of a clock that is wrong. Files of other
kinds (AWS, executables, users) it is asked for, in a thread, with our own HTTP.

Source: developers.google.com "Using OAuth 2.0 for Server to Server Applications", AIP-4110 … 4117; fluxcd/pkg auth/gcp.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from fluxtrail.credentials.credential import Credential
from fluxtrail.credentials.github_key import AppKey
from fluxtrail.credentials.providers.endpoints import GOOGLE_TOKENS, Endpoints, check_issuer
from fluxtrail.credentials.providers.exchange import Exchange
from fluxtrail.credentials.providers.google_library import ask_google_auth
from fluxtrail.credentials.providers.place import Identity, Place
from fluxtrail.credentials.tokens.cache import Issued, TokenCache
from fluxtrail.credentials.tokens.keys import Secret, digest, subject_of
from fluxtrail.model.errors import AuthError, ConfigError, UpstreamError
from fluxtrail.model.moment import parse_timestamp

T = TypeVar("T")

NAME = "Google's token service"
SCOPES = ("https://www.googleapis.com/auth/cloud-platform", "https://www.googleapis.com/auth/userinfo.email")
TOKEN_USERNAME = "oauth2accesstoken"  # noqa: S105 - the login that Google documents for access tokens
LIFE_SECONDS = 3600
BACKDATED_SECONDS = 10
_JWT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
_ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - the name of a kind
_IMPERSONATED = re.compile(r"/serviceAccounts/([^/:]+@[^/:]+):generateAccessToken\Z")
_ACCOUNT = "/computeMetadata/v1/instance/service-accounts/default"


class _Source(msgspec.Struct):
    file: str | None = None
    format: dict[str, str] | None = None


class _File(msgspec.Struct):
    """What Google calls application credentials, as far as it is used here."""

    type: str
    client_email: str = ""
    private_key: str = ""
    private_key_id: str = ""
    token_uri: str = GOOGLE_TOKENS
    audience: str = ""
    subject_token_type: str = ""
    token_url: str = ""
    service_account_impersonation_url: str = ""
    credential_source: Any = None

    def __repr__(self) -> str:
        return f"_File(type={self.type!r})"


class _Token(msgspec.Struct):
    access_token: str
    expires_in: float = 3600.0

    def __repr__(self) -> str:
        return "_Token([redacted])"


class _Impersonated(msgspec.Struct, rename="camel"):
    access_token: str
    expire_time: str

    def __repr__(self) -> str:
        return "_Impersonated([redacted])"


class GoogleProvider:
    """One identity. Safe for concurrent callers.

    Args:
        text: the credentials themselves, in place of a file: of a Flux Secret. They name Google's own services then.
    """

    def __init__(
        self,
        identity: Identity,
        *,
        exchange: Exchange,
        cache: TokenCache,
        environ: Mapping[str, str],
        endpoints: Endpoints,
        clock: Callable[[], float],
        text: str = "",
    ) -> None:
        self._exchange, self._cache, self._endpoints, self._clock = exchange, cache, endpoints, clock
        self._setting = identity.setting or "credentials: provider gcp"
        stated = environ.get("GOOGLE_APPLICATION_CREDENTIALS", "").strip() if not text else ""
        file = identity.service_account_file or (Path(stated) if stated else None)
        self._stated = Secret(text, file=None if text else file, setting=self._setting) if text or file else None
        self._is_foreign = bool(text)
        self._proofs: dict[str, Secret] = {}
        self._key: AppKey | None = None

    def __repr__(self) -> str:
        return f"GoogleProvider({self._setting!r})"

    @property
    def secrets(self) -> tuple[str, ...]:
        held = [text for secret in self._proofs.values() for text in secret.secrets]
        return (
            *(self._stated.secrets if self._stated is not None else ()),
            *held,
            *(self._key.secrets if self._key else ()),
        )

    def reject(self, secret: str) -> None:
        self._cache.reject(secret)

    async def obtain(self, place: Place) -> Credential | None:
        text = self._stated.read() if self._stated is not None else ""
        email, token = await self._token(text)
        username = email if email and not place.is_registry else TOKEN_USERNAME
        return Credential(kind="basic", username=username, secret=token)

    # -- inside ----------------------------------------------------------------------------------------------

    async def _token(self, text: str) -> tuple[str, str]:
        """Return the account's address, where there is one, and an access token."""
        if not text:
            key = digest(provider="gcp", kind="metadata", where=self._endpoints.google_metadata)
            return await self._cache.get(key, self._ask_metadata, provider="gcp")
        parsed = self._parse(text)
        proof = self._read_proof(parsed) if parsed.type == "external_account" else None
        key = digest(provider="gcp", credentials=text, subject=subject_of(proof) if proof else "", scopes=SCOPES)

        async def fetch() -> Issued[tuple[str, str]]:
            if parsed.type == "service_account":
                return await self._ask_with_key(parsed)
            if proof is not None:
                return await self._ask_federated(parsed, proof)
            if self._is_foreign:
                raise ConfigError(
                    f"credentials of type {parsed.type!r} are not taken of a Secret", subject=self._setting
                )
            return await ask_google_auth(
                text, scopes=SCOPES, exchange=self._exchange, clock=self._clock, setting=self._setting
            )

        return await self._cache.get(key, fetch, provider="gcp")

    def _parse(self, text: str) -> _File:
        try:
            parsed = msgspec.json.decode(text, type=_File)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise ConfigError(
                "are no credentials of Google: give the JSON file that the console made", subject=self._setting
            ) from None
        for url in filter(None, (parsed.token_uri, parsed.token_url, parsed.service_account_impersonation_url)):
            host = check_issuer(url, setting=self._setting).partition("://")[2].partition("/")[0]
            if self._is_foreign and not host.endswith(".googleapis.com"):
                raise ConfigError("a Secret names no service of Google as its issuer", subject=self._setting)
        return parsed

    def _read_proof(self, parsed: _File) -> str | None:
        """Return the token that is exchanged; None where only google-auth knows how to come by one."""
        try:
            source = msgspec.convert(parsed.credential_source, _Source)
        except msgspec.ValidationError:
            return None
        if not source.file or self._is_foreign:
            return None
        if source.file not in self._proofs:
            self._proofs[source.file] = Secret(file=Path(source.file), setting=self._setting)
        text = self._proofs[source.file].read()
        field = (source.format or {}).get("subject_token_field_name")
        if not field:
            return text
        try:
            return str(msgspec.json.decode(text)[field])
        except (msgspec.DecodeError, KeyError, TypeError):
            raise ConfigError(f"the credential source has no field {field[:40]!r}", subject=self._setting) from None

    async def _ask_metadata(self) -> Issued[tuple[str, str]]:
        base = self._endpoints.google_metadata + _ACCOUNT
        headers = {"Metadata-Flavor": "Google"}
        found = await self._exchange.ask(
            "GET", f"{base}/token", _Token, name="Google's metadata server", headers=headers, is_metadata=True
        )
        reply = await self._exchange.send(
            "GET", f"{base}/email", name="Google's metadata server", headers=headers, is_metadata=True
        )
        email = reply.body.decode("ascii", "replace").strip() if reply.status == 200 else ""
        return self._issued(email if _is_account(email) else "", found)

    async def _ask_with_key(self, parsed: _File) -> Issued[tuple[str, str]]:
        """Exchange a JWT; once more where Google's clock turns out to be another than ours."""
        if not _is_account(parsed.client_email) or not parsed.private_key:
            raise ConfigError("client_email or private_key is missing in the credentials", subject=self._setting)
        self._key = AppKey(setting=self._setting, pem=parsed.private_key, what="the service account's key")
        for attempt in (1, 2):
            now = self._exchange.now(parsed.token_uri)
            claims = {
                "iss": parsed.client_email,
                "scope": " ".join(SCOPES),
                "aud": parsed.token_uri,
                "iat": int(now) - BACKDATED_SECONDS,
                "exp": int(now) - BACKDATED_SECONDS + LIFE_SECONDS,
            }
            form = {"grant_type": _JWT, "assertion": self._key.sign(claims, key_id=parsed.private_key_id)}
            try:
                found = await self._ask(parsed.token_uri, _Token, form=form, secrets=(form["assertion"],))
                return self._issued(parsed.client_email, found)
            except AuthError:
                if attempt == 2 or not self._exchange.learned(parsed.token_uri, now):
                    raise
        raise AssertionError("unreachable")

    async def _ask_federated(self, parsed: _File, proof: str) -> Issued[tuple[str, str]]:
        impersonation = parsed.service_account_impersonation_url
        form = {
            "grant_type": _EXCHANGE,
            "audience": parsed.audience,
            "scope": SCOPES[0] if impersonation else " ".join(SCOPES),
            "requested_token_type": _ACCESS_TOKEN,
            "subject_token": proof,
            "subject_token_type": parsed.subject_token_type,
        }
        found = await self._ask(parsed.token_url, _Token, form=form, secrets=(proof,))
        if not impersonation:
            return self._issued("", found)
        taken = await self._ask(
            impersonation,
            _Impersonated,
            json={"scope": list(SCOPES), "lifetime": f"{LIFE_SECONDS}s"},
            headers={"Authorization": f"Bearer {found.access_token}"},
            secrets=(proof, found.access_token),
        )
        ends = parse_timestamp(taken.expire_time)
        if ends is None:
            raise UpstreamError("the answer does not say when the token ends", subject=self._setting)
        account = _IMPERSONATED.search(impersonation)
        life = ends.timestamp() - self._exchange.now(impersonation)
        secret = taken.access_token
        email = account[1] if account else ""
        return Issued(value=(email, secret), life_seconds=life, secrets=(secret, found.access_token))

    async def _ask(self, url: str, type_: type[T], **options: Any) -> T:
        return await self._exchange.ask("POST", url, type_, name=NAME, **options)

    @staticmethod
    def _issued(email: str, found: _Token) -> Issued[tuple[str, str]]:
        secret = found.access_token
        return Issued(value=(email, secret), life_seconds=found.expires_in, secrets=(secret,))


def _is_account(text: str) -> bool:
    return bool(re.fullmatch(r"[^\s@:/]{1,128}@[A-Za-z0-9.-]{1,200}", text))

"""AWS: keys of a role, for CodeCommit (a signature as a password) and ECR (its own tokens).

The role of a service account is assumed by one documented request, which needs no signature. Where none is stated,
botocore looks for keys in all the places it knows (the environment, EKS pod identity, ECS, the machine's role), in a
thread: it blocks. It signs too; what is sent is sent here.

Source: fluxcd/pkg auth/aws; docs.aws.amazon.com "AssumeRoleWithWebIdentity", "GetAuthorizationToken".
"""

import asyncio
import base64
import binascii
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from fluxtrail.credentials.credential import Credential
from fluxtrail.credentials.providers.endpoints import Endpoints
from fluxtrail.credentials.providers.exchange import Exchange
from fluxtrail.credentials.providers.extras import bring
from fluxtrail.credentials.providers.place import Identity, Place
from fluxtrail.credentials.providers.sigv4 import AwsKeys, sign_git, sign_headers
from fluxtrail.credentials.tokens.cache import Issued, TokenCache
from fluxtrail.credentials.tokens.keys import Secret, digest, subject_of
from fluxtrail.model.errors import AuthError, ConfigError, WireError
from fluxtrail.model.moment import parse_timestamp
from fluxtrail.model.redaction import redact

SIGNATURE_SECONDS = 900.0
"""How long CodeCommit takes a signature."""
UNENDING_SECONDS = 900.0
"""How long keys without an end are kept before they are looked for again."""
SESSION_NAME = "fluxtrail"
_GIT_HOST = re.compile(r"git-codecommit(?:-fips)?\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?")
_ECR_HOST = re.compile(r"[0-9]{12}\.dkr[.-]ecr(?:-fips)?\.([a-z0-9-]+)\.(?:amazonaws\.com(?:\.cn)?|on\.aws)")
_PUBLIC = "public.ecr.aws"
_REGION = re.compile(r"[a-z0-9-]{1,32}")
_ROLE = re.compile(r"arn:aws[a-z0-9-]*:iam::[0-9]{12}:role/[\w+=,.@/-]{1,512}")
_TARGETS = {
    "ecr": "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken",
    "ecr-public": "SpencerFrontendService.GetAuthorizationToken",
}


class _Keys(msgspec.Struct):
    access_key_id: str = msgspec.field(name="AccessKeyId")
    secret_access_key: str = msgspec.field(name="SecretAccessKey")
    session_token: str = msgspec.field(name="SessionToken")
    expiration: float | str = msgspec.field(name="Expiration")

    def __repr__(self) -> str:
        return "_Keys([redacted])"


class _Result(msgspec.Struct):
    credentials: _Keys = msgspec.field(name="Credentials")


class _Answer(msgspec.Struct):
    result: _Result = msgspec.field(name="AssumeRoleWithWebIdentityResult")


class _Assumed(msgspec.Struct):
    response: _Answer = msgspec.field(name="AssumeRoleWithWebIdentityResponse")


class _Login(msgspec.Struct, rename="camel"):
    authorization_token: str
    expires_at: float | str

    def __repr__(self) -> str:
        return "_Login([redacted])"


class _Logins(msgspec.Struct, rename="camel"):
    authorization_data: list[_Login] | _Login


class AwsProvider:
    """One identity. Safe for concurrent callers.

    Args:
        environ: what `identity` leaves out: `AWS_ROLE_ARN`, `AWS_WEB_IDENTITY_TOKEN_FILE`, `AWS_REGION`, ….
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
    ) -> None:
        self._exchange, self._cache, self._endpoints, self._clock = exchange, cache, endpoints, clock
        self._setting = identity.setting or "credentials: provider aws"
        self._role = identity.role_arn or environ.get("AWS_ROLE_ARN", "").strip()
        proof = environ.get("AWS_WEB_IDENTITY_TOKEN_FILE", "").strip()
        file = identity.identity_token_file or (Path(proof) if proof else None)
        self._proof = Secret(file=file, setting=self._setting) if file else None
        self._region = identity.region or environ.get("AWS_REGION", "") or environ.get("AWS_DEFAULT_REGION", "")
        self._is_stated = bool(identity.region)
        self._regions: set[str] = set()
        if self._role and not _ROLE.fullmatch(self._role):
            raise ConfigError(f"{self._role[:120]!r} is no ARN of a role", subject=f"{self._setting}: role_arn")
        if self._region and not _REGION.fullmatch(self._region):
            raise ConfigError(f"{self._region[:40]!r} is no region", subject=f"{self._setting}: region")
        if identity.role_arn and self._proof is None:
            raise ConfigError(
                "role_arn needs identity_token_file, or AWS_WEB_IDENTITY_TOKEN_FILE", subject=self._setting
            )

    def __repr__(self) -> str:
        return f"AwsProvider(role={self._role!r}, region={self._region!r})"

    @property
    def secrets(self) -> tuple[str, ...]:
        return self._proof.secrets if self._proof is not None else ()

    def reject(self, secret: str) -> None:
        """Forget the keys too: what they signed was refused, and the next signature of the same would be."""
        if self._cache.reject(secret):
            for region in self._regions:
                self._cache.forget(self._keys_key(region))

    async def obtain(self, place: Place) -> Credential | None:
        return await (self._registry(place) if place.is_registry else self._git(place))

    # -- inside ----------------------------------------------------------------------------------------------

    def _region_of(self, place: Place, pattern: re.Pattern[str]) -> str:
        found = pattern.fullmatch(place.host)
        region = self._region if self._is_stated else (found[1] if found else self._region)
        if not region:
            raise ConfigError(f"{place.host} tells no region: state it as `region`", subject=self._setting)
        return region

    async def _git(self, place: Place) -> Credential:
        region = self._region_of(place, _GIT_HOST)
        path = "/" + place.path.strip("/")

        async def sign() -> Issued[tuple[str, str]]:
            keys = await self._keys(region)
            now = self._now(region)
            login = await sign_git(keys, host=place.netloc, path=path, region=region, now=now)
            life = SIGNATURE_SECONDS if keys.ends_at is None else min(SIGNATURE_SECONDS, keys.ends_at - now)
            return Issued(value=login, life_seconds=life, secrets=(login[1], *keys.secrets))

        key = digest(provider="aws", keys=self._keys_key(region), git=f"{place.netloc}{path}", region=region)
        user, password = await self._cache.get(key, sign, provider="aws")
        return Credential(kind="basic", username=user, secret=password)

    async def _registry(self, place: Place) -> Credential:
        is_public = place.host == _PUBLIC
        region = "us-east-1" if is_public else self._region_of(place, _ECR_HOST)
        service = "ecr-public" if is_public else "ecr"
        suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
        url = self._endpoints.aws_ecr or f"https://api.{service}.{region}.{suffix}"

        async def log_in() -> Issued[str]:
            keys = await self._keys(region)
            body = b"{}"
            headers = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": _TARGETS[service]}
            now = self._now(region)
            signed = await sign_headers(
                keys, url=f"{url}/", service=service, region=region, headers=headers, body=body, now=now
            )
            secrets = (*keys.secrets, signed["Authorization"])
            found = await self._exchange.ask(
                "POST", f"{url}/", _Logins, name="ECR", body=body, headers=signed, secrets=secrets
            )
            logins = found.authorization_data
            login = logins if isinstance(logins, _Login) else next(iter(logins), None)
            if login is None:
                raise WireError("ECR's answer holds no token", subject=url)
            life = _moment(login.expires_at) - self._exchange.now(url)
            return Issued(value=login.authorization_token, life_seconds=life, secrets=_parts(login.authorization_token))

        key = digest(provider="aws", keys=self._keys_key(region), registry=url, service=service)
        token = await self._cache.get(key, log_in, provider="aws")
        user, _, password = _decode(token).partition(":")
        return Credential(kind="basic", username=user, secret=password)

    def _keys_key(self, region: str) -> str:
        if self._proof is not None and self._role:
            return digest(provider="aws", role=self._role, region=region, subject=subject_of(self._proof.read()))
        return digest(provider="aws", kind="found")

    async def _keys(self, region: str) -> AwsKeys:
        self._regions.add(region)
        fetch = self._find if self._proof is None or not self._role else lambda: self._assume(region)
        keys = await self._cache.get(self._keys_key(region), fetch, provider="aws")
        if keys.ends_at is not None and keys.ends_at <= self._now(region):
            raise AuthError("the keys have ended", subject=self._setting, retryable=True)
        return keys

    def _sts(self, region: str) -> str:
        suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
        return self._endpoints.aws_sts or f"https://sts.{region}.{suffix}"

    def _now(self, region: str) -> float:
        """Return the time by AWS's clock: signatures of another are refused."""
        return self._exchange.now(self._sts(region))

    async def _assume(self, region: str) -> Issued[AwsKeys]:
        assert self._proof is not None
        proof, url = self._proof.read(), self._sts(region)
        form = {
            "Action": "AssumeRoleWithWebIdentity",
            "Version": "2011-06-15",
            "RoleArn": self._role,
            "RoleSessionName": SESSION_NAME,
            "WebIdentityToken": proof,
        }
        headers = {"Accept": "application/json"}
        found = await self._exchange.ask(
            "POST", f"{url}/", _Assumed, name="AWS STS", form=form, headers=headers, secrets=(proof,)
        )
        made = found.response.result.credentials
        ends_at = _moment(made.expiration)
        keys = AwsKeys(
            access_key_id=made.access_key_id,
            secret_access_key=made.secret_access_key,
            session_token=made.session_token,
            ends_at=ends_at,
        )
        return Issued(value=keys, life_seconds=ends_at - self._exchange.now(url), secrets=keys.secrets)

    async def _find(self) -> Issued[AwsKeys]:
        """Let botocore look for keys, in the process's own environment."""
        session_module, errors = await bring(
            "botocore.session", "botocore.exceptions", extra="aws", what="looking for AWS's keys"
        )

        def look() -> Any:
            held = session_module.get_session().get_credentials()
            return (held.get_frozen_credentials(), getattr(held, "_expiry_time", None)) if held else None

        try:
            found = await asyncio.to_thread(look)
        except errors.BotoCoreError as exc:
            raise AuthError(
                f"botocore finds no keys: {redact(str(exc))}", subject=self._setting, retryable=True
            ) from None
        if found is None:
            raise ConfigError(
                "no keys of AWS were found: state role_arn and identity_token_file, or run where there are some",
                subject=self._setting,
            )
        frozen, ends = found
        keys = AwsKeys(
            access_key_id=frozen.access_key,
            secret_access_key=frozen.secret_key,
            session_token=frozen.token or "",
            ends_at=ends.timestamp() if ends is not None else None,
        )
        life = UNENDING_SECONDS if keys.ends_at is None else keys.ends_at - self._clock()
        return Issued(value=keys, life_seconds=life, secrets=keys.secrets)


def is_codecommit(host: str) -> bool:
    return bool(_GIT_HOST.fullmatch(host))


def is_ecr(host: str) -> bool:
    return bool(_ECR_HOST.fullmatch(host)) or host == _PUBLIC


def _moment(value: float | str) -> float:
    """Return POSIX seconds: AWS's JSON has them as a number, its older services as text."""
    if isinstance(value, str):
        found = parse_timestamp(value)
        if found is None:
            raise WireError("AWS's answer does not say when the token ends", subject="aws")
        return found.timestamp()
    return value


def _decode(token: str) -> str:
    try:
        return base64.b64decode(token, validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError):
        raise WireError("ECR's token is not base64 of user:password", subject="ecr") from None


def _parts(token: str) -> tuple[str, ...]:
    return token, _decode(token).partition(":")[2]

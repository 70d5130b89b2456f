"""AWS's signatures, by botocore, with our own clock.

CodeCommit takes one as a password: of a request whose method is `GIT`, with the host as its only header and no digest
of a body. It is good for a quarter of an hour.

Source: aws/git-remote-codecommit; fluxcd/pkg auth/aws; docs.aws.amazon.com "Signature Version 4".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from fluxtrail.credentials.providers.extras import bring

ALGORITHM = "AWS4-HMAC-SHA256"


@dataclass(frozen=True, slots=True, kw_only=True)
class AwsKeys:
    """What signs. `ends_at` is POSIX seconds, None for keys that last."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str = field(default="", repr=False)
    ends_at: float | None = None

    @property
    def secrets(self) -> tuple[str, ...]:
        return tuple(text for text in (self.secret_access_key, self.session_token) if text)


async def sign_git(keys: AwsKeys, *, host: str, path: str, region: str, now: float) -> tuple[str, str]:
    """Return the user and the password for a repository of CodeCommit.

    Args:
        host: as git asks it, without the port where it is the usual one.
        path: `/v1/repos/<name>`.
        now: POSIX seconds, by AWS's clock.

    Raises:
        ConfigError: botocore is missing.
    """
    signer, request_type = await _signer(keys, "codecommit", region)
    request = request_type(method="GIT", url=f"https://{host}{path}")
    stamp = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%S")
    request.context["timestamp"] = stamp
    canonical = f"GIT\n{path}\n\nhost:{host}\n\nhost\n"
    signature = signer.signature(signer.string_to_sign(request, canonical), request)
    user = f"{keys.access_key_id}%{keys.session_token}" if keys.session_token else keys.access_key_id
    return user, f"{stamp}Z{signature}"


async def sign_headers(
    keys: AwsKeys, *, url: str, service: str, region: str, headers: dict[str, str], body: bytes, now: float
) -> dict[str, str]:
    """Return `headers` with those that prove who posts `body` to `url`.

    Raises:
        ConfigError: botocore is missing.
    """
    signer, request_type = await _signer(keys, service, region)
    stamp = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")
    signed = {**headers, "Host": urlsplit(url).netloc, "X-Amz-Date": stamp}
    if keys.session_token:
        signed["X-Amz-Security-Token"] = keys.session_token
    request = request_type(method="POST", url=url, headers=signed, data=body)
    request.context["timestamp"] = stamp
    signature = signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request)
    names = signer.signed_headers(signer.headers_to_sign(request))
    proof = f"Credential={signer.scope(request)}, SignedHeaders={names}, Signature={signature}"
    return {**signed, "Authorization": f"{ALGORITHM} {proof}"}


async def _signer(keys: AwsKeys, service: str, region: str) -> tuple[Any, Any]:
    auth, requests, credentials = await bring(
        "botocore.auth", "botocore.awsrequest", "botocore.credentials", extra="aws", what="AWS's signature"
    )
    held = credentials.Credentials(keys.access_key_id, keys.secret_access_key, keys.session_token or None)
    return auth.SigV4Auth(held, service, region), requests.AWSRequest

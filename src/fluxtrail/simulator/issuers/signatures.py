"""Signatures of AWS, checked: written from the specification, so that signer and checker have nothing in common.

Source: docs.aws.amazon.com "Create a signed AWS API request" (Signature Version 4).
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

TOLERANCE_SECONDS = 300.0
GIT_SECONDS = 900.0
_HEADER = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([A-Z0-9]+)/(\d{8})/([a-z0-9-]+)/([a-z-]+)/aws4_request, "
    r"SignedHeaders=([a-z0-9;-]+), Signature=([0-9a-f]{64})"
)


def expected_signature(secret: str, *, stamp: str, region: str, service: str, canonical: str) -> str:
    """Return the signature of a canonical request. `stamp` may end with a `Z` or not: it is signed as it is."""
    day = stamp[:8]
    scope = f"{day}/{region}/{service}/aws4_request"
    text = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = f"AWS4{secret}".encode()
    for part in (day, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.digest(key, text.encode(), "sha256").hex()


def check_git(password: str, *, secret: str, host: str, path: str, region: str, now: float) -> str:
    """Return why CodeCommit refuses a password, or an empty text."""
    match = re.fullmatch(r"(\d{8}T\d{6})Z([0-9a-f]{64})", password)
    if match is None:
        return "the password is no signature"
    made_at = _moment(match[1])
    if not -TOLERANCE_SECONDS <= now - made_at <= GIT_SECONDS:
        return "the signature has expired, or is not yet current"
    canonical = f"GIT\n{path}\n\nhost:{host}\n\nhost\n"
    expected = expected_signature(secret, stamp=match[1], region=region, service="codecommit", canonical=canonical)
    return "" if hmac.compare_digest(expected, match[2]) else "the signature does not match"


def check_request(
    headers: Mapping[str, str], body: bytes, *, path: str, find_secret: Callable[[str], str], service: str, now: float
) -> str:
    """Return why a signed POST is refused, or an empty text.

    Args:
        headers: names in lower case.
        find_secret: by the id of a key; empty for one that is not known, or has ended.
    """
    match = _HEADER.fullmatch(headers.get("authorization", ""))
    if match is None:
        return "the Authorization header is incomplete"
    key, _, region, stated, names, signature = match.groups()
    stamp, secret = headers.get("x-amz-date", ""), find_secret(key)
    if not secret or stated != service:
        return "the security token included in the request is invalid"
    if not re.fullmatch(r"\d{8}T\d{6}Z", stamp) or abs(now - _moment(stamp[:-1])) > TOLERANCE_SECONDS:
        return "Signature not yet current, or expired"
    signed = names.split(";")
    if not {"host", "x-amz-date"} <= set(signed):
        return "host and date are not signed"
    lines = "".join(f"{name}:{headers.get(name, '').strip()}\n" for name in signed)
    digest = hashlib.sha256(body).hexdigest()
    canonical = f"POST\n{path}\n\n{lines}\n{names}\n{digest}"
    expected = expected_signature(secret, stamp=stamp, region=region, service=service, canonical=canonical)
    return "" if hmac.compare_digest(expected, signature) else "the signature does not match"


def _moment(stamp: str) -> float:
    return datetime.strptime(stamp, "%Y%m%dT%H%M%S").replace(tzinfo=UTC).timestamp()

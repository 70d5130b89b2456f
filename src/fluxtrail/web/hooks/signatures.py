"""What a request shows to prove where it comes from, and whether a secret made it.

Signatures are over the raw bytes of the body: `X-Signature: sha256=<hex>` (notification-controller's `generic-hmac`,
whose documentation asks receivers to take sha224, sha384 and sha512 too) and `X-Hub-Signature-256` (GitHub). Where
nothing is signed, the secret itself may be shown, as a Bearer token or as the password of Basic.

Sources: fluxcd/notification-controller docs/spec/v1beta3/providers.md, "Generic HMAC";
docs.github.com, "Validating webhook deliveries"; docs.gitlab.com, "Webhooks", "Secret token".
"""

from __future__ import annotations

import base64
import binascii
import hmac
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

ALGORITHMS: Final = {"sha224": 28, "sha256": 32, "sha384": 48, "sha512": 64}
"""And how many bytes each gives."""


class Means(StrEnum):
    SIGNATURE = "signature"
    SECRET = "secret"  # noqa: S105 - a word, not one


@dataclass(frozen=True, slots=True)
class Proof:
    """What was shown. An `algorithm` or a `value` that is empty proves nothing."""

    means: Means
    algorithm: str = ""
    value: bytes = field(default=b"", repr=False)

    def is_of(self, secret: bytes, body: bytes) -> bool:
        """Whether who holds `secret` made it; takes as long whether or not, and how much of it is right."""
        if self.means is Means.SECRET:
            return hmac.compare_digest(self.value, secret)
        if not self.algorithm:
            return False
        return hmac.compare_digest(self.value, hmac.digest(secret, body, self.algorithm))


def read_proof(signature: str | None, authorization: str | None, token: str | None = None) -> Proof | None:
    """Return what a request shows, or None where it shows nothing.

    A signature is the better one, and counts where both are there: it cannot be used for another body.

    Args:
        token: GitLab's `X-Gitlab-Token`: the secret itself.
    """
    if signature is not None:
        return _read_signature(signature)
    if authorization is not None:
        return Proof(Means.SECRET, value=_read_secret(authorization))
    if token is not None:
        return Proof(Means.SECRET, value=token.strip().encode("latin-1"))
    return None


def _read_signature(header: str) -> Proof:
    name, _, digits = header.strip().partition("=")
    name = name.strip().lower()
    try:
        value = bytes.fromhex(digits)
    except ValueError:
        return Proof(Means.SIGNATURE)
    return Proof(Means.SIGNATURE, name if ALGORITHMS.get(name) == len(value) else "", value)


def _read_secret(header: str) -> bytes:
    """Return the secret, or nothing, which no sender has."""
    scheme, _, rest = header.strip().encode("latin-1").partition(b" ")
    rest = rest.strip()
    if scheme.lower() == b"bearer":
        return rest
    if scheme.lower() != b"basic":
        return b""
    try:
        return base64.b64decode(rest, validate=True).partition(b":")[2]
    except (binascii.Error, ValueError):
        return b""
